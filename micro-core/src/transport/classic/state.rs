//! What dialer, listener, sockets and pump of one port share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Waker};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::{MOST, SocketOptions};
use crate::transport::{Peer, PeerId, Port};
use crate::{Error, Result};

pub(super) struct Shared {
    pub(super) port: Arc<dyn Port>,
    pub(super) options: SocketOptions,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sockets: HashMap<PeerId, Inbox>,
    /// Accepted ones whose sockets have gone since the pump last asked for arrivals: what it
    /// holds of theirs makes no new socket.
    ended: HashSet<PeerId>,
    /// Wakes the pump when the listener or everybody has gone.
    pump: Option<Waker>,
    listener_gone: bool,
    users_gone: bool,
    over: Option<Arc<str>>,
    counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) overflows: u64,
    pub(super) turned_away: u64,
}

/// Where the pump puts what arrives for a socket.
#[derive(Clone)]
pub(super) struct Inbox {
    pub(super) events: mpsc::Sender<Event>,
    /// Why nothing comes any more; set before the last sender goes.
    pub(super) end: Arc<OnceLock<End>>,
}

pub(super) enum Event {
    Packet(Bytes),
    /// The last so many packets reached nobody.
    Undelivered(u64),
}

pub(super) enum End {
    Closed { packets: u64 },
    Overflow { capacity: usize },
    Over(Arc<str>),
}

/// Held by everybody but the pump, which ends when the last one goes.
pub(super) struct Users {
    pub(super) shared: Arc<Shared>,
}

impl Shared {
    pub(super) fn new(port: Arc<dyn Port>, options: SocketOptions) -> Self {
        Self { port, options, state: Mutex::default() }
    }

    /// Makes the inbox of a new socket, unless the port is over.
    pub(super) fn open(&self, id: PeerId) -> Result<(Inbox, mpsc::Receiver<Event>)> {
        // One place more than packets may take, so that `Undelivered` always finds room.
        let (events, receiver) = mpsc::channel(self.options.receive_capacity.clamp(1, MOST) + 1);
        let inbox = Inbox { events, end: Arc::default() };
        let mut state = self.lock();
        if let Some(reason) = &state.over {
            return Err(Error::unavailable(&**reason));
        }
        state.sockets.insert(id, inbox.clone());
        Ok((inbox, receiver))
    }

    pub(super) fn inbox(&self, id: PeerId) -> Option<Inbox> {
        self.lock().sockets.get(&id).cloned()
    }

    /// Nothing more goes to the socket of this peer.
    pub(super) fn forget(&self, peer: &Peer) -> Option<Inbox> {
        let mut state = self.lock();
        if peer.accepted() {
            state.ended.insert(peer.id());
        }
        state.sockets.remove(&peer.id())
    }

    pub(super) fn has_ended(&self, id: PeerId) -> bool {
        self.lock().ended.contains(&id)
    }

    /// The pump holds nothing now, and will get nothing of peers that are closed.
    pub(super) fn forget_ended(&self) {
        self.lock().ended.clear();
    }

    pub(super) fn end(&self, peer: &Peer, end: End) {
        if let Some(inbox) = self.forget(peer) {
            let _ = inbox.end.set(end);
        }
    }

    /// The port is over: every socket reads to its end.
    pub(super) fn end_all(&self, reason: &str) {
        let (sockets, reason) = {
            let mut state = self.lock();
            let reason = state.over.get_or_insert_with(|| reason.into()).clone();
            (std::mem::take(&mut state.sockets), reason)
        };
        for inbox in sockets.into_values() {
            let _ = inbox.end.set(End::Over(reason.clone()));
        }
    }

    /// The error of a port that is over.
    pub(super) fn over(&self) -> Error {
        Error::unavailable(self.lock().over.as_deref().unwrap_or("the port is over"))
    }

    pub(super) fn sockets(&self) -> usize {
        self.lock().sockets.len()
    }

    /// Counts one more, and says how many that makes.
    pub(super) fn count(&self, which: impl FnOnce(&mut Counts) -> &mut u64) -> u64 {
        let mut state = self.lock();
        let count = which(&mut state.counts);
        *count += 1;
        *count
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.lock().counts.turned_away
    }

    pub(super) fn end_listening(&self) {
        self.tell_pump(|state| state.listener_gone = true);
    }

    pub(super) fn listener_gone(&self) -> bool {
        self.lock().listener_gone
    }

    /// Whether everybody has gone; if not, the pump is woken when that happens.
    pub(super) fn users_gone(&self, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        match &mut state.pump {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        state.users_gone
    }

    fn tell_pump(&self, what: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.lock();
            what(&mut state);
            state.pump.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        self.shared.tell_pump(|state| state.users_gone = true);
    }
}
