//! One session with its peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use micro_core::transport::{Peer, Refused};
use micro_core::wire::{CallId, Counts, Event, IdMap, Limits, Outgoing, Reply, RequestId, Session};
use micro_core::{RequestState, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pending::{Outcome, Pending};
use super::silence::Silence;
use super::{Dropped, Hub, lock};

/// go-micro forgets a socket that was silent for 60 s; one silent for so long is dialled anew.
const IDLE: Duration = Duration::from_secs(50);

/// One session with its peer.
pub(crate) struct Conn {
    pub(crate) peer: Peer,
    dropped: Arc<Dropped>,
    state: Mutex<State>,
    /// It is in the flusher's list.
    pub(super) listed: AtomicBool,
    /// The flusher waits until its peer has room.
    pub(crate) waiting: AtomicBool,
    /// Its peer takes nothing any more, or nobody brings what comes from there.
    closed: AtomicBool,
}

pub(crate) struct State {
    pub(crate) session: Session,
    /// For those who call; most of those who are called have many sessions.
    calling: Option<Box<Calling>>,
    /// What stops the handlers that were not ready at once.
    pub(crate) handlers: IdMap<RequestId, CancellationToken>,
    pub(crate) last_used: Instant,
}

/// The calls that wait for their answers.
struct Calling {
    calls: IdMap<CallId, Waiter>,
    /// No call's time is over before this.
    expiry: Option<Instant>,
    silence: Silence,
}

/// Who waits for an answer, and how long.
struct Waiter {
    answer: oneshot::Sender<Outcome>,
    began: Instant,
    limit: Limit,
}

/// What taking in packets needs room for, kept from one to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    /// What is for the runtime to act on.
    pub(crate) requests: Vec<Event>,
    events: Vec<Event>,
    answered: Vec<(Waiter, Result<Reply>)>,
}

/// How long a call waits.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// For its answer.
    pub(crate) answer: Instant,
    /// For the peer to take it.
    pub(crate) taken: Instant,
}

/// What was seen of a session when its time had come.
#[derive(Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Calls wait for their answers.
    pub(crate) waits: bool,
    /// The peer is asked whether it lives: that is to be sent.
    pub(crate) probes: bool,
}

/// What became of draining a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Drained {
    Empty,
    Full,
}

impl Conn {
    /// A session with a peer that we dialled.
    pub(crate) fn calling(peer: Peer, limits: Limits, dropped: Arc<Dropped>) -> Arc<Self> {
        let calling = Calling {
            calls: IdMap::default(),
            expiry: None,
            silence: Silence::new(Instant::now()),
        };
        let session = Session::client(limits);
        Self::new(peer, session, Some(Box::new(calling)), dropped)
    }

    /// A session with a peer that dialled us.
    pub(crate) fn serving(peer: Peer, limits: Limits, dropped: Arc<Dropped>) -> Arc<Self> {
        Self::new(peer, Session::server(limits), None, dropped)
    }

    fn new(
        peer: Peer,
        session: Session,
        calling: Option<Box<Calling>>,
        dropped: Arc<Dropped>,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            dropped,
            state: Mutex::new(State {
                session,
                calling,
                handlers: IdMap::default(),
                last_used: Instant::now(),
            }),
            listed: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Queues a call; its answer comes to the [`Pending`]. `None` if another session is to be
    /// dialled: the peer takes nothing any more, or may have forgotten this one.
    pub(crate) fn call(
        self: &Arc<Self>,
        hub: &Hub,
        call: &Outgoing<'_>,
        now: Instant,
        limit: Limit,
    ) -> Option<Result<Pending>> {
        let mut state = self.state();
        if !self.is_usable(&state, now) {
            return None;
        }
        let State { session, calling, last_used, .. } = &mut *state;
        let id = match session.call(call) {
            Ok(id) => id,
            Err(error) => return Some(Err(error)),
        };
        // A session that takes calls is one that calls.
        let calling = calling.as_mut()?;
        let (answer, waits) = oneshot::channel();
        if calling.calls.is_empty() {
            calling.silence.begin(now);
        }
        let expiry = limit.answer.min(limit.taken);
        calling.expiry = Some(calling.expiry.map_or(expiry, |earlier| earlier.min(expiry)));
        calling.calls.insert(id, Waiter { answer, began: now, limit });
        *last_used = now;
        let due = expiry.min(calling.silence.due());
        drop(state);
        hub.ticks.at(due);
        Some(Ok(Pending::new(self.clone(), id, waits)))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it takes calls now.
    pub(crate) fn can_be_called(&self, now: Instant) -> bool {
        let state = self.state();
        self.is_usable(&state, now)
    }

    fn is_usable(&self, state: &State, now: Instant) -> bool {
        let idle = now.saturating_duration_since(state.last_used);
        !self.is_closed() && (idle < IDLE || !state.session.is_idle())
    }

    /// Whether there is any use in keeping it: it can be called, or something is going on. If not,
    /// it takes no call from now on: whoever has it yet would wait for what nobody brings.
    pub(crate) fn keep(&self, now: Instant) -> bool {
        let state = self.state();
        let keep = self.is_usable(&state, now) || !state.session.is_idle();
        if !keep {
            self.closed.store(true, Ordering::Release);
        }
        keep
    }

    /// Takes in a packet; what is for a runtime to act on is appended to the requests. False if
    /// it was garbage.
    pub(crate) fn on_packet(&self, packet: &[u8], now: Instant, scratch: &mut Scratch) -> bool {
        let mut state = self.state();
        state.last_used = now;
        if let Some(calling) = &mut state.calling {
            calling.silence.heard(now);
        }
        let before = state.session.counts();
        state.session.on_packet(packet, &mut scratch.events);
        let garbage = state.session.counts().garbage > before.garbage;
        self.act(state, before, scratch);
        !garbage
    }

    /// The peer takes nothing any more: see [`Session::undelivered`].
    pub(crate) fn undelivered(&self, packets: u64, over: bool) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state();
        let (mut scratch, before) = (Scratch::default(), state.session.counts());
        state.session.undelivered(packets, over, &mut scratch.events);
        self.act(state, before, &mut scratch);
    }

    /// Ends the calls whose time is over, and asks a peer that was silent for long whether it
    /// lives: one of so many `peers` that calls wait for.
    pub(crate) fn on_time(&self, hub: &Hub, now: Instant, peers: usize) -> Seen {
        let mut state = self.state();
        let State { session, calling, .. } = &mut *state;
        let Some(calling) = calling else { return Seen::default() };
        if calling.calls.is_empty() {
            calling.expiry = None;
            return Seen::default();
        }
        let over = match calling.expiry {
            Some(expiry) if expiry <= now => calling.expire(session, now),
            _ => Vec::new(),
        };
        let mut seen = Seen { waits: !calling.calls.is_empty(), probes: false };
        let mut next = calling.expiry;
        if !self.is_closed() && seen.waits {
            if calling.silence.due() <= now {
                calling.silence.asked(now, peers);
                // What waits to be sent asks by itself, once it is.
                if !session.has_output() {
                    session.probe();
                    seen.probes = true;
                }
            }
            next = next.map(|next| next.min(calling.silence.due()));
        }
        drop(state);
        if let Some(next) = next {
            hub.ticks.at(next);
        }
        for (waiter, known) in over {
            // Whoever does not wait any more has said so to the session.
            let _ = waiter.answer.send(Err(known));
        }
        seen
    }

    /// Sends until the session is empty or the peer has no room.
    pub(super) fn drain(&self) -> Drained {
        let mut state = self.state();
        let (mut scratch, before) = (Scratch::default(), state.session.counts());
        let events = &mut scratch.events;
        let mut limit = self.peer.max_packet();
        let mut taken = false;
        let drained = loop {
            let Some(packet) = state.session.next_packet(limit, events) else {
                break Drained::Empty;
            };
            match self.peer.try_send(packet) {
                Ok(()) => {
                    state.session.taken();
                    taken = true;
                }
                Err(Refused::Full(_)) => break Drained::Full,
                Err(Refused::TooLarge(packet)) => {
                    limit = self.peer.max_packet().min(packet.len() - 1);
                }
                Err(_) => {
                    self.closed.store(true, Ordering::Release);
                    state.session.undelivered(0, false, events);
                    break Drained::Empty;
                }
            }
        };
        if taken {
            state.last_used = Instant::now();
        }
        self.act(state, before, &mut scratch);
        drained
    }

    fn act(&self, mut state: MutexGuard<'_, State>, before: Counts, scratch: &mut Scratch) {
        let Scratch { requests, events, answered } = scratch;
        let mut cancelled = Vec::new();
        let now = state.last_used;
        for event in events.drain(..) {
            match event {
                Event::Reply { call, reply } => {
                    let waiter = state.calling.as_mut().and_then(|calling| {
                        let waiter = calling.calls.remove(&call)?;
                        calling.silence.answered(now, now.saturating_duration_since(waiter.began));
                        Some(waiter)
                    });
                    answered.extend(waiter.map(|waiter| (waiter, reply)));
                }
                Event::Failed { call, error } => {
                    let waiter = state.waiter(call);
                    answered.extend(waiter.map(|waiter| (waiter, Err(error))));
                }
                Event::Cancelled { id } => cancelled.extend(state.handlers.remove(&id)),
                other => requests.push(other),
            }
        }
        let now = state.session.counts();
        // Woken only when the lock is free again.
        drop(state);
        for (waiter, reply) in answered.drain(..) {
            // Whoever does not wait any more has said so to the session.
            let _ = waiter.answer.send(Ok(reply));
        }
        for handler in cancelled {
            handler.cancel();
        }
        self.dropped.tell(self.peer.remote(), before, now);
    }

    /// How many calls wait for their answer.
    #[cfg(all(test, feature = "memory"))]
    pub(crate) fn calls(&self) -> usize {
        self.state().calling.as_ref().map_or(0, |calling| calling.calls.len())
    }

    pub(super) fn give_up(&self, call: CallId) {
        let mut state = self.state();
        state.waiter(call);
        state.session.give_up(call);
    }
}

impl State {
    /// Nobody waits for this call any more.
    fn waiter(&mut self, call: CallId) -> Option<Waiter> {
        self.calling.as_mut()?.calls.remove(&call)
    }
}

impl Calling {
    /// Gives up the calls whose time is over; what is known of each.
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
