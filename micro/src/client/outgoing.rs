//! A call or event that this process sends, as middleware sees it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::Header;
use micro_core::broker::Topic;
use tokio::time::Instant;

use super::options::CallOptions;
use super::stream::Slot;
use super::{Client, Filter};

/// A call that is about to be made.
pub struct OutgoingCall {
    pub(super) client: Client,
    pub(super) service: String,
    pub(super) endpoint: String,
    pub(super) body: Bytes,
    pub(super) options: CallOptions,
    /// When it began, where layers come first: what they take is taken from its time.
    pub(super) began: Option<Instant>,
    /// It opens a stream.
    pub(super) opens: Option<Arc<Slot>>,
}

impl OutgoingCall {
    /// The service that is called.
    pub fn service(&self) -> &str {
        &self.service
    }

    /// The endpoint that is called.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Whether it opens a stream. Then it is done when the stream is open, its reply is empty, and
    /// its body the request, if the service gets just one.
    pub fn is_stream(&self) -> bool {
        self.opens.is_some()
    }

    /// The address that is called, if the call names one.
    pub fn address(&self) -> Option<&str> {
        self.options.address.as_deref()
    }

    /// The encoded body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Sends another body.
    pub fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    /// The content type of the body.
    pub fn content_type(&self) -> &str {
        &self.options.content_type
    }

    /// Says that the body is of another content type.
    pub fn set_content_type(&mut self, content_type: impl Into<Cow<'static, str>>) {
        self.options.content_type = content_type.into();
    }

    /// What the call sends beside the body, without what a handler's call inherits.
    pub fn metadata(&self) -> &Header {
        &self.options.metadata
    }

    /// [`metadata`](Self::metadata), to change it. A key that belongs to the wire is an error of
    /// the call.
    pub fn metadata_mut(&mut self) -> &mut Header {
        &mut self.options.metadata
    }

    /// How long the call may take, if it says so itself.
    pub fn timeout(&self) -> Option<Duration> {
        self.options.timeout
    }

    /// Gives the call this much time.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.options.timeout = Some(timeout);
    }

    /// Whether running it twice does no harm.
    pub fn is_idempotent(&self) -> bool {
        self.options.idempotent
    }

    /// Says whether running it twice does no harm.
    pub fn set_idempotent(&mut self, idempotent: bool) {
        self.options.idempotent = idempotent;
    }

    /// Sends it only to nodes that also pass this filter.
    pub fn add_filter(&mut self, filter: Filter) {
        self.options.filter = Some(match self.options.filter.take() {
            Some(before) => before.and(filter),
            None => filter,
        });
    }
}

/// An event that is about to be published.
pub struct OutgoingEvent {
    pub(super) client: Client,
    pub(super) topic: Topic,
    pub(super) body: Bytes,
    pub(super) content_type: Cow<'static, str>,
    pub(super) metadata: Header,
}

impl OutgoingEvent {
    /// The topic that it is published to.
    pub fn topic(&self) -> &Topic {
        &self.topic
    }

    /// The encoded body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Publishes another body.
    pub fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    /// The content type of the body.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Says that the body is of another content type.
    pub fn set_content_type(&mut self, content_type: impl Into<Cow<'static, str>>) {
        self.content_type = content_type.into();
    }

    /// What is sent beside the body.
    pub fn metadata(&self) -> &Header {
        &self.metadata
    }

    /// [`metadata`](Self::metadata), to change it. A key that belongs to the wire is an error.
    pub fn metadata_mut(&mut self) -> &mut Header {
        &mut self.metadata
    }
}

impl fmt::Debug for OutgoingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingCall")
            .field("service", &self.service)
            .field("endpoint", &self.endpoint)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingEvent")
            .field("topic", &self.topic)
            .field("content_type", &self.content_type)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
