//! The calls of one session that wait for their answers.

use micro_core::RequestState;
use micro_core::wire::{CallId, IdMap, Session};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::pending::Outcome;
use super::silence::Silence;

/// The calls that wait for their answers.
pub(super) struct Calling {
    calls: IdMap<CallId, Waiter>,
    /// No call's time is over before this.
    expiry: Option<Instant>,
    silence: Silence,
}

/// Who waits for an answer, and how long.
pub(super) struct Waiter {
    pub(super) answer: oneshot::Sender<Outcome>,
    began: Instant,
    limit: Limit,
}

/// How long a call waits.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// For its answer.
    pub(crate) answer: Instant,
    /// For the peer to take it.
    pub(crate) taken: Instant,
}

/// What was seen when the time of a session had come.
#[derive(Default)]
pub(super) struct Seen {
    /// Calls whose time is over, and what is known of each.
    pub(super) over: Vec<(Waiter, RequestState)>,
    /// Calls wait for their answers.
    pub(super) waits: bool,
    /// The peer is to be asked whether it lives.
    pub(super) ask: bool,
    /// When it is to be looked again.
    pub(super) next: Option<Instant>,
}

impl Calling {
    pub(super) fn new(now: Instant) -> Self {
        Self { calls: IdMap::default(), expiry: None, silence: Silence::new(now) }
    }

    /// A call waits from now on; its answer comes to the receiver. Also when it is to be looked
    /// at.
    pub(super) fn insert(
        &mut self,
        id: CallId,
        now: Instant,
        limit: Limit,
    ) -> (oneshot::Receiver<Outcome>, Instant) {
        let (answer, waits) = oneshot::channel();
        if self.calls.is_empty() {
            self.silence.begin(now);
        }
        let expiry = limit.answer.min(limit.taken);
        self.expiry = Some(self.expiry.map_or(expiry, |earlier| earlier.min(expiry)));
        self.calls.insert(id, Waiter { answer, began: now, limit });
        (waits, expiry.min(self.silence.due()))
    }

    /// The peer said something.
    pub(super) fn heard(&mut self, now: Instant) {
        self.silence.heard(now);
    }

    /// The peer answered this call; who waits for it, if anybody does.
    pub(super) fn answered(&mut self, id: CallId, now: Instant) -> Option<Waiter> {
        let waiter = self.calls.remove(&id)?;
        self.silence.answered(now, now.saturating_duration_since(waiter.began));
        Some(waiter)
    }

    /// Nobody waits for this call any more.
    pub(super) fn remove(&mut self, id: CallId) -> Option<Waiter> {
        self.calls.remove(&id)
    }

    /// How many wait.
    #[cfg(all(test, feature = "memory"))]
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Gives up the calls whose time is over. A peer that takes packets and was silent for long is
    /// to be asked whether it lives: one of so many that calls wait for.
    pub(super) fn on_time(
        &mut self,
        session: &mut Session,
        now: Instant,
        takes: bool,
        peers: usize,
    ) -> Seen {
        if self.calls.is_empty() {
            self.expiry = None;
            return Seen::default();
        }
        let over = match self.expiry {
            Some(expiry) if expiry <= now => self.expire(session, now),
            _ => Vec::new(),
        };
        let (waits, mut ask, mut next) = (!self.calls.is_empty(), false, self.expiry);
        if takes && waits {
            if self.silence.due() <= now {
                self.silence.asked(now, peers);
                // What waits to be sent asks by itself, once it is.
                ask = !session.has_output();
            }
            next = next.map(|next| next.min(self.silence.due()));
        }
        Seen { over, waits, ask, next }
    }

    /// What is known of each call whose time is over.
    fn expire(&mut self, session: &mut Session, now: Instant) -> Vec<(Waiter, RequestState)> {
        let (mut over, mut next) = (Vec::new(), None::<Instant>);
        for (id, waiter) in &self.calls {
            let unsent = waiter.limit.taken < waiter.limit.answer && session.is_unsent(*id);
            let expiry = if unsent { waiter.limit.taken } else { waiter.limit.answer };
            if expiry <= now {
                over.push(*id);
            } else {
                next = Some(next.map_or(expiry, |earlier| earlier.min(expiry)));
            }
        }
        self.expiry = next;
        // As they wait to be sent: so each is found, and taken out, at the front.
        over.sort_unstable();
        let calls = over.into_iter().filter_map(|id| {
            let waiter = self.calls.remove(&id)?;
            Some((waiter, session.give_up(id).unwrap_or(RequestState::Unknown)))
        });
        calls.collect()
    }
}
