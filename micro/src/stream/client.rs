//! What a caller holds of a stream that it sends on.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::Stream;
use micro_core::{Error, RequestState, Result};

use super::{Receiver, Sender};

/// A stream of requests with one reply. Dropping it gives the stream up.
#[derive(Debug)]
pub struct ClientStream<Q: ?Sized, R> {
    sender: Sender<Q>,
    reply: Receiver<R>,
}

impl<Q: ?Sized, R> ClientStream<Q, R> {
    pub(crate) fn new(sender: Sender<Q>, reply: Receiver<R>) -> Self {
        Self { sender, reply }
    }

    /// Sends a request; see [`Sender::send`]. If the service has ended the stream before,
    /// [`finish`](Self::finish) gives its reply.
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send(&self, request: &Q) -> Result<()> {
        self.sender.send(request).await
    }

    /// Sends what comes of this, until it ends or fails; see [`Sender::send_all`].
    ///
    /// # Errors
    /// Those of [`Sender::send`], and those that come.
    pub async fn send_all(&self, requests: impl Stream<Item = Result<Q>>) -> Result<()>
    where
        Q: Sized,
    {
        self.sender.send_all(requests).await
    }

    /// Says that there are no more requests, and waits for the reply. Dropping the future gives the
    /// stream up.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`]; `Internal` if the stream ended without a reply.
    pub async fn finish(mut self) -> Result<R> {
        // What it ended with comes with the reply, or in place of it.
        let _ = self.sender.finish_now();
        let reply = self.reply.recv().await?;
        // go-micro's service says nothing more after a half-close.
        self.reply.forget();
        reply.ok_or_else(|| {
            Error::internal("the stream ended without a reply").with_request(RequestState::Executed)
        })
    }
}

/// A stream of messages both ways: a [`Stream`] of those that come. Dropping it gives it up.
#[derive(Debug)]
pub struct Bidirectional<Q: ?Sized, R> {
    sender: Sender<Q>,
    receiver: Receiver<R>,
}

impl<Q: ?Sized, R> Bidirectional<Q, R> {
    pub(crate) fn new(sender: Sender<Q>, receiver: Receiver<R>) -> Self {
        Self { sender, receiver }
    }

    /// Sends a message; see [`Sender::send`].
    ///
    /// # Errors
    /// Those of [`Sender::send`].
    pub async fn send(&self, message: &Q) -> Result<()> {
        self.sender.send(message).await
    }

    /// The next message; see [`Receiver::recv`]. Cancel safe.
    ///
    /// # Errors
    /// Those of [`Receiver::recv`].
    pub async fn recv(&mut self) -> Result<Option<R>> {
        self.receiver.recv().await
    }

    /// Says that we send no more messages; those that are sent to us still come.
    ///
    /// # Errors
    /// Those of [`Sender::finish`].
    pub fn finish(&mut self) -> Result<()> {
        self.sender.finish_now()
    }

    /// Both directions by themselves, for two tasks.
    pub fn split(self) -> (Sender<Q>, Receiver<R>) {
        (self.sender, self.receiver)
    }
}

impl<Q: ?Sized, R> Stream for Bidirectional<Q, R> {
    type Item = Result<R>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<R>>> {
        Pin::new(&mut self.get_mut().receiver).poll_next(cx)
    }
}
