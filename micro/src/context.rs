//! What a handler knows of the call or event that it serves.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro_core::Header;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// What a handler knows of the call or event that it serves. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    service: String,
    endpoint: String,
    peer: String,
    source: Source,
    metadata: OnceLock<Header>,
    deadline: Option<Instant>,
    cancelled: CancellationToken,
    client: Client,
}

/// Where the metadata is, until somebody wants it.
pub(crate) enum Source {
    Request(micro_core::wire::Request),
    Event(Header),
}

impl Context {
    pub(crate) fn new(
        names: (String, String, String),
        source: Source,
        deadline: Option<Instant>,
        client: Client,
    ) -> Self {
        let (service, endpoint, peer) = names;
        Self(Arc::new(Inner {
            service,
            endpoint,
            peer,
            source,
            metadata: OnceLock::new(),
            deadline,
            cancelled: CancellationToken::new(),
            client,
        }))
    }

    /// The service that was called, or that subscribes.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The endpoint that was called, or the topic of the event.
    pub fn endpoint(&self) -> &str {
        &self.0.endpoint
    }

    /// The address of the caller, as its transport names it; empty for an event.
    pub fn peer(&self) -> &str {
        &self.0.peer
    }

    /// What the caller or publisher sent beside the body. What belongs to the wire is not in it.
    pub fn metadata(&self) -> &Header {
        self.0.metadata.get_or_init(|| match &self.0.source {
            Source::Request(request) => request.metadata(),
            Source::Event(header) => micro_core::wire::metadata(header),
        })
    }

    /// When the caller stops waiting; `None` if it did not say.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long the caller still waits; zero if it does not any more, `None` if it did not say.
    pub fn time_left(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns when nobody waits for the answer any more. A handler's own future is dropped then;
    /// this is for what it has spawned. Cancel safe.
    pub async fn cancelled(&self) {
        self.0.cancelled.cancelled().await;
    }

    /// A client whose calls carry this call's metadata and end with its deadline.
    pub fn client(&self) -> Client {
        self.0.client.inheriting(self.metadata().clone(), self.0.deadline)
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        &self.0.cancelled
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.0.service)
            .field("endpoint", &self.0.endpoint)
            .field("peer", &self.0.peer)
            .finish_non_exhaustive()
    }
}
