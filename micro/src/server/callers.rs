//! Who calls: one session for each caller, bounded.

use std::sync::Arc;
use std::time::Duration;

use micro_core::LogThrottle;
use micro_core::transport::{Peer, PeerId};
use micro_core::wire::{IdMap, Limits};
use tokio::time::Instant;

use super::options::ServerOptions;
use crate::hub::{Conn, Dropped};

/// After all were looked at and nobody was idle, so many times as long nobody is looked at: new
/// ones are refused at once, and those who are known are served.
const REST: u32 = 8;

/// The sessions of those who call.
pub(super) struct Callers {
    sessions: IdMap<PeerId, Arc<Conn>>,
    most: usize,
    /// Nobody was idle; it is not worth a look before.
    look_again: Option<Instant>,
    idle: Duration,
    stream_idle: Option<Duration>,
    limits: Limits,
    dropped: Arc<Dropped>,
    refused: LogThrottle,
}

impl Callers {
    pub(super) fn new(options: &ServerOptions, dropped: Arc<Dropped>) -> Self {
        Self {
            sessions: IdMap::default(),
            most: options.max_callers.max(1),
            look_again: None,
            idle: options.caller_idle,
            stream_idle: options.stream_idle,
            limits: options.caller_limits,
            dropped,
            refused: LogThrottle::default(),
        }
    }

    /// The session of a caller: the one that it has, or a new one, which counts only once it is
    /// [kept](Self::keep).
    pub(super) fn of(&mut self, peer: Peer) -> Arc<Conn> {
        if let Some(known) = self.sessions.get(&peer.id()) {
            return known.clone();
        }
        // Whoever finds no room is answered, with a refusal.
        let limits = if self.has_room() { self.limits } else { self.limits.with_open(0) };
        Conn::serving(peer, limits, self.dropped.clone())
    }

    /// It is a caller: it sent something that means something.
    pub(super) fn keep(&mut self, conn: &Arc<Conn>) {
        let id = conn.peer.id();
        if self.sessions.contains_key(&id) {
            return;
        }
        if self.sessions.len() >= self.most && self.has_room() {
            self.forget_the_idlest();
        }
        if self.sessions.len() < self.most {
            self.sessions.insert(id, conn.clone());
        } else if let Some(count) = self.refused.count() {
            tracing::warn!(limit = self.most, count, "too many callers: new ones are refused");
        }
    }

    pub(super) fn remove(&mut self, peer: PeerId) -> Option<Arc<Conn>> {
        self.sessions.remove(&peer)
    }

    /// Closes and forgets all.
    pub(super) fn leave(&mut self) {
        for conn in self.sessions.drain().map(|(_, conn)| conn) {
            conn.peer.close();
        }
    }

    /// Forgets those who were silent for too long. Returns those whose streams ended by that.
    pub(super) fn sweep(&mut self) -> Vec<Arc<Conn>> {
        let (idle, now) = (self.idle, Instant::now());
        let silent = |conn: &&Arc<Conn>| conn.end_silent(now, self.stream_idle);
        let ended = self.sessions.values().filter(silent).cloned().collect();
        self.sessions.retain(|_, conn| conn.idle_since().is_none_or(|at| at.elapsed() < idle));
        ended
    }

    /// What was on the way may be lost.
    pub(super) fn interrupted(&self) -> Vec<Arc<Conn>> {
        self.sessions.values().filter(|conn| conn.interrupted()).cloned().collect()
    }

    /// Forgets a sixteenth of all, of those that nothing is going on with the ones longest silent:
    /// so a crowd of new callers does not have all looked at for each of them.
    fn forget_the_idlest(&mut self) {
        let idle = self.sessions.iter().filter_map(|(id, conn)| Some((conn.idle_since()?, *id)));
        let mut idle: Vec<(Instant, PeerId)> = idle.collect();
        let enough = (self.most / 16).clamp(1, idle.len().max(1));
        if idle.len() > enough {
            idle.select_nth_unstable(enough);
        }
        for (_, id) in idle.into_iter().take(enough) {
            self.sessions.remove(&id);
        }
    }

    /// Whether there is room for one more, or can be made.
    fn has_room(&mut self) -> bool {
        if self.sessions.len() < self.most {
            return true;
        }
        let began = Instant::now();
        if self.look_again.is_some_and(|at| began < at) {
            return false;
        }
        let any_idle = self.sessions.values().any(|conn| conn.idle_since().is_some());
        let ended = Instant::now();
        self.look_again = (!any_idle).then(|| ended + (ended - began) * REST);
        any_idle
    }
}

impl Conn {
    /// Since when nothing is going on; `None` if something is.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.session.is_idle().then_some(state.last_used)
    }
}
