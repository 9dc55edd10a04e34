//! The receiving half of an open port: it accepts, connects, reads and writes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use micro_core::Result;
use micro_core::transport::{Arrival, Incoming, PeerId};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Sleep, sleep};

use crate::conn::{Conn, Outcome};
use crate::dial::{dial, welcome};
use crate::dropped::Reason;
use crate::hub::{Doorbell, Hub};
use crate::listening::Listening;
use crate::out::Phase;
use crate::peer::Shared;
use crate::reader::{AT_ONCE, BYTES_AT_ONCE, Turn};
use crate::stream::Stream;

/// How many connections are accepted before those that are there have their turn.
const ACCEPTS: usize = 16;
/// How long nothing is accepted when that failed, for want of file descriptors mostly.
const PAUSE: Duration = Duration::from_millis(50);

/// The receiver. When it is dropped, the port is over.
pub(crate) struct TcpIncoming {
    hub: Arc<Hub>,
    door: Option<Door>,
    conns: HashMap<PeerId, Conn>,
    /// How many of them were accepted, and those without a first packet, oldest first.
    accepted: usize,
    half_open: BTreeSet<PeerId>,
    /// Whose turn it is.
    ready: VecDeque<Arc<Shared>>,
    scratch: BytesMut,
}

/// Where others come in.
struct Door {
    listening: Arc<Listening>,
    bell: Arc<Doorbell>,
    waker: Waker,
    pause: Option<Pin<Box<Sleep>>>,
}

impl TcpIncoming {
    pub(crate) fn new(hub: Arc<Hub>, listening: Option<Arc<Listening>>) -> Self {
        let door = listening.map(|listening| {
            let bell = Arc::new(Doorbell::new(hub.clone()));
            let waker = Waker::from(bell.clone());
            listening.set_waker(waker.clone());
            Door { listening, bell, waker, pause: None }
        });
        Self {
            hub,
            door,
            conns: HashMap::new(),
            accepted: 0,
            half_open: BTreeSet::new(),
            ready: VecDeque::new(),
            scratch: BytesMut::new(),
        }
    }

    fn accept(&mut self) {
        let Some(door) = self.door.as_mut().filter(|door| door.bell.answer()) else { return };
        let waker = door.waker.clone();
        let cx = &mut Context::from_waker(&waker);
        if let Some(pause) = &mut door.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return;
            }
            door.pause = None;
        }
        for _ in 0..ACCEPTS {
            let Some(door) = &mut self.door else { return };
            match door.listening.poll_accept(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => return self.stop(),
                Poll::Ready(Some(Ok((stream, remote)))) => self.admit(stream, &remote),
                Poll::Ready(Some(Err(error))) => {
                    self.hub.counters.accept_failed(&error);
                    door.pause = Some(Box::pin(sleep(PAUSE)));
                    break;
                }
            }
        }
        waker.wake();
    }

    fn admit(&mut self, stream: Box<dyn Stream>, remote: &str) {
        let (hub, Some(door)) = (&self.hub, &self.door) else { return };
        let options = &hub.options;
        if self.accepted >= options.max_connections {
            let why = format!("there are {} already", options.max_connections);
            return hub.counters.count(Reason::TooMany, remote, &why);
        }
        let shared = Shared::accepted(hub, remote);
        let opening = welcome(stream, door.listening.id(), hub.clone());
        let conn = Conn::new(shared.clone(), Box::pin(opening), options.half_open_timeout);
        self.accepted += 1;
        self.half_open.insert(shared.id);
        self.conns.insert(shared.id, conn);
        // It will be polled in this turn.
        std::task::Wake::wake(shared);
    }

    /// Closes the oldest connections without a first packet, of those that are too many.
    fn thin_out(&mut self, arrivals: &mut Vec<Arrival>, spent: &mut Spent) {
        while self.half_open.len() > self.hub.options.max_half_open
            && spent.packets < AT_ONCE
            && let Some(oldest) = self.half_open.first().copied()
        {
            let Some(conn) = self.conns.get(&oldest) else { return };
            let shared = conn.shared().clone();
            // Its first packet may be here by now.
            self.drive(&shared, arrivals, spent);
            if self.half_open.remove(&oldest) {
                self.hub.counters.count(Reason::HalfOpen, &shared.remote, &"so many others are");
                self.remove(oldest);
            }
        }
    }

    /// Nobody listens any more: who was not greeted yet never will be.
    fn stop(&mut self) {
        self.door = None;
        let strangers = self.half_open.iter().filter(|id| !self.conns[id].is_greeted());
        for id in strangers.copied().collect::<Vec<_>>() {
            self.remove(id);
        }
    }

    fn drive(&mut self, shared: &Arc<Shared>, arrivals: &mut Vec<Arrival>, spent: &mut Spent) {
        shared.seen();
        let id = shared.id;
        let conn = match self.conns.get_mut(&id) {
            Some(conn) => conn,
            None => match begin(shared) {
                Some(conn) => self.conns.entry(id).or_insert(conn),
                None => return,
            },
        };
        let scratch = &mut self.scratch;
        let Spent { packets, bytes, read } = *spent;
        let mut turn = Turn { arrivals, packets, bytes, read, scratch };
        let outcome = conn.drive(&mut turn);
        *spent = Spent { packets: turn.packets, bytes: turn.bytes, read: turn.read };
        if outcome == Outcome::Over {
            self.remove(id);
        } else if !conn.is_half_open() {
            self.half_open.remove(&id);
        }
    }

    fn remove(&mut self, id: PeerId) {
        if let Some(conn) = self.conns.remove(&id) {
            self.accepted -= usize::from(conn.shared().target.is_none());
            self.half_open.remove(&id);
        }
    }
}

/// A dial, when its first packet was sent.
fn begin(shared: &Arc<Shared>) -> Option<Conn> {
    let target = shared.target.clone()?;
    if !matches!(shared.phase(), Phase::Opening | Phase::Closing) {
        // It was looked at once more after its end.
        return None;
    }
    let opening = dial(target, shared.hub.clone());
    Some(Conn::new(shared.clone(), Box::pin(opening), shared.hub.options.connect_timeout))
}

#[derive(Default)]
struct Spent {
    packets: usize,
    bytes: usize,
    read: usize,
}

impl Incoming for TcpIncoming {
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        self.hub.turn(cx);
        let (before, mut spent) = (out.len(), Spent::default());
        self.accept();
        self.thin_out(out, &mut spent);
        self.hub.take_ready(&mut self.ready);
        while out.len() - before < AT_ONCE
            && spent.bytes < BYTES_AT_ONCE
            && spent.read < BYTES_AT_ONCE
            && has_budget_remaining()
            && let Some(shared) = self.ready.pop_front()
        {
            self.drive(&shared, out, &mut spent);
        }
        if out.len() > before {
            return Poll::Ready(Ok(()));
        }
        if !self.ready.is_empty() {
            // The task has had its time: those whose turn it was not are first in the next one.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for TcpIncoming {
    fn drop(&mut self) {
        if let Some(door) = &self.door {
            door.listening.stop();
        }
        // They say farewell.
        self.conns.clear();
        for waiting in self.hub.end().into_iter().chain(self.ready.drain(..)) {
            waiting.end();
        }
    }
}
