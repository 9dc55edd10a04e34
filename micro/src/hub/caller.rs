//! A stream that we opened: its times, and what keeps it alive.

use std::sync::Arc;
use std::time::Duration;

use micro_core::wire::{Session, StreamId};
use micro_core::{Error, Result};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::inbox::Inbox;
use super::ticks::Ticks;
use crate::clock::NEVER;

/// After the half-close go-micro is asked whether the handler has ended: first after so long…
const FIRST_ASK: Duration = Duration::from_millis(20);
/// … or, where the handler gets one message and go-micro says when it has ended (but v2 in
/// protobuf: its codec/proto/proto.go:37 writes no message without a body), after so long…
const FIRST_ASK_AFTER_ONE: Duration = Duration::from_secs(1);
/// … and at last in this interval…
const LAST_ASK: Duration = Duration::from_secs(25);
/// … of which so many begin anew with a message: it holds 128 that nobody reads.
const MANY_ASKS: u32 = 64;
/// What the handler has sent before it ended comes within so long.
const QUIET: Duration = Duration::from_millis(100);

/// A service that takes no more for now is asked again after so long…
const FIRST_ASK_WINDOW: Duration = Duration::from_millis(5);
/// … and at last in this interval.
const LAST_ASK_WINDOW: Duration = Duration::from_millis(200);

/// How long a stream may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamTimes {
    pub(crate) deadline: Option<Instant>,
    /// Without a message, either way.
    pub(crate) idle: Option<Duration>,
    /// After so long a silence of either side the service is asked whether it lives, so that
    /// go-micro's forgets neither the stream nor its socket.
    pub(crate) keepalive: Duration,
}

/// A stream that we opened.
pub(super) struct Caller {
    pub(super) inbox: Arc<Inbox>,
    /// Who waits until somebody there has said something.
    opened: Option<oneshot::Sender<Result<()>>>,
    ticks: Arc<Ticks>,
    times: StreamTimes,
    last_message: Instant,
    /// When the service was last heard or asked.
    heard: Instant,
    /// When it was last told anything: it forgets who is silent, however much it sends.
    said: Instant,
    asks: Option<Asks>,
    /// The handler has ended: so has the stream when nothing comes until then.
    quiet: Option<Instant>,
    /// The service took no more: it is asked again then.
    ask_window: Option<Instant>,
    /// How long it is left alone before that.
    patience: Duration,
}

struct Asks {
    first: Duration,
    next: Instant,
    interval: Duration,
    sent: u32,
}

/// How a stream ended when its time was over.
pub(super) struct Over(pub(super) Result<()>);

impl Caller {
    pub(super) fn new(
        inbox: Arc<Inbox>,
        ticks: Arc<Ticks>,
        times: StreamTimes,
        now: Instant,
    ) -> (Self, oneshot::Receiver<Result<()>>) {
        let (opened, waits) = oneshot::channel();
        let opened = Some(opened);
        let (asks, quiet, ask_window) = (None, None, None);
        let (last_message, heard, said) = (now, now, now);
        let caller = Self {
            inbox,
            opened,
            ticks,
            times,
            last_message,
            heard,
            said,
            asks,
            quiet,
            ask_window,
            patience: FIRST_ASK_WINDOW,
        };
        caller.look_again();
        (caller, waits)
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        if let Some(opened) = self.opened.take() {
            // Who does not wait any more has ended the stream.
            let _ = opened.send(Ok(()));
        }
    }

    /// A message came.
    pub(super) fn message(&mut self, now: Instant) {
        self.last_message = now;
        if let Some(quiet) = &mut self.quiet {
            *quiet = now + QUIET;
        }
        // Mostly a handler's last messages come just before its end.
        if let Some(asks) = self.asks.as_mut().filter(|asks| asks.sent < MANY_ASKS) {
            asks.interval = asks.first;
            asks.next = now + asks.first;
            self.look_again();
        }
    }

    /// A message was sent.
    pub(super) fn sent(&mut self, now: Instant) {
        self.last_message = now;
        self.said = now;
        self.patience = FIRST_ASK_WINDOW;
    }

    /// The service takes no more for now.
    pub(super) fn starved(&mut self, now: Instant) {
        if self.ask_window.is_none() {
            self.ask_window = Some(now + self.patience);
            self.patience = (self.patience * 2).min(LAST_ASK_WINDOW);
            self.look_again();
        }
    }

    /// We send no more, and have said so.
    pub(super) fn half_closed(&mut self, now: Instant) {
        self.ask_after(now, FIRST_ASK);
    }

    /// We have sent the only message, and said so.
    pub(super) fn sent_one(&mut self, now: Instant) {
        self.ask_after(now, FIRST_ASK_AFTER_ONE);
    }

    fn ask_after(&mut self, now: Instant, first: Duration) {
        self.said = now;
        self.asks = Some(Asks { first, next: now + first, interval: first, sent: 0 });
        self.look_again();
    }

    pub(super) fn handler_ended(&mut self, now: Instant) {
        self.asks = None;
        self.quiet.get_or_insert(now + QUIET);
        self.look_again();
    }

    pub(super) fn over(self, how: Result<()>) {
        if let Some(opened) = self.opened {
            // Who does not wait any more has ended the stream.
            let _ = opened.send(how.clone());
        }
        self.inbox.end(how);
    }

    /// Does what is due, and says when to look again; or how the stream has ended.
    pub(super) fn on_time(
        &mut self,
        session: &mut Session,
        stream: StreamId,
        now: Instant,
    ) -> Result<Instant, Over> {
        if self.quiet.is_some_and(|quiet| quiet <= now) {
            session.forget_stream(stream);
            return Err(Over(Ok(())));
        }
        let late = self.times.deadline.is_some_and(|deadline| deadline <= now);
        let idle = self.idle_at().filter(|at| *at <= now).and(self.times.idle);
        if late || idle.is_some() {
            let detail = match idle {
                Some(idle) if !late => format!("no message on the stream for {idle:?}"),
                _ => "the time of the stream is over".to_owned(),
            };
            let error = Error::timeout(detail);
            let state = session.give_up_stream(stream, &error);
            let error = state.map_or(error.clone(), |state| error.with_request(state));
            return Err(Over(Err(error)));
        }
        if self.keepalive_at() <= now {
            session.probe();
            (self.heard, self.said) = (now, now);
        }
        if let Some(asks) = self.asks.as_mut().filter(|asks| asks.next <= now) {
            session.ask_end(stream);
            self.said = now;
            asks.sent += 1;
            asks.interval = (asks.interval * 2).min(LAST_ASK);
            asks.next = now + asks.interval;
        }
        if self.ask_window.take_if(|at| *at <= now).is_some() {
            session.ask_window();
        }
        Ok(self.due())
    }

    fn idle_at(&self) -> Option<Instant> {
        self.times.idle.map(|idle| self.last_message + idle.min(NEVER))
    }

    fn keepalive_at(&self) -> Instant {
        self.heard.min(self.said) + self.times.keepalive
    }

    fn due(&self) -> Instant {
        let asks = self.asks.as_ref().map(|asks| asks.next);
        let others = [self.times.deadline, self.idle_at(), asks, self.quiet, self.ask_window];
        others.into_iter().flatten().fold(self.keepalive_at(), Instant::min)
    }

    fn look_again(&self) {
        self.ticks.at(self.due());
    }
}
