//! What a handler knows of the call or event that it serves.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro_core::Header;
use micro_core::broker::Topic;
use micro_core::transport::Peer;
use micro_core::wire::Request;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client::Client;

/// What a handler knows of the call or event that it serves. Cheap to clone.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

struct Inner {
    service: Arc<str>,
    source: Source,
    /// What the source says, once somebody wants it.
    metadata: OnceLock<Header>,
    deadline: Option<Instant>,
    /// Made once somebody waits for it.
    cancelled: OnceLock<CancellationToken>,
    client: Client,
}

/// Where it comes from.
#[derive(Clone)]
pub(crate) enum Source {
    Request(Request, Peer),
    Event(Topic, Header),
}

impl Context {
    pub(crate) fn new(
        service: Arc<str>,
        source: Source,
        deadline: Option<Instant>,
        client: Client,
    ) -> Self {
        let (metadata, cancelled) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Inner { service, source, metadata, deadline, cancelled, client }))
    }

    /// [`new`](Self::new) of a stream that this stops.
    pub(crate) fn stopped_by(
        stop: CancellationToken,
        service: Arc<str>,
        source: Source,
        deadline: Option<Instant>,
        client: Client,
    ) -> Self {
        let (metadata, cancelled) = (OnceLock::new(), stop.into());
        Self(Arc::new(Inner { service, source, metadata, deadline, cancelled, client }))
    }

    /// The service that was called, or that subscribes.
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The endpoint that was called, or the topic of the event.
    pub fn endpoint(&self) -> &str {
        match &self.0.source {
            Source::Request(request, _) => request.endpoint(),
            Source::Event(topic, _) => topic.as_str(),
        }
    }

    /// The address of the caller, as its transport names it; empty for an event.
    pub fn peer(&self) -> &str {
        match &self.0.source {
            Source::Request(_, peer) => peer.remote(),
            Source::Event(..) => "",
        }
    }

    /// What the caller or publisher sent beside the body. What belongs to the wire is not in it.
    pub fn metadata(&self) -> &Header {
        self.0.metadata.get_or_init(|| match &self.0.source {
            Source::Request(request, _) => request.metadata(),
            Source::Event(_, header) => micro_core::wire::metadata(header),
        })
    }

    /// The same with one entry more (or another value for it) in its metadata: how middleware
    /// hands something on to a handler, and to the calls that the handler makes.
    #[must_use]
    pub fn with_metadata(&self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let mut metadata = self.metadata().clone();
        metadata.insert(key.into(), value.into());
        Self(Arc::new(Inner {
            service: self.0.service.clone(),
            source: self.0.source.clone(),
            metadata: metadata.into(),
            deadline: self.0.deadline,
            cancelled: self.token().clone().into(),
            client: self.0.client.clone(),
        }))
    }

    /// When the caller stops waiting; `None` if it did not say.
    pub fn deadline(&self) -> Option<Instant> {
        self.0.deadline
    }

    /// How long the caller still waits; zero if it does not any more, `None` if it did not say.
    pub fn time_left(&self) -> Option<Duration> {
        self.0.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns when the caller is gone, its deadline passes or the service is ended before the
    /// handler has answered. A handler's own future is dropped then; this is for what it has
    /// spawned. Never returns once the handler has answered, nor for an event. Cancel safe.
    pub async fn cancelled(&self) {
        self.token().cancelled().await;
    }

    /// A client whose calls carry this call's metadata and end with its deadline.
    pub fn client(&self) -> Client {
        self.0.client.inheriting(self.metadata().clone(), self.0.deadline)
    }

    pub(crate) fn token(&self) -> &CancellationToken {
        self.0.cancelled.get_or_init(CancellationToken::new)
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("service", &self.service())
            .field("endpoint", &self.endpoint())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
