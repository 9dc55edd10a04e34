//! One event, before it is awaited.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use bytes::Bytes;
use micro_core::broker::{Message, Topic};
use micro_core::header::keys::CONTENT_TYPE;
use micro_core::{Error, Header, RequestState, Result};

use super::Client;

/// An event that is published when it is awaited.
///
/// # Errors
/// `InvalidInput` (topic, body or metadata), `TooLarge` with both sizes, `Unavailable`.
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
        if let Ok(metadata) = &mut self.metadata {
            if micro_core::wire::is_reserved(&key) {
                let detail = format!("metadata key {key} belongs to the wire");
                self.metadata = Err(Error::invalid_input(detail));
            } else {
                metadata.insert(key, value.into());
            }
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
        Box::pin(async move {
            let (topic, mut header) = (self.topic?, self.metadata?);
            header.insert(CONTENT_TYPE, self.content_type);
            let message = Message::new(header, self.body?);
            let (limit, broker) = (self.client.limit(None), self.client.broker());
            match tokio::time::timeout_at(limit, broker.publish(&topic, message)).await {
                Ok(published) => published,
                Err(_) => Err((broker.health().err())
                    .unwrap_or_else(|| Error::timeout(format!("could not publish to {topic}")))
                    .with_request(RequestState::Unknown)),
            }
        })
    }
}

impl fmt::Debug for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publish").field("topic", &self.topic).finish_non_exhaustive()
    }
}
