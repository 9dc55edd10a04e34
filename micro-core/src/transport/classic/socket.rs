//! One socket.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::Stream;

use super::state::{End, Event, Inbox, Users};
use crate::transport::{Peer, Refused};
use crate::{Error, ErrorKind, RequestState, Result};

/// A conversation with one other end, dialled or accepted. Packets keep their order.
///
/// As a [`Stream`] it yields what [`recv`](Self::recv) gives. Dropping it closes it.
pub struct Socket {
    peer: Peer,
    events: mpsc::Receiver<Event>,
    end: Arc<OnceLock<End>>,
    /// The end has been told.
    ended: bool,
    /// How many packets the peer took; too many while a send is under way, never too few.
    sent: AtomicU64,
    users: Arc<Users>,
}

impl Socket {
    pub(super) fn new(
        peer: Peer,
        inbox: Inbox,
        events: mpsc::Receiver<Event>,
        users: Arc<Users>,
    ) -> Self {
        let Inbox { end, .. } = inbox;
        Self { peer, events, end, ended: false, sent: AtomicU64::new(0), users }
    }

    /// Sends one packet: returns when it is taken, and waits for room if there is none, at most
    /// [`send_wait`](super::SocketOptions::send_wait). Cancel safe: a send that was dropped sent
    /// nothing.
    ///
    /// # Errors
    /// Each says that this packet was not sent: `TooLarge` with both sizes; `Unavailable` if there
    /// was no room for too long, or nobody is there any more; `Overloaded` if the socket was ended
    /// because we did not read it.
    pub async fn send(&self, packet: Bytes) -> Result<()> {
        let packet = match self.try_send(packet) {
            Ok(()) => return Ok(()),
            Err(Refused::Full(packet)) => packet,
            Err(refused) => return Err(self.refused(&refused)),
        };
        let wait = self.users.shared.options.send_wait;
        match tokio::time::timeout(wait, self.send_when_ready(packet)).await {
            Ok(sent) => sent,
            Err(_) => Err(self.not_sent(
                ErrorKind::Unavailable,
                format!("no room for a packet to {} within {wait:?}", self.remote()),
            )),
        }
    }

    /// The next packet; `None` once the other end has closed, in order after what it had sent.
    /// Cancel safe.
    ///
    /// # Errors
    /// Each comes once:
    /// * `Unavailable` if nobody listens there or the other end is gone before it got all that
    ///   was sent. [`Error::request`] is `NotSent` if nothing that was ever sent arrived. Where
    ///   nobody listens, answers to earlier packets may still come, and further calls wait for
    ///   them without a limit.
    /// * `Overloaded` if we did not read and too many packets waited; then `None`.
    /// * `Unavailable` if the port is over; then `None`.
    pub async fn recv(&mut self) -> Result<Option<Bytes>> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await.transpose()
    }

    /// The address of the other end, as far as it is known.
    pub fn remote(&self) -> &str {
        self.peer.remote()
    }

    /// The address that we listen at; `None` if the port only dials.
    pub fn local(&self) -> Option<&str> {
        self.users.shared.port.local()
    }

    /// Waits, bounded, until what was sent has left the process, then closes. The other end sees
    /// that only where the wire can say it.
    ///
    /// # Errors
    /// `Unavailable` if it could not leave; the socket is closed all the same.
    pub async fn close(self) -> Result<()> {
        self.users.shared.port.flush().await
    }

    async fn send_when_ready(&self, mut packet: Bytes) -> Result<()> {
        loop {
            if self.peer.ready().await.is_err() {
                return Err(self.gone());
            }
            packet = match self.try_send(packet) {
                Ok(()) => return Ok(()),
                Err(Refused::Full(packet)) => packet,
                Err(refused) => return Err(self.refused(&refused)),
            };
            // A peer that is ready and full in turns must not keep the timer from running.
            yield_now().await;
        }
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        self.sent.fetch_add(1, Ordering::SeqCst);
        self.peer.try_send(packet).inspect_err(|_| {
            self.sent.fetch_sub(1, Ordering::SeqCst);
        })
    }

    fn refused(&self, refused: &Refused) -> Error {
        match refused {
            Refused::TooLarge(packet) => {
                Error::too_large("a packet", packet.len(), self.peer.max_packet())
                    .with_request(RequestState::NotSent)
            }
            _ => self.gone(),
        }
    }

    fn gone(&self) -> Error {
        match self.end.get() {
            Some(End::Overflow { capacity }) => self.overflow(*capacity),
            Some(End::Over(reason)) => self.not_sent(ErrorKind::Unavailable, &**reason),
            _ => self.not_sent(
                ErrorKind::Unavailable,
                format!("nobody is at {} any more", self.remote()),
            ),
        }
        .with_request(RequestState::NotSent)
    }

    fn not_sent(&self, kind: ErrorKind, detail: impl Into<String>) -> Error {
        Error::new(kind, detail).with_request(RequestState::NotSent)
    }

    fn overflow(&self, capacity: usize) -> Error {
        Error::new(
            ErrorKind::Overloaded,
            format!("more than {capacity} packets from {} waited to be read", self.remote()),
        )
    }

    fn lost(&self, what: &str, packets: u64) -> Error {
        let state = match packets >= self.sent.load(Ordering::SeqCst) {
            true => RequestState::NotSent,
            false => RequestState::Unknown,
        };
        let packets = match packets {
            1 => "the last packet sent".to_owned(),
            n => format!("the last {n} packets sent"),
        };
        Error::unavailable(format!("{what} {}: {packets} reached nobody", self.remote()))
            .with_request(state)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        Poll::Ready(match ready!(self.events.poll_recv(cx)) {
            Some(Event::Packet(packet)) => Some(Ok(packet)),
            Some(Event::Undelivered(packets)) => Some(Err(self.lost("nobody listens at", packets))),
            None if std::mem::replace(&mut self.ended, true) => None,
            None => match self.end.get() {
                Some(End::Closed { packets: 0 }) | None => None,
                Some(End::Closed { packets }) => {
                    Some(Err(self.lost("nobody is any more at", *packets)))
                }
                Some(End::Overflow { capacity }) => Some(Err(self.overflow(*capacity))),
                Some(End::Over(reason)) => Some(Err(Error::unavailable(&**reason))),
            },
        })
    }
}

impl Stream for Socket {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // In this order: once it is forgotten, the pump gets nothing of it that would look new.
        self.peer.close();
        self.users.shared.forget(&self.peer);
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("peer", &self.peer).finish_non_exhaustive()
    }
}

async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
