//! One session with its peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use micro_core::Result;
use micro_core::transport::{Peer, Refused};
use micro_core::wire::{
    CallId, Counts, Event, IdMap, Limits, Outgoing, PROBE_ENDPOINT, Reply, RequestId, Session,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::calling::{Calling, Limit, Waiter};
use super::inbox::Inbox;
use super::pending::Pending;
use super::streams::Streams;
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
    /// The peer is closed once nothing waits to be sent.
    closing: AtomicBool,
    /// It is for a stream of ours.
    pub(super) is_streaming: bool,
}

pub(crate) struct State {
    pub(crate) session: Session,
    /// For those who call; most of those who are called have many sessions.
    calling: Option<Box<Calling>>,
    /// What stops the handlers that were not ready at once.
    pub(crate) handlers: IdMap<RequestId, CancellationToken>,
    /// Most have none.
    pub(super) streams: Option<Box<Streams>>,
    pub(crate) last_used: Instant,
}

/// What taking in packets needs room for, kept from one to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    /// What is for the runtime to act on.
    pub(crate) requests: Vec<Event>,
    pub(super) events: Vec<Event>,
    answered: Vec<(Waiter, Result<Reply>)>,
    woken: Vec<Arc<Inbox>>,
    /// The peer said something.
    heard: bool,
    /// Something waits to be sent to it.
    pub(crate) output: bool,
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
        let calling = Calling::new(Instant::now());
        let session = Session::client(limits);
        Self::new(peer, session, Some(Box::new(calling)), dropped, false)
    }

    /// A session with a peer that we dialled for a stream.
    pub(crate) fn streaming(peer: Peer, limits: Limits, dropped: Arc<Dropped>) -> Arc<Self> {
        Self::new(peer, Session::streaming(limits), None, dropped, true)
    }

    /// A session with a peer that dialled us.
    pub(crate) fn serving(peer: Peer, limits: Limits, dropped: Arc<Dropped>) -> Arc<Self> {
        Self::new(peer, Session::server(limits), None, dropped, false)
    }

    fn new(
        peer: Peer,
        session: Session,
        calling: Option<Box<Calling>>,
        dropped: Arc<Dropped>,
        is_streaming: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            peer,
            dropped,
            state: Mutex::new(State {
                session,
                calling,
                handlers: IdMap::default(),
                streams: None,
                last_used: Instant::now(),
            }),
            listed: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            is_streaming,
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
        let (waits, due) = calling.insert(id, now, limit);
        *last_used = now;
        drop(state);
        hub.ticks.at(due);
        Some(Ok(Pending::new(self.clone(), id, waits)))
    }

    /// Closes the peer once nothing waits to be sent to it.
    pub(crate) fn close_when_sent(&self) {
        self.closing.store(true, Ordering::Release);
        if !self.state().session.has_output() {
            self.peer.close();
        }
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
            calling.heard(now);
        }
        let before = state.session.counts();
        state.session.on_packet(packet, &mut scratch.events);
        let garbage = state.session.counts().garbage > before.garbage;
        scratch.heard = !garbage;
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
    /// lives: one of so many `peers` that calls wait for. Whether calls wait, and whether there is
    /// something to be sent.
    pub(crate) fn on_time(&self, hub: &Hub, now: Instant, peers: usize) -> (bool, bool) {
        let mut state = self.state();
        let State { session, calling, streams, .. } = &mut *state;
        if let Some(streams) = streams {
            let next = streams.on_time(session, now);
            let sends = session.has_output();
            streams.room.notify_waiters();
            drop(state);
            if let Some(next) = next {
                hub.ticks.at(next);
            }
            return (false, sends);
        }
        let Some(calling) = calling else { return (false, false) };
        let seen = calling.on_time(session, now, !self.is_closed(), peers);
        if seen.ask {
            session.probe();
        }
        drop(state);
        if let Some(next) = seen.next {
            hub.ticks.at(next);
        }
        for (waiter, known) in seen.over {
            // Whoever does not wait any more has said so to the session.
            let _ = waiter.answer.send(Err(known));
        }
        (seen.waits, seen.ask)
    }

    /// Sends until the session is empty or the peer has no room.
    pub(super) fn drain(&self) -> Drained {
        let mut state = self.state();
        let (mut scratch, before) = (Scratch::default(), state.session.counts());
        let events = &mut scratch.events;
        state.look_for_interruptions(events);
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
        if drained == Drained::Empty && self.closing.load(Ordering::Acquire) {
            self.peer.close();
        }
        drained
    }

    pub(super) fn act(
        &self,
        mut state: MutexGuard<'_, State>,
        before: Counts,
        scratch: &mut Scratch,
    ) {
        let Scratch { requests, events, answered, woken, heard, output } = scratch;
        let heard = std::mem::take(heard);
        let mut cancelled = Vec::new();
        let now = state.last_used;
        for event in events.drain(..) {
            match event {
                Event::Reply { call, reply } => {
                    let calling = state.calling.as_mut();
                    let waiter = calling.and_then(|calling| calling.answered(call, now));
                    answered.extend(waiter.map(|waiter| (waiter, reply)));
                }
                Event::Failed { call, error } => {
                    let waiter = state.waiter(call);
                    answered.extend(waiter.map(|waiter| (waiter, Err(error))));
                }
                Event::Cancelled { id } => cancelled.extend(state.handlers.remove(&id)),
                Event::Request { ref request, .. } => {
                    if let Some(streams) = &mut state.streams
                        && request.endpoint() == PROBE_ENDPOINT
                    {
                        streams.asked();
                    }
                    requests.push(event);
                }
                other => cancelled.extend(state.on_stream(other, now, woken)),
            }
        }
        let starved = !state.session.may_send();
        if let Some(streams) = &mut state.streams {
            if heard {
                streams.heard(now);
            }
            if starved {
                streams.starved(now);
            }
            streams.room.notify_waiters();
        }
        *output = state.session.has_output();
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
        for inbox in woken.drain(..) {
            inbox.wake();
        }
        self.dropped.tell(self.peer.remote(), before, now);
    }

    /// How many calls wait for their answer.
    #[cfg(all(test, feature = "memory"))]
    pub(crate) fn calls(&self) -> usize {
        self.state().calling.as_ref().map_or(0, |calling| calling.len())
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
        self.calling.as_mut()?.remove(call)
    }
}
