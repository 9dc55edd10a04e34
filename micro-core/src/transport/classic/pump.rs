//! What moves arrivals into sockets.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::mpsc::{self, error::TrySendError};

use super::Socket;
use super::state::{End, Event, Shared, Users};
use crate::Result;
use crate::transport::{Arrival, Incoming, Peer};

/// How many times one poll asks for arrivals before others get their turn.
const BATCHES: usize = 8;

/// Moves what arrives at a port into its sockets: a future that the caller spawns.
///
/// It ends with `Ok` when the [`Dialer`](super::Dialer)s, the [`Listener`](super::Listener) and
/// all [`Socket`]s are gone, with an error when the port is over. Dropping it before ends all
/// of them.
#[must_use = "nothing arrives unless it is spawned"]
pub struct Pump {
    incoming: Box<dyn Incoming>,
    shared: Arc<Shared>,
    users: Weak<Users>,
    /// Gone when the listener is.
    accepted: Option<mpsc::Sender<Socket>>,
    stopping: Option<Pin<Box<dyn Future<Output = Result<()>> + Send>>>,
    /// What has arrived and is not yet in a socket, the next one last.
    arrivals: Vec<Arrival>,
    /// The next one found its socket full, and the reader has had its turn since.
    waited: bool,
}

impl Pump {
    pub(super) fn new(
        incoming: Box<dyn Incoming>,
        shared: Arc<Shared>,
        users: Weak<Users>,
        accepted: mpsc::Sender<Socket>,
    ) -> Self {
        Self {
            incoming,
            shared,
            users,
            accepted: Some(accepted),
            stopping: None,
            arrivals: Vec::new(),
            waited: false,
        }
    }

    fn poll_stopping(&mut self, cx: &mut Context<'_>) {
        if self.accepted.is_some() && self.shared.listener_gone() {
            self.accepted = None;
            let shared = self.shared.clone();
            if shared.port.local().is_some() {
                self.stopping = Some(Box::pin(async move { shared.port.stop_listening().await }));
            }
        }
        if let Some(stopping) = &mut self.stopping
            && let Poll::Ready(stopped) = stopping.as_mut().poll(cx)
        {
            self.stopping = None;
            if let Err(error) = stopped {
                tracing::warn!(%error, "the end of listening could not be told");
            }
        }
    }

    /// Moves what has arrived; false if the reader of a full socket should have a turn first.
    fn distribute(&mut self) -> bool {
        while let Some(arrival) = self.arrivals.pop() {
            match arrival {
                Arrival::Packet { peer, packet } => {
                    if let Err((peer, packet)) = self.packet(peer, packet) {
                        self.arrivals.push(Arrival::Packet { peer, packet });
                        self.waited = true;
                        return false;
                    }
                }
                Arrival::Undelivered { peer, packets } => {
                    if let Some(inbox) = self.shared.inbox(peer.id()) {
                        // There is room: packets leave one place free, and it comes once a peer.
                        let _ = inbox.events.try_send(Event::Undelivered(packets));
                    }
                }
                Arrival::Closed { peer, packets } => {
                    self.shared.end(&peer, End::Closed { packets });
                }
            }
            self.waited = false;
        }
        true
    }

    /// Hands the packet back if its socket is full for the first time.
    fn packet(&self, peer: Peer, packet: Bytes) -> Result<(), (Peer, Bytes)> {
        let Some(inbox) = self.shared.inbox(peer.id()) else {
            self.accept(peer, packet);
            return Ok(());
        };
        if inbox.events.capacity() > 1 {
            // It fails only if the socket has gone in between.
            let _ = inbox.events.try_send(Event::Packet(packet));
        } else if !self.waited {
            return Err((peer, packet));
        } else {
            let capacity = inbox.events.max_capacity() - 1;
            drop(inbox);
            self.shared.end(&peer, End::Overflow { capacity });
            peer.close();
            let count = self.shared.count(|counts| &mut counts.overflows);
            if count.is_power_of_two() {
                tracing::warn!(remote = peer.remote(), capacity, count, "a socket is not read");
            }
        }
        Ok(())
    }

    fn accept(&self, peer: Peer, packet: Bytes) {
        // Its socket has gone, or somebody dialled it at the port.
        if !peer.accepted() || self.shared.has_ended(peer.id()) {
            return;
        }
        let (Some(accepted), Some(users)) = (&self.accepted, self.users.upgrade()) else {
            peer.close();
            return;
        };
        let Ok((inbox, receiver)) = self.shared.open(peer.id()) else {
            return;
        };
        // The queue is new and has room.
        let _ = inbox.events.try_send(Event::Packet(packet));
        let socket = Socket::new(peer, inbox, receiver, users);
        if let Err(TrySendError::Full(socket)) = accepted.try_send(socket) {
            let count = self.shared.count(|counts| &mut counts.turned_away);
            if count.is_power_of_two() {
                tracing::warn!(remote = socket.remote(), count, "too many sockets to accept");
            }
        }
    }
}

impl Future for Pump {
    type Output = Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let this = &mut *self;
        if this.shared.users_gone(cx) {
            return Poll::Ready(Ok(()));
        }
        this.poll_stopping(cx);
        for _ in 0..BATCHES {
            if !this.distribute() {
                break;
            }
            this.shared.forget_ended();
            match this.incoming.poll_recv(cx, &mut this.arrivals) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => this.arrivals.reverse(),
                Poll::Ready(Err(error)) => {
                    // What came with the end is still read before it.
                    this.arrivals.reverse();
                    while !this.distribute() {}
                    this.shared.end_all(&format!("the port is over: {error}"));
                    this.accepted = None;
                    return Poll::Ready(Err(error));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.end_all("the pump of the port has ended");
    }
}

impl fmt::Debug for Pump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pump").field("sockets", &self.shared.sockets()).finish_non_exhaustive()
    }
}
