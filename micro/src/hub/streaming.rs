//! The streams on a session with its peer.

use std::sync::Arc;
use std::time::Duration;

use micro_core::wire::{Event, Outgoing, RequestId, StreamId};
use micro_core::{Error, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::conn::{Conn, Scratch, State};
use super::inbox::{Inbox, InboxLimits};
use super::streams::Streams;
use super::{Half, Hub, StreamTimes};

/// How a stream is opened.
pub(crate) struct Opening {
    pub(crate) inbox: InboxLimits,
    pub(crate) times: StreamTimes,
    /// How long a message waits for room.
    pub(crate) wait: Duration,
}

impl Conn {
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
        let inbox = Inbox::new(opening.inbox);
        // First, since go-micro may forget this socket with the end of our messages.
        let window = inbox.first_window();
        session.grant(window);
        inbox.granted(window);
        if let Some(body) = only {
            session.send(id, body, self.peer.max_packet())?;
            session.half_close(id);
        }
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

    /// Refuses a stream, so that what follows its opening opens no other; false if it is none.
    pub(crate) fn refuse(&self, request: RequestId, error: &Error) -> bool {
        let session = &mut self.state().session;
        session.accept(request).is_some_and(|stream| session.end(stream, Err(error)))
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
}

impl State {
    pub(super) fn has_stream(&self, stream: StreamId) -> bool {
        self.streams.as_ref().is_some_and(|streams| streams.is_open(stream))
    }

    pub(super) fn look_for_interruptions(&mut self, events: &mut Vec<Event>) {
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
    pub(super) fn on_stream(
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
}
