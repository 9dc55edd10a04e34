//! Two peers and what is between them.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;

use bytes::Bytes;
use micro_core::transport::{Arrival, Link, Peer, PeerId, Refused};
use micro_core::{Error, Result, async_trait};

use super::Shared;
use super::queue::{Item, Refusal, What};

/// What a dial makes; the other port becomes known with the first packet.
pub(super) struct Connection {
    address: String,
    dialler: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    acceptor: Option<Arc<Shared>>,
    /// Neither end takes anything any more.
    over: bool,
    dialled: EndState,
    accepted: EndState,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Dialled,
    Accepted,
}

#[derive(Default)]
struct EndState {
    /// Dangling until the end has a peer.
    link: Weak<MemoryLink>,
    has_peer: bool,
    /// How many packets the other end has sent that have not arrived yet.
    coming: u64,
    /// It was closed here: nothing arrives any more.
    closed: bool,
}

/// A peer's link; when it is dropped, its end is closed.
pub(super) struct MemoryLink {
    connection: Arc<Connection>,
    end: End,
    id: PeerId,
    remote: String,
}

impl Connection {
    pub(super) fn dial(dialler: &Arc<Shared>, address: &str) -> Peer {
        let connection = Arc::new(Self {
            address: address.to_owned(),
            dialler: dialler.clone(),
            state: Mutex::default(),
        });
        let link = connection.link(&mut connection.state(), dialler, End::Dialled);
        Peer::new(link)
    }

    /// Gives an end its peer.
    fn link(self: &Arc<Self>, state: &mut State, port: &Arc<Shared>, end: End) -> Arc<MemoryLink> {
        let remote = match end {
            End::Dialled => self.address.clone(),
            End::Accepted => self.dialler.local.clone().unwrap_or_default(),
        };
        let id = port.next_peer();
        let link = Arc::new(MemoryLink { connection: self.clone(), end, id, remote });
        let own = state.end(end);
        own.link = Arc::downgrade(&link);
        own.has_peer = true;
        port.connections().insert(id, (Arc::downgrade(self), end));
        link
    }

    fn send(self: &Arc<Self>, from: End, packet: Bytes) -> Result<(), Refused> {
        let mut state = self.state();
        if state.over {
            return Err(Refused::Closed(packet));
        }
        let to = from.other();
        let known = self.port(&state, to);
        let Some(port) = known.clone().or_else(|| self.listener()) else {
            self.nobody(state);
            return Ok(());
        };
        match port.queue.push(self, to, packet, port.world.limits) {
            Ok(waker) => {
                state.end(to).coming += 1;
                if known.is_none() {
                    state.acceptor = Some(port);
                }
                drop(state);
                wake(waker);
                Ok(())
            }
            Err(Refusal::Full(packet)) => Err(Refused::Full(packet)),
            // It went between being looked up and being sent to.
            Err(Refusal::Over(_)) if known.is_none() => {
                self.nobody(state);
                Ok(())
            }
            Err(Refusal::Over(packet)) => {
                drop(state);
                self.close(to);
                Err(Refused::Closed(packet))
            }
        }
    }

    /// Tells the dialler that its first packet, which is the only one, reached nobody.
    fn nobody(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        state.over = true;
        let what = What::Undelivered(1);
        let item = Item { connection: self.clone(), to: End::Dialled, what };
        let waker = self.dialler.queue.push_end(item);
        drop(state);
        wake(waker);
    }

    /// Closes one end; the other is told, with the number of its packets that were not heard.
    pub(super) fn close(self: &Arc<Self>, end: End) {
        let mut state = self.state();
        let own = state.end(end);
        if std::mem::replace(&mut own.closed, true) {
            return;
        }
        let unheard = own.coming;
        if std::mem::replace(&mut state.over, true) {
            return;
        }
        let (own, other) = (self.port(&state, end), self.port(&state, end.other()));
        let item = Item { connection: self.clone(), to: end.other(), what: What::Closed(unheard) };
        let waker = other.as_ref().and_then(|port| port.queue.push_end(item));
        drop(state);
        wake(waker);
        for port in [own, other].into_iter().flatten() {
            port.queue.look_again();
        }
    }

    /// What the receiver of an end is told.
    pub(super) fn arrive(self: &Arc<Self>, to: End, what: What) -> Option<Arrival> {
        let mut state = self.state();
        let own = state.end(to);
        if own.closed {
            return None;
        }
        let link = match own.link.upgrade() {
            Some(link) => link,
            // It is being dropped, and will count this one when it closes.
            None if own.has_peer => return None,
            None => {
                let port = self.port(&state, to)?;
                self.link(&mut state, &port, to)
            }
        };
        if matches!(what, What::Packet(_)) {
            state.end(to).coming -= 1;
        }
        drop(state);
        let peer = Peer::new(link);
        Some(match what {
            What::Packet(packet) => Arrival::Packet { peer, packet },
            What::Undelivered(packets) => Arrival::Undelivered { peer, packets },
            What::Closed(packets) => Arrival::Closed { peer, packets },
        })
    }

    /// The port of an end, if it is known.
    fn port(&self, state: &State, end: End) -> Option<Arc<Shared>> {
        match end {
            End::Dialled => Some(self.dialler.clone()),
            End::Accepted => state.acceptor.clone(),
        }
    }

    fn listener(&self) -> Option<Arc<Shared>> {
        self.dialler.world.listener(&self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(receiver: Option<Waker>) {
    if let Some(receiver) = receiver {
        receiver.wake();
    }
}

impl State {
    fn end(&mut self, end: End) -> &mut EndState {
        match end {
            End::Dialled => &mut self.dialled,
            End::Accepted => &mut self.accepted,
        }
    }
}

impl End {
    fn other(self) -> Self {
        match self {
            Self::Dialled => Self::Accepted,
            Self::Accepted => Self::Dialled,
        }
    }
}

#[async_trait]
impl Link for MemoryLink {
    fn id(&self) -> PeerId {
        self.id
    }

    fn accepted(&self) -> bool {
        self.end == End::Accepted
    }

    fn remote(&self) -> &str {
        &self.remote
    }

    fn max_packet(&self) -> usize {
        self.connection.dialler.world.limits.max_packet
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        if packet.len() > self.max_packet() {
            return Err(Refused::TooLarge(packet));
        }
        self.connection.send(self.end, packet)
    }

    async fn ready(&self) -> Result<()> {
        let connection = &self.connection;
        loop {
            let port = {
                let state = connection.state();
                let port = connection.port(&state, self.end.other());
                if state.over { None } else { Some(port.or_else(|| connection.listener())) }
            };
            let Some(port) = port else {
                let gone = format!("the peer at {:?} is gone", self.remote);
                return Err(Error::unavailable(gone));
            };
            // If nobody is there, or nobody any more, the next attempt finds out.
            let Some(port) = port else {
                return Ok(());
            };
            let mut changed = pin!(port.queue.changed());
            changed.as_mut().enable();
            if port.queue.has_room(port.world.limits).unwrap_or(true) {
                return Ok(());
            }
            // Closed before `changed` could see it.
            if !connection.state().over {
                changed.await;
            }
        }
    }

    fn close(&self) {
        self.connection.close(self.end);
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.connection.close(self.end);
        let port = self.connection.port(&self.connection.state(), self.end);
        if let Some(port) = port {
            port.connections().remove(&self.id);
        }
    }
}
