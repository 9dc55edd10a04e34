//! Who calls: one session for each caller, bounded.

use std::sync::Arc;
use std::time::Duration;

use micro_core::LogThrottle;
use micro_core::transport::{Peer, PeerId};
use micro_core::wire::{IdMap, Limits};
use tokio::time::Instant;

use super::options::ServerOptions;
use crate::hub::{Conn, Dropped};

/// The sessions of those who call.
pub(super) struct Callers {
    sessions: IdMap<PeerId, Arc<Conn>>,
    most: usize,
    idle: Duration,
    limits: Limits,
    dropped: Arc<Dropped>,
    refused: LogThrottle,
}

impl Callers {
    pub(super) fn new(options: &ServerOptions, dropped: Arc<Dropped>) -> Self {
        Self {
            sessions: IdMap::default(),
            most: options.max_callers.max(1),
            idle: options.caller_idle,
            limits: options.caller_limits,
            dropped,
            refused: LogThrottle::default(),
        }
    }

    /// The session of a caller: the one that it has, or a new one, which counts only once it is
    /// [kept](Self::keep).
    pub(super) fn of(&self, peer: Peer) -> Arc<Conn> {
        match self.sessions.get(&peer.id()) {
            Some(known) => known.clone(),
            None => {
                let room = self.sessions.len() < self.most || self.any_idle();
                // Whoever finds no room is answered, with a refusal.
                let limits = if room { self.limits } else { self.limits.with_open(0) };
                Conn::serving(peer, limits, self.dropped.clone())
            }
        }
    }

    /// It is a caller: it sent something that means something.
    pub(super) fn keep(&mut self, conn: &Arc<Conn>) {
        let id = conn.peer.id();
        if self.sessions.contains_key(&id) {
            return;
        }
        if self.sessions.len() >= self.most {
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

    /// Forgets those who were silent for too long.
    pub(super) fn sweep(&mut self) {
        let idle = self.idle;
        self.sessions.retain(|_, conn| conn.idle_since().is_none_or(|at| at.elapsed() < idle));
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

    fn any_idle(&self) -> bool {
        self.sessions.values().any(|conn| conn.idle_since().is_some())
    }
}

impl Conn {
    /// Since when nothing is going on; `None` if something is.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        state.session.is_idle().then_some(state.last_used)
    }
}
