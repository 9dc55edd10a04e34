//! Our end of a stream, for who reads and sends.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use micro_core::wire::{StreamId, Window};
use micro_core::{Error, ErrorKind, RequestState, Result};
use tokio::sync::Notify;
use tokio::time::timeout_at;

use super::Hub;
use super::conn::Conn;
use super::inbox::Inbox;
use crate::clock::after;

/// Our end of a stream.
pub(crate) struct Half {
    pub(crate) hub: Arc<Hub>,
    pub(crate) conn: Arc<Conn>,
    pub(crate) id: StreamId,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) room: Arc<Notify>,
    /// How long a message waits for room.
    pub(crate) wait: Duration,
}

/// Whether a message was queued.
enum Queued {
    Yes,
    /// There is too much already.
    NoRoom,
    /// The other side takes no more for now.
    NoWindow,
}

impl Half {
    /// Queues a message, as soon as there is room and the other side takes it. Cancel safe: given up,
    /// it is not sent.
    pub(crate) async fn send(&self, body: &[u8]) -> Result<()> {
        // Whoever sends in a loop lets the others go on, its reader among them.
        tokio::task::coop::consume_budget().await;
        let mut limit = None;
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            // Before looking: what is said after that wakes.
            room.as_mut().enable();
            match self.queue(body)? {
                Queued::Yes => {
                    self.hub.send(&self.conn);
                    return Ok(());
                }
                Queued::NoWindow => {
                    // As long as it lives: it says so from time to time, and is gone otherwise.
                    limit = None;
                    room.await;
                    continue;
                }
                Queued::NoRoom => {}
            }
            let limit = *limit.get_or_insert_with(|| after(self.wait));
            if timeout_at(limit, room).await.is_err() {
                let detail =
                    format!("the network took no message of the stream for {:?}", self.wait);
                return Err(Error::unavailable(detail).with_request(RequestState::NotSent));
            }
        }
    }

    fn queue(&self, body: &[u8]) -> Result<Queued> {
        let mut state = self.conn.state();
        if !state.has_stream(self.id) {
            return Err(self.over());
        }
        if !state.session.may_send() {
            return Ok(Queued::NoWindow);
        }
        if !state.session.has_room() {
            return Ok(Queued::NoRoom);
        }
        match state.session.send(self.id, body, self.conn.peer.max_packet()) {
            Ok(true) => {
                state.sent(self.id);
                Ok(Queued::Yes)
            }
            Ok(false) => Err(Error::invalid_input("the stream was finished before")
                .with_request(RequestState::NotSent)),
            Err(error) => Err(error.with_request(RequestState::NotSent)),
        }
    }

    /// No more messages are sent on a stream that we opened.
    pub(crate) fn finish(&self) -> Result<()> {
        let mut state = self.conn.state();
        if !state.has_stream(self.id) {
            // Its service may have ended it without reading all.
            return self.inbox.error().map_or(Ok(()), Err);
        }
        state.half_close(self.id);
        drop(state);
        self.hub.send(&self.conn);
        Ok(())
    }

    /// The stream is not wanted any more: its service is told so.
    pub(crate) fn give_up(&self) {
        let error = Error::new(ErrorKind::Cancelled, "the caller gave the stream up");
        if self.conn.state().give_up_stream(self.id, error) {
            self.hub.send(&self.conn);
        }
    }

    /// The stream is over, as its service knows.
    pub(crate) fn forget(&self) {
        self.conn.state().forget_stream(self.id);
    }

    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        self.inbox.poll(cx).map_ok(|(message, grant)| {
            if let Some(window) = grant {
                self.grant(window);
            }
            message
        })
    }

    /// Says how much the other side may send, if it keeps to that.
    fn grant(&self, window: Window) {
        if self.conn.state().session.grant(window) {
            self.inbox.granted(window);
            self.hub.send(&self.conn);
        }
    }

    fn over(&self) -> Error {
        let error = self.inbox.error().unwrap_or_else(|| {
            Error::new(ErrorKind::Cancelled, "the other side has ended the stream")
        });
        error.with_request(RequestState::NotSent)
    }
}

impl fmt::Debug for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Half").field("peer", &self.conn.peer).field("id", &self.id).finish()
    }
}
