//! The streams of one session.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::transport::Port;
use micro_core::wire::{IdMap, Session, StreamId, Window};
use micro_core::{Error, Result};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::caller::{Caller, Over};
use super::inbox::Inbox;

/// A caller that asks from time to time whether we live, and has not for so long, is gone: those
/// of ours ask every 25 s.
const SILENT: Duration = Duration::from_secs(60);

/// The streams of one session, and who reads them.
pub(crate) struct Streams {
    open: IdMap<StreamId, End>,
    /// Wakes those who wait until they may send.
    pub(super) room: Arc<Notify>,
    /// When the other side last said something, of whatever kind.
    heard: Instant,
    /// It asks from time to time whether we live.
    asks: bool,
    port: Arc<dyn Port>,
    /// How often the port had been interrupted when it was last looked.
    interruptions: u64,
}

/// Our end of a stream.
enum End {
    Called(Box<Caller>),
    /// What stops its handler.
    Served(Arc<Inbox>, CancellationToken),
}

impl Streams {
    pub(super) fn new(now: Instant, port: Arc<dyn Port>) -> Box<Self> {
        let (open, room) = (IdMap::default(), Arc::default());
        Box::new(Self { open, room, heard: now, asks: false, port, interruptions: 0 })
    }

    /// Whether packets of those that are open may have been lost since this was asked. What is sent
    /// then must not look as if nothing were missing before it.
    pub(super) fn are_interrupted(&mut self) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let now = self.port.interruptions();
        std::mem::replace(&mut self.interruptions, now) != now
    }

    fn begin(&mut self) {
        if self.open.is_empty() {
            self.interruptions = self.port.interruptions();
        }
    }

    pub(super) fn called(&mut self, stream: StreamId, caller: Caller) {
        self.begin();
        self.open.insert(stream, End::Called(Box::new(caller)));
    }

    pub(super) fn served(&mut self, stream: StreamId, inbox: Arc<Inbox>, stop: CancellationToken) {
        self.begin();
        self.open.insert(stream, End::Served(inbox, stop));
    }

    pub(super) fn caller(&mut self, stream: StreamId) -> Option<&mut Caller> {
        match self.open.get_mut(&stream)? {
            End::Called(caller) => Some(caller),
            End::Served(..) => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn is_open(&self, stream: StreamId) -> bool {
        self.open.contains_key(&stream)
    }

    /// How much is taken of the one stream that we serve; nothing is said of several.
    pub(super) fn window(&self) -> Option<Window> {
        let mut served = self.open.values().filter_map(|end| match end {
            End::Served(inbox, _) => Some(inbox),
            End::Called(_) => None,
        });
        served.next().filter(|_| served.next().is_none()).map(|inbox| inbox.window())
    }

    /// What was said is to be said again soon, if the service takes nothing more for now.
    pub(super) fn starved(&mut self, now: Instant) {
        for end in self.open.values_mut() {
            if let End::Called(caller) = end {
                caller.starved(now);
            }
        }
    }

    /// The other side said something. Called after what it said was dealt with.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
        for end in self.open.values_mut() {
            if let End::Called(caller) = end {
                caller.heard(now);
            }
        }
    }

    /// It asked whether we live.
    pub(super) fn asked(&mut self) {
        self.asks = true;
    }

    /// A message has come; the inbox is to be woken.
    ///
    /// # Errors
    /// Why the stream is over: there is no room for it.
    pub(super) fn message(
        &mut self,
        stream: StreamId,
        body: Bytes,
        now: Instant,
    ) -> Result<Option<Arc<Inbox>>> {
        let inbox = match self.open.get_mut(&stream) {
            None => return Ok(None),
            Some(End::Called(caller)) => {
                caller.message(now);
                &caller.inbox
            }
            Some(End::Served(inbox, _)) => inbox,
        };
        inbox.push(body)?;
        Ok(Some(inbox.clone()))
    }

    /// The other side sends no more messages.
    pub(super) fn finished(&mut self, stream: StreamId) {
        match self.open.get(&stream) {
            Some(End::Called(_)) => drop(self.over(stream, Ok(()))),
            Some(End::Served(inbox, _)) => inbox.end(Ok(())),
            None => {}
        }
    }

    /// It is over; what stops its handler, if we serve it.
    pub(super) fn over(&mut self, stream: StreamId, how: Result<()>) -> Option<CancellationToken> {
        match self.open.remove(&stream)? {
            End::Called(caller) => {
                caller.over(how);
                None
            }
            End::Served(inbox, stop) => {
                inbox.end(how);
                Some(stop)
            }
        }
    }

    /// Ends the streams that we opened and whose time is over, and sends what keeps the others
    /// alive. When it is to be looked again.
    pub(super) fn on_time(&mut self, session: &mut Session, now: Instant) -> Option<Instant> {
        let mut ended = Vec::new();
        let mut next = None::<Instant>;
        for (stream, end) in &mut self.open {
            let End::Called(caller) = end else { continue };
            match caller.on_time(session, *stream, now) {
                Ok(due) => next = Some(next.map_or(due, |earlier| earlier.min(due))),
                Err(over) => ended.push((*stream, over)),
            }
        }
        for (stream, Over(how)) in ended {
            self.over(stream, how);
        }
        next
    }

    /// The streams of a caller that has not asked for long whether we live although it used to, or
    /// that was silent for `idle` if there is such a limit.
    pub(super) fn silent(
        &self,
        now: Instant,
        idle: Option<Duration>,
    ) -> Option<(Vec<StreamId>, Error)> {
        if self.open.is_empty() {
            return None;
        }
        let silence = now.saturating_duration_since(self.heard);
        let error = if self.asks && silence >= SILENT {
            Error::unavailable(format!("the caller is gone: it was silent for {silence:.0?}"))
        } else if idle.is_some_and(|idle| silence >= idle) {
            Error::timeout(format!("no message came on the stream for {silence:.0?}"))
        } else {
            return None;
        };
        Some((self.open.keys().copied().collect(), error))
    }
}
