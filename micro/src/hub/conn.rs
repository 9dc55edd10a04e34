//! One session with its peer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use micro_core::transport::{Peer, Refused};
use micro_core::wire::{
    CallId, Counts, Event, IdMap, Limits, Outgoing, PROBE_ENDPOINT, Reply, RequestId, Session,
    StreamId,
};
use micro_core::{Error, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::calling::{Calling, Limit, Waiter};
use super::inbox::{Inbox, InboxLimits};
use super::pending::Pending;
use super::streams::Streams;
use super::{Dropped, Half, Hub, StreamTimes, lock};

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
    is_streaming: bool,
}

pub(crate) struct State {
    pub(crate) session: Session,
    /// For those who call; most of those who are called have many sessions.
    calling: Option<Box<Calling>>,
    /// What stops the handlers that were not ready at once.
    pub(crate) handlers: IdMap<RequestId, CancellationToken>,
    /// Most have none.
    streams: Option<Box<Streams>>,
    pub(crate) last_used: Instant,
}

/// What taking in packets needs room for, kept from one to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    /// What is for the runtime to act on.
    pub(crate) requests: Vec<Event>,
    events: Vec<Event>,
    answered: Vec<(Waiter, Result<Reply>)>,
    woken: Vec<Arc<Inbox>>,
    /// The peer said something.
    heard: bool,
    /// Something waits to be sent to it.
    pub(crate) output: bool,
}

/// How a stream is opened.
pub(crate) struct Opening {
    pub(crate) inbox: InboxLimits,
    pub(crate) times: StreamTimes,
    /// How long a message waits for room.
    pub(crate) wait: Duration,
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

    /// Opens the stream of this session, with a first message if the handler gets just one. What
    /// comes first from there, or that nobody is there, is told to the receiver.
    pub(crate) fn open(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        call: &Outgoing<'_>,
        only: Option<&[u8]>,
        opening: &Opening,
    ) -> Result<(Half, oneshot::Receiver<Result<()>>)> {
        let now = Instant::now();
        let mut state = self.state();
        let State { session, streams, .. } = &mut *state;
        let id = session.open(call)?;
        // First, since go-micro may forget this socket with the end of our messages.
        session.probe();
        if let Some(body) = only {
            session.send(id, body, self.peer.max_packet())?;
            session.half_close(id);
        }
        let inbox = Inbox::new(opening.inbox);
        let ticks = hub.ticks.clone();
        let (mut caller, opened) = Caller::new(inbox.clone(), ticks, opening.times, now);
        if only.is_some() {
            caller.sent_one(now);
        }
        let streams = streams.insert(Streams::new(now, hub.port.clone()));
        streams.called(id, caller);
        let room = streams.room.clone();
        drop(state);
        let (hub, conn, wait) = (hub.clone(), self.clone(), opening.wait);
        Ok((Half { hub, conn, id, inbox, room, wait }, opened))
    }

    /// Takes a request as the opening of a stream; `None` if it is none, or its caller is gone.
    pub(crate) fn accept(
        self: &Arc<Self>,
        hub: &Arc<Hub>,
        request: RequestId,
        limits: InboxLimits,
        wait: Duration,
        stop: CancellationToken,
    ) -> Option<Half> {
        let mut state = self.state();
        let now = state.last_used;
        let State { session, streams, .. } = &mut *state;
        let id = session.accept(request)?;
        let inbox = Inbox::new(limits);
        let streams = streams.get_or_insert_with(|| Streams::new(now, hub.port.clone()));
        streams.served(id, inbox.clone(), stop);
        let room = streams.room.clone();
        drop(state);
        let (hub, conn) = (hub.clone(), self.clone());
        Some(Half { hub, conn, id, inbox, room, wait })
    }

    /// Ends a stream that we serve; something is to be sent unless it is over already.
    pub(crate) fn end(&self, stream: StreamId, how: Result<(), &Error>) -> bool {
        let mut state = self.state();
        let State { session, streams, .. } = &mut *state;
        if let Some(streams) = streams {
            streams.over(stream, how.map_err(Error::clone));
        }
        session.end(stream, how)
    }

    /// What was on the way may be lost: see [`Session::interrupted`]. Whether that ended streams.
    pub(crate) fn interrupted(&self) -> bool {
        let mut state = self.state();
        let (mut scratch, before) = (Scratch::default(), state.session.counts());
        state.look_for_interruptions(&mut scratch.events);
        let ended = !scratch.events.is_empty();
        self.act(state, before, &mut scratch);
        ended
    }

    /// Ends the streams of a caller that is gone without a word; whether there were any.
    pub(crate) fn end_silent(&self, now: Instant, idle: Option<Duration>) -> bool {
        let mut state = self.state();
        let State { session, streams, .. } = &mut *state;
        let Some(streams) = streams else { return false };
        let Some((silent, error)) = streams.silent(now, idle) else { return false };
        let mut stops = Vec::new();
        for stream in silent {
            session.end(stream, Err(&error));
            stops.extend(streams.over(stream, Err(error.clone())));
        }
        drop(state);
        for stop in stops {
            stop.cancel();
        }
        true
    }

    /// Whether it is for a stream of ours.
    pub(crate) fn is_streaming(&self) -> bool {
        self.is_streaming
    }

    /// Whether streams are open that we serve.
    pub(crate) fn has_streams(&self) -> bool {
        self.state().streams.as_ref().is_some_and(|streams| !streams.is_empty())
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

    fn act(&self, mut state: MutexGuard<'_, State>, before: Counts, scratch: &mut Scratch) {
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
        if let Some(streams) = &mut state.streams {
            if heard {
                streams.heard(now);
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
    pub(super) fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.is_open(stream))
    }

    fn look_for_interruptions(&mut self, events: &mut Vec<Event>) {
        if self.streams.as_mut().is_some_and(|streams| streams.are_interrupted()) {
            self.session.interrupted(events);
        }
    }

    /// A message was queued.
    pub(super) fn sent(&mut self, stream: StreamId) {
        if let Some(caller) = self.streams.as_mut().and_then(|streams| streams.caller(stream)) {
            caller.sent(Instant::now());
        }
    }

    pub(super) fn half_close(&mut self, stream: StreamId) {
        if self.session.half_close(stream)
            && let Some(caller) = self.streams.as_mut().and_then(|streams| streams.caller(stream))
        {
            caller.half_closed(Instant::now());
        }
    }

    /// False if it was over.
    pub(super) fn give_up_stream(&mut self, stream: StreamId, error: Error) -> bool {
        if self.session.give_up_stream(stream, &error).is_none() {
            return false;
        }
        if let Some(streams) = &mut self.streams {
            streams.over(stream, Err(error));
        }
        true
    }

    pub(super) fn forget_stream(&mut self, stream: StreamId) {
        self.session.forget_stream(stream);
        if let Some(streams) = &mut self.streams {
            streams.over(stream, Ok(()));
        }
    }

    /// Acts on an event of a stream; returns what stops its handler if it is over.
    fn on_stream(
        &mut self,
        event: Event,
        now: Instant,
        woken: &mut Vec<Arc<Inbox>>,
    ) -> Option<CancellationToken> {
        let streams = self.streams.as_mut()?;
        match event {
            Event::Message { stream, body } => match streams.message(stream, body, now) {
                Ok(inbox) => {
                    woken.extend(inbox);
                    None
                }
                Err(error) => {
                    self.session.end(stream, Err(&error));
                    let error = match self.session.give_up_stream(stream, &error) {
                        Some(state) => error.with_request(state),
                        None => error,
                    };
                    streams.over(stream, Err(error))
                }
            },
            Event::Finished { stream } => {
                streams.finished(stream);
                None
            }
            Event::Broken { stream, error } => streams.over(stream, Err(error)),
            Event::HandlerEnded { stream } => {
                streams.caller(stream)?.handler_ended(now);
                None
            }
            _ => None,
        }
    }

    /// Nobody waits for this call any more.
    fn waiter(&mut self, call: CallId) -> Option<Waiter> {
        self.calling.as_mut()?.remove(call)
    }
}
