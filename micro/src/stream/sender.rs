//! What sends the messages of a stream.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use micro_core::Result;
use micro_core::codec::Encode;

use super::end::End;

/// Sends the messages of a stream.
///
/// Dropping that of a caller without [`finish`](Self::finish) gives the stream up; that of a handler
/// may go any time, its stream ends when it returns.
pub struct Sender<T: ?Sized> {
    end: Arc<End>,
    content_type: Cow<'static, str>,
    encode: fn(&T, &str) -> Result<Bytes>,
    finished: bool,
}

impl<T: ?Sized> Sender<T> {
    pub(crate) fn new<C: Encode<T>>(end: Arc<End>, content_type: Cow<'static, str>) -> Self {
        Self { end, content_type, encode: C::encode_as, finished: false }
    }

    /// Sends a message. Waits while the network takes nothing; a handler, also while its caller, if it
    /// is one of ours, reads too slowly. `Ok` says that the message is on its way.
    ///
    /// # Errors
    /// What the stream ended with; `Cancelled` if the other side ended it well; `TooLarge` for a
    /// message that the transport cannot carry and `InvalidInput` for one that has no encoding,
    /// whereupon the stream goes on; `Unavailable` if there was no room for
    /// [`connect_wait`](crate::ClientOptions::connect_wait). The message was not sent then.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready sends nothing.
    pub async fn send(&self, message: &T) -> Result<()> {
        let body = (self.encode)(message, &self.content_type)?;
        self.end.half.send(&body).await
    }

    /// Sends what comes of this, until it ends or fails.
    ///
    /// # Errors
    /// Those of [`send`](Self::send), and those that come.
    pub async fn send_all(&self, messages: impl Stream<Item = Result<T>>) -> Result<()>
    where
        T: Sized,
    {
        let mut messages = std::pin::pin!(messages);
        while let Some(message) = messages.next().await {
            self.send(&message?).await?;
        }
        Ok(())
    }

    /// Says that there are no more messages: the half-close. What the other side sends still comes.
    /// For a handler this says nothing: its stream ends when it returns.
    ///
    /// # Errors
    /// What the stream ended with before.
    pub fn finish(mut self) -> Result<()> {
        self.finish_now()
    }

    pub(super) fn finish_now(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.finished, true) || !self.end.is_ours() {
            return Ok(());
        }
        self.end.half.finish()
    }
}

impl<T: ?Sized> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.end.is_ours() && !self.finished {
            self.end.half.give_up();
        }
    }
}

impl<T: ?Sized> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sender").field(&self.end).finish()
    }
}
