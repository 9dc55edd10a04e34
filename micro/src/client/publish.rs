//! One event, before it is awaited.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bytes::Bytes;
use micro_core::broker::{Message, Topic};
use micro_core::header::keys::CONTENT_TYPE;
use micro_core::wire::is_reserved;
use micro_core::{Error, Header, RequestState, Result};
use tokio::time::Instant;

use super::{Client, OutgoingEvent};

/// An event that is published when it is awaited, within the client's
/// [`request_timeout`](super::ClientOptions::request_timeout) and the deadline of the call whose
/// handler publishes it.
///
/// # Errors
/// `InvalidInput` (topic, body or metadata), `TooLarge` with both sizes, `Unavailable`, `Timeout`.
///
/// # Cancel safety
/// Dropping the future gives it up; the event may have been published.
#[must_use = "an event is published when it is awaited"]
pub struct Publish {
    pub(super) client: Client,
    pub(super) topic: Result<Topic>,
    pub(super) body: Result<Bytes>,
    pub(super) content_type: Cow<'static, str>,
    pub(super) metadata: Result<Header>,
}

impl Publish {
    /// Sent beside the body. A key that belongs to the wire is an error.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        match &mut self.metadata {
            Ok(_) if is_reserved(&key) => self.metadata = Err(belongs_to_the_wire(&key)),
            Ok(metadata) => {
                metadata.insert(key, value.into());
            }
            Err(_) => {}
        }
        self
    }

    /// The content type of the body, where the codec does not say the right one.
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.content_type = content_type.into();
        self
    }
}

impl IntoFuture for Publish {
    type Output = Result<()>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<()>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { client, topic, body, content_type, metadata } = self;
        Box::pin(async move {
            let (topic, body, metadata) = (topic?, body?, metadata?);
            let event = OutgoingEvent { client, topic, body, content_type, metadata };
            match event.client.publish_stack() {
                Some(layers) => layers.run(event).await,
                None => event.run().await,
            }
        })
    }
}

impl OutgoingEvent {
    /// Publishes it, with no layer around.
    pub(super) async fn run(self) -> Result<()> {
        let Self { client, topic, body, content_type, metadata: mut header } = self;
        if let Some((key, _)) = header.iter().find(|(key, _)| is_reserved(key)) {
            return Err(belongs_to_the_wire(key));
        }
        header.insert(CONTENT_TYPE, content_type);
        let message = Message::new(header, body);
        let (limit, broker) = (client.limit(Instant::now(), None), client.broker());
        match tokio::time::timeout_at(limit, broker.publish(&topic, message)).await {
            Ok(published) => published,
            Err(_) => Err((broker.health().err())
                .unwrap_or_else(|| Error::timeout(format!("could not publish to {topic}")))
                .with_request(RequestState::Unknown)),
        }
    }
}

fn belongs_to_the_wire(key: &str) -> Error {
    Error::invalid_input(format!("metadata key {key} belongs to the wire"))
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("topic", &self.topic).finish_non_exhaustive()
    }
}
