//! What receives the messages of a stream.

use std::borrow::Cow;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use micro_core::codec::Decode;
use micro_core::{Error, RequestState, Result};

use super::end::End;

/// Receives the messages of a stream: a [`Stream`], and [`recv`](Self::recv).
///
/// It ends where the other side ends it well; an error comes once, after what was sent before it.
/// Dropping that of a caller gives the stream up; one that a handler drops lets go of what comes.
pub struct Receiver<T> {
    end: Arc<End>,
    content_type: Cow<'static, str>,
    decode: fn(Bytes, &str) -> Result<T>,
}

impl<T> Receiver<T> {
    pub(crate) fn new<C: Decode<T>>(end: Arc<End>, content_type: Cow<'static, str>) -> Self {
        Self { end, content_type, decode: C::decode_as }
    }

    /// The next message; `None` after the last one. Cancel safe.
    ///
    /// # Errors
    /// The other side's own error as it was; `Cancelled` if the caller gave the stream up;
    /// `Unavailable` if the other side is gone, or messages may be missing because the network was
    /// away; `Timeout`; `Overloaded` if more came than was read; `InvalidInput` (`Internal` for a
    /// caller) for a message that cannot be decoded, whereupon the stream goes on.
    pub async fn recv(&mut self) -> Result<Option<T>> {
        poll_fn(|cx| self.poll(cx)).await.transpose()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.end.half.poll_recv(cx).map(|next| next.map(|message| self.decoded(message?)))
    }

    fn decoded(&self, message: Bytes) -> Result<T> {
        (self.decode)(message, &self.content_type).map_err(|error| match self.end.is_ours() {
            true => Error::internal(format!("a message cannot be read: {error}"))
                .with_request(RequestState::Executed),
            false => error,
        })
    }

    /// The stream is over, as its service knows.
    pub(super) fn forget(&self) {
        self.end.half.forget();
    }
}

impl<T> Stream for Receiver<T> {
    type Item = Result<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        self.get_mut().poll(cx)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        match self.end.is_ours() {
            true => self.end.half.give_up(),
            false => self.end.half.inbox.close(),
        }
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Receiver").field(&self.end).finish()
    }
}
