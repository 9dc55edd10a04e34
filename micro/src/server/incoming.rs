//! A call or event that this process serves, as middleware sees it.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use micro_core::Result;
use micro_core::broker::Message;

use super::handler::{Answering, Handler};
use super::subscriber::Handle;
use crate::context::Context;

/// A call that is about to be served.
pub struct IncomingCall {
    pub(super) context: Context,
    pub(super) content_type: Option<Cow<'static, str>>,
    pub(super) body: Bytes,
    pub(super) handler: Handler,
    pub(super) is_stream: bool,
}

impl IncomingCall {
    /// What the handler will know of it: names, metadata, deadline.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Gives the handler another context, usually
    /// [one with more metadata](Context::with_metadata).
    pub fn set_context(&mut self, context: Context) {
        self.context = context;
    }

    /// Whether it is a stream: it is done when the stream is over, its reply is the last message, if
    /// it has a content type, and nobody reads its body.
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// The content type of the body, if the caller says it.
    pub fn content_type(&self) -> Option<&str> {
        self.content_type.as_deref()
    }

    /// The encoded body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Gives the handler another body.
    pub fn set_body(&mut self, body: Bytes) {
        self.body = body;
    }

    pub(super) fn run(self) -> Answering {
        let Self { context, content_type, body, handler, .. } = self;
        handler.answer(context, content_type, body)
    }
}

/// An event that is about to be handled.
pub struct IncomingEvent {
    pub(super) context: Context,
    pub(super) message: Message,
    pub(super) handle: Handle,
}

impl IncomingEvent {
    /// What the handler will know of it: topic, metadata.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Gives the handler another context, usually
    /// [one with more metadata](Context::with_metadata).
    pub fn set_context(&mut self, context: Context) {
        self.context = context;
    }

    /// The event as it came.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Gives the handler another event.
    pub fn set_message(&mut self, message: Message) {
        self.message = message;
    }
}

impl IncomingEvent {
    pub(super) fn run(self) -> Pin<Box<dyn Future<Output = Result<()>> + Send>> {
        (self.handle)(self.context, &self.message)
    }
}

impl fmt::Debug for IncomingCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingCall").field("context", &self.context).finish_non_exhaustive()
    }
}

impl fmt::Debug for IncomingEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncomingEvent").field("context", &self.context).finish_non_exhaustive()
    }
}
