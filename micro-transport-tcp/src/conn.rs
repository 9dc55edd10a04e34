//! One connection, as the receiver drives it.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use micro_core::transport::Arrival;
use micro_core::{Error, ErrorKind, Result};
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep};
use tokio_util::io::poll_read_buf;

use crate::dropped::Reason;
use crate::frames::READ;
use crate::out::Phase;
use crate::peer::{Ended, Held, Shared};
use crate::reader::{End, READS, Reader, Turn};
use crate::stream::{Reading, Stream};

/// A connection whose other side has greeted.
pub(crate) struct Opened {
    pub(crate) stream: Box<dyn Stream>,
    /// The largest packet that both sides take.
    pub(crate) max_packet: usize,
}

pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<Opened>> + Send>>;

/// One connection.
pub(crate) struct Conn {
    shared: Arc<Shared>,
    waker: Waker,
    stage: Stage,
    timer: Option<Pin<Box<Sleep>>>,
    /// It was accepted, and no first packet has come.
    half_open: bool,
    /// It was closed here, and what was taken is being written.
    lingers: bool,
    /// How many packets the receiver has handed on.
    heard: u64,
    /// How much of a first packet had come when it got its time anew.
    earned: usize,
}

enum Stage {
    Opening(Opening),
    Open {
        reading: Reading,
        /// What came and is no whole packet yet.
        buffer: BytesMut,
    },
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Lives,
    Over,
}

/// A partial packet up to here is read on in the buffer that all share.
const SMALL: usize = 4 * 1024;
/// How much is still read of a connection that is dropped.
const UNREAD: usize = 16 * READ;
/// A dialler that has sent so much more of its first packet gets the time for one anew.
const EARNEST: usize = 64 * 1024;

impl Conn {
    pub(crate) fn new(shared: Arc<Shared>, opening: Opening, timeout: Duration) -> Self {
        let half_open = shared.target.is_none();
        let waker = Waker::from(shared.clone());
        let timer = Some(Box::pin(sleep(timeout)));
        let stage = Stage::Opening(opening);
        Self { shared, waker, stage, timer, half_open, lingers: false, heard: 0, earned: 0 }
    }

    pub(crate) fn is_half_open(&self) -> bool {
        self.half_open
    }

    pub(crate) fn is_greeted(&self) -> bool {
        matches!(self.stage, Stage::Open { .. })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Does what can be done now.
    pub(crate) fn drive(&mut self, turn: &mut Turn<'_>) -> Outcome {
        let waker = self.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        if !self.lingers && self.shared.phase() == Phase::Closing {
            self.lingers = true;
            let linger = Box::pin(sleep(self.shared.hub.options.linger));
            // A dial has its own, shorter time.
            if self.is_greeted() || self.timer.is_none() {
                self.timer = Some(linger);
            }
        }
        if let Stage::Opening(opening) = &mut self.stage {
            match opening.as_mut().poll(cx) {
                Poll::Pending => {}
                Poll::Ready(Err(error)) => return self.unopened(turn, Reason::Stranger, &error),
                Poll::Ready(Ok(opened)) => {
                    if let Err(error) = self.open(opened) {
                        return self.unopened(turn, Reason::Stranger, &error);
                    }
                }
            }
        }
        let is_late = |timer: &mut Pin<Box<Sleep>>| timer.as_mut().poll(cx).is_ready();
        if self.timer.as_mut().is_some_and(is_late) {
            if !self.lingers || !self.is_greeted() {
                let late = Error::timeout("not in time");
                return self.unopened(turn, Reason::HalfOpen, &late);
            }
            return self.over(turn, "it did not end in time");
        }
        match &self.stage {
            Stage::Opening(_) => Outcome::Lives,
            Stage::Open { .. } if self.lingers => self.wind_up(cx, turn),
            Stage::Open { .. } => {
                let _ = self.shared.poll_write(cx);
                self.read(cx, turn)
            }
        }
    }

    /// The other side has greeted.
    fn open(&mut self, opened: Opened) -> Result<()> {
        let (reading, writing) = opened.stream.split();
        if !self.shared.open(writing, opened.max_packet) {
            let most = opened.max_packet;
            let small = format!("it takes no packet over {most} bytes, and a larger one waits");
            return Err(Error::new(ErrorKind::TooLarge, small));
        }
        self.stage = Stage::Open { reading, buffer: BytesMut::new() };
        if self.lingers {
            self.timer = Some(Box::pin(sleep(self.shared.hub.options.linger)));
        } else if !self.half_open {
            self.timer = None;
        }
        Ok(())
    }

    fn read(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Outcome {
        let Stage::Open { reading, buffer } = &mut self.stage else { return Outcome::Lives };
        let mut own = std::mem::take(buffer);
        let borrows = own.len() <= SMALL;
        if borrows {
            let mut scratch = std::mem::take(turn.scratch);
            scratch.clear();
            scratch.extend_from_slice(&own);
            own = scratch;
        }
        let (shared, half_open, heard) = (&self.shared, self.half_open, &mut self.heard);
        let mut reader = Reader { shared, peer: None, half_open, heard };
        let read = reader.read(reading, &mut own, cx, turn);
        drop(reader);
        if self.heard > 0 {
            if !self.lingers {
                (self.half_open, self.timer) = (false, None);
            }
        } else if self.shared.target.is_none() && own.len() >= self.earned + EARNEST {
            (self.half_open, self.earned) = (false, own.len());
            self.timer = Some(Box::pin(sleep(self.shared.hub.options.half_open_timeout)));
        }
        if borrows {
            *buffer = BytesMut::from(&own[..]);
            *turn.scratch = own;
        } else if !own.is_empty() {
            *buffer = own;
        }
        match read {
            Poll::Pending => Outcome::Lives,
            Poll::Ready(End::Farewell(heard)) => {
                self.over_since(turn, "it said farewell", |taken| taken.saturating_sub(heard))
            }
            Poll::Ready(End::Eof) => self.over(turn, "it was closed"),
            Poll::Ready(End::Failed(error)) => self.over(turn, &error.to_string()),
            Poll::Ready(End::TooLong(error)) => {
                self.shared.hub.counters.count(Reason::TooLong, &self.shared.remote, &error);
                self.over(turn, &error.to_string())
            }
        }
    }

    /// Writes what was taken, says farewell, and waits until the other side has said so,
    /// too: what came and was not read when a socket is closed would destroy what it has not read.
    fn wind_up(&mut self, cx: &mut Context<'_>, turn: &mut Turn<'_>) -> Outcome {
        let Stage::Open { reading, buffer } = &mut self.stage else { return Outcome::Lives };
        *buffer = BytesMut::new();
        self.shared.say_farewell(self.heard);
        if self.shared.poll_write(cx).is_ready() {
            let _ = self.shared.poll_shutdown(cx);
        }
        for _ in 0..READS {
            turn.scratch.clear();
            turn.scratch.reserve(READ);
            match poll_read_buf(pin!(&mut *reading), cx, turn.scratch) {
                Poll::Pending => return Outcome::Lives,
                Poll::Ready(Ok(0) | Err(_)) => return self.over(turn, "it was closed"),
                Poll::Ready(Ok(_)) => {}
            }
        }
        self.waker.wake_by_ref();
        Outcome::Lives
    }

    /// Nobody was reached, or nobody greeted.
    fn unopened(&self, turn: &mut Turn<'_>, reason: Reason, error: &Error) -> Outcome {
        self.take_leave();
        let Ended { was, unwritten: packets, .. } = self.shared.end();
        if self.shared.target.is_none() {
            self.shared.hub.counters.count(reason, &self.shared.remote, error);
        } else {
            self.shared.hub.counters.not_reached(&self.shared.remote, packets, error);
            if let (Phase::Opening, Some(Held::By(peer))) = (was, self.shared.peer()) {
                turn.arrivals.push(Arrival::Undelivered { peer, packets });
            }
        }
        Outcome::Over
    }

    /// Says farewell, as far as the system takes it.
    fn take_leave(&self) {
        self.shared.say_farewell(self.heard);
        at_once(|cx| {
            if self.shared.poll_write(cx).is_ready() {
                let _ = self.shared.poll_shutdown(cx);
            }
        });
    }

    fn over(&self, turn: &mut Turn<'_>, why: &str) -> Outcome {
        self.over_since(turn, why, |_| 0)
    }

    /// `unheard`: how many of the packets that were taken are known not to have been heard, beside
    /// those that were not written in full.
    fn over_since(
        &self,
        turn: &mut Turn<'_>,
        why: &str,
        unheard: impl FnOnce(u64) -> u64,
    ) -> Outcome {
        let Ended { was, unwritten, taken } = self.shared.end();
        let packets = unwritten.max(unheard(taken));
        tracing::trace!(remote = &*self.shared.remote, packets, why, "a connection is over");
        if let (Phase::Open | Phase::Broken, Some(Held::By(peer))) = (was, self.shared.peer()) {
            turn.arrivals.push(Arrival::Closed { peer, packets });
        }
        Outcome::Over
    }
}

/// At once, with a farewell if the system takes it. What came and was not read is taken first, where
/// there is not too much of it: to close a socket with something unread destroys what is still on
/// the way to the other side.
impl Drop for Conn {
    fn drop(&mut self) {
        self.take_leave();
        self.shared.end();
        let Stage::Open { reading, buffer } = &mut self.stage else { return };
        at_once(|cx| {
            for _ in 0..UNREAD / READ {
                buffer.clear();
                buffer.reserve(READ);
                if !matches!(poll_read_buf(pin!(&mut *reading), cx, buffer), Poll::Ready(Ok(1..))) {
                    break;
                }
            }
        });
    }
}

/// Does what needs no waiting, whatever the task that this runs in has done before: an exhausted
/// budget would look like a socket that is not ready.
fn at_once(mut act: impl FnMut(&mut Context<'_>)) {
    let acting = unconstrained(poll_fn(|cx| {
        act(cx);
        Poll::Ready(())
    }));
    let _ = pin!(acting).poll(&mut Context::from_waker(Waker::noop()));
}
