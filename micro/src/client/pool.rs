//! The sessions with the nodes that this process calls, on one port.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use micro_core::codec;
use micro_core::transport::{Arrival, Bind, Incoming, PeerId};
use micro_core::wire::{IdMap, Limits};
use micro_core::{Error, Result, Transport};
use tokio::time::{Instant, sleep};
use tokio_util::task::AbortOnDropHandle;

use crate::hub::{Conn, Hub, Scratch, Ticks, lock};

/// After it was looked whose time is over, so many times as long is nobody looked at: where very
/// many wait, they are told a little late, and answers are read meanwhile.
const REST: u32 = 8;
/// While streams are open it is looked so often whether packets may have been lost: who only receives
/// would hear of it with the next packet, which may be what was lost.
const LOOK: Duration = Duration::from_secs(1);

/// The sessions with the nodes that this process calls. The port opens with the first call, and
/// again should it ever be over.
pub(super) struct Pool {
    transport: Arc<dyn Transport>,
    limits: Limits,
    open: ArcSwapOption<Open>,
    opening: tokio::sync::Mutex<()>,
}

struct Open {
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    _pump: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    conns: Mutex<Conns>,
    /// How many of them are for streams.
    streams: AtomicUsize,
    over: AtomicBool,
}

#[derive(Default)]
struct Conns {
    by_address: HashMap<String, Arc<Conn>>,
    by_peer: IdMap<PeerId, Arc<Conn>>,
}

/// A session with a node.
pub(super) struct Lease {
    pub(super) hub: Arc<Hub>,
    pub(super) conn: Arc<Conn>,
    /// Nobody else uses it: it ends with the call or stream.
    alone: Option<Arc<Shared>>,
}

impl Lease {
    /// Whether other calls may use it too.
    pub(super) fn is_shared(&self) -> bool {
        self.alone.is_none()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shared) = &self.alone {
            self.conn.close_when_sent();
            if self.conn.is_streaming() {
                shared.streams.fetch_sub(1, Ordering::AcqRel);
            }
            lock(&shared.conns).by_peer.remove(&self.conn.peer.id());
        }
    }
}

impl Pool {
    /// `limits`: of the session with each node.
    pub(super) fn new(transport: Arc<dyn Transport>, limits: Limits) -> Self {
        let (open, opening) = (ArcSwapOption::empty(), tokio::sync::Mutex::default());
        Self { transport, limits, open, opening }
    }

    /// The session with a node. A content type that go-micro has no codec for gets one of its
    /// own, since the answer names no call.
    pub(super) async fn lease(&self, address: &str, content_type: &str) -> Result<Lease> {
        self.open().await?.lease(address, content_type, self.limits)
    }

    /// A session for one stream.
    pub(super) async fn dial(&self, address: &str) -> Result<Lease> {
        self.open().await?.dial(address, self.limits)
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let hub = self.open.load().as_ref().map(|open| open.hub.clone());
        match hub {
            Some(hub) => hub.port.flush().await,
            None => Ok(()),
        }
    }

    async fn open(&self) -> Result<Arc<Open>> {
        let usable = || {
            let open = self.open.load_full()?;
            (!open.shared.over.load(Ordering::Acquire)).then_some(open)
        };
        if let Some(open) = usable() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = usable() {
            return Ok(open);
        }
        let (port, incoming) = self.transport.open(Bind::ClientOnly).await?;
        let shared = Arc::<Shared>::default();
        let hub = Arc::new(Hub::new(port));
        let ticks = hub.ticks.clone();
        let pump = Pump { shared: shared.clone(), ticks, hub: Arc::downgrade(&hub) };
        let pump = tokio::spawn(pump.run(incoming));
        let open = Arc::new(Open { hub, shared, _pump: AbortOnDropHandle::new(pump) });
        self.open.store(Some(open.clone()));
        Ok(open)
    }
}

impl Open {
    fn lease(&self, address: &str, content_type: &str, limits: Limits) -> Result<Lease> {
        let hub = self.hub.clone();
        let shares = shares(content_type);
        let now = Instant::now();
        let mut conns = self.conns()?;
        if shares && let Some(conn) = conns.by_address.get(address).cloned() {
            if conn.can_be_called(now) {
                return Ok(Lease { hub, conn, alone: None });
            }
            // Late answers to earlier calls may still come there.
            if !conn.keep(now) {
                conns.by_peer.remove(&conn.peer.id());
            }
        }
        let peer = hub.port.dial(address)?;
        let id = peer.id();
        let conn = Conn::calling(peer, limits, hub.dropped.clone());
        conns.by_peer.insert(id, conn.clone());
        if shares {
            conns.sweep(now);
            conns.by_address.insert(address.to_owned(), conn.clone());
        }
        let alone = (!shares).then(|| self.shared.clone());
        Ok(Lease { hub, conn, alone })
    }

    fn dial(&self, address: &str, limits: Limits) -> Result<Lease> {
        let hub = self.hub.clone();
        let mut conns = self.conns()?;
        let peer = hub.port.dial(address)?;
        let id = peer.id();
        let conn = Conn::streaming(peer, limits, hub.dropped.clone());
        self.shared.streams.fetch_add(1, Ordering::AcqRel);
        conns.by_peer.insert(id, conn.clone());
        Ok(Lease { hub, conn, alone: Some(self.shared.clone()) })
    }

    fn conns(&self) -> Result<MutexGuard<'_, Conns>> {
        let conns = lock(&self.shared.conns);
        if self.shared.over.load(Ordering::Acquire) {
            // Since it was looked at: nobody would bring the answers.
            return Err(Error::unavailable("the client's port is over"));
        }
        Ok(conns)
    }
}

/// Whether a call of this content type may share its session: its answer names it.
pub(super) fn shares(content_type: &str) -> bool {
    matches!(content_type, codec::JSON | codec::PROTOBUF | codec::OCTET_STREAM)
}

impl Conns {
    /// Drops sessions on which nothing has happened for long. A node that is called for the first
    /// time is rare, so each may look at all of them.
    fn sweep(&mut self, now: Instant) {
        self.by_address.retain(|_, conn| conn.keep(now));
        self.by_peer.retain(|_, conn| conn.keep(now));
    }
}

/// Why the [`Pump`] is awake.
enum Woken {
    /// Somebody's time may be over.
    Time,
    /// It is looked whether packets may have been lost.
    Look,
    Arrivals(Result<()>),
}

/// Brings what arrives to the calls that wait for it, and ends those whose time is over.
struct Pump {
    shared: Arc<Shared>,
    ticks: Arc<Ticks>,
    /// Whoever uses the port holds it; this task ends with it.
    hub: Weak<Hub>,
}

impl Pump {
    async fn run(self, mut incoming: Box<dyn Incoming>) {
        let (mut arrivals, mut scratch) = (Vec::new(), Scratch::default());
        let (mut timer, mut waiting) = (self.ticks.timer(), 0);
        let mut interruptions = self.hub.upgrade().map_or(0, |hub| hub.port.interruptions());
        let mut look = Box::pin(sleep(LOOK));
        loop {
            let woken = poll_fn(|cx| {
                // The timer first, or under a flood nobody's time would ever be over.
                if timer.poll(cx).is_ready() {
                    return Poll::Ready(Woken::Time);
                }
                if let Poll::Ready(received) = incoming.poll_recv(cx, &mut arrivals) {
                    return Poll::Ready(Woken::Arrivals(received));
                }
                // Whatever opens a stream has the timer look.
                match self.shared.streams.load(Ordering::Acquire) {
                    0 => Poll::Pending,
                    _ => look.as_mut().poll(cx).map(|()| Woken::Look),
                }
            });
            match woken.await {
                Woken::Look => {
                    look.as_mut().reset(Instant::now() + LOOK);
                    let Some(hub) = self.hub.upgrade() else { return };
                    self.interrupted(&hub, &mut interruptions);
                }
                Woken::Time => {
                    let began = Instant::now();
                    if let Some(hub) = self.hub.upgrade() {
                        self.interrupted(&hub, &mut interruptions);
                    }
                    waiting = self.on_time(waiting);
                    let ended = Instant::now();
                    timer.rest(ended + (ended - began) * REST);
                }
                Woken::Arrivals(Ok(())) => {
                    let Some(hub) = self.hub.upgrade() else { return };
                    // Before what was sent after that.
                    self.interrupted(&hub, &mut interruptions);
                    self.deal_with(&hub, &mut arrivals, &mut scratch);
                }
                Woken::Arrivals(Err(error)) => {
                    tracing::warn!(%error, "the client's port is over; the next call opens another");
                    return;
                }
            }
        }
    }

    /// Ends the streams if packets may have been lost since it was looked.
    fn interrupted(&self, hub: &Hub, seen: &mut u64) {
        let now = hub.port.interruptions();
        if std::mem::replace(seen, now) == now {
            return;
        }
        let conns: Vec<Arc<Conn>> = lock(&self.shared.conns).by_peer.values().cloned().collect();
        hub.send_all(conns.into_iter().filter(|conn| conn.interrupted()));
    }

    fn deal_with(&self, hub: &Hub, arrivals: &mut Vec<Arrival>, scratch: &mut Scratch) {
        let now = Instant::now();
        // Usually many come from one peer.
        let mut last: Option<Arc<Conn>> = None;
        for arrival in arrivals.drain(..) {
            let id = arrival.peer().id();
            let conn = match last.take() {
                Some(last) if last.peer.id() == id => last,
                _ => match lock(&self.shared.conns).by_peer.get(&id) {
                    Some(conn) => conn.clone(),
                    None => continue,
                },
            };
            match arrival {
                Arrival::Packet { packet, .. } => {
                    conn.on_packet(&packet, now, scratch);
                    // Nobody calls a client.
                    scratch.requests.clear();
                    if conn.is_streaming() && scratch.output {
                        hub.send_all([conn.clone()]);
                    }
                }
                Arrival::Undelivered { packets, .. } => conn.undelivered(packets, false),
                Arrival::Closed { packets, .. } => {
                    conn.undelivered(packets, true);
                    lock(&self.shared.conns).by_peer.remove(&id);
                }
                _ => {}
            }
            last = Some(conn);
        }
    }

    /// `waiting`: for how many peers calls waited when it was last looked. Returns for how many
    /// they do now.
    fn on_time(&self, waiting: usize) -> usize {
        self.ticks.begin();
        let Some(hub) = self.hub.upgrade() else { return 0 };
        let now = Instant::now();
        let conns: Vec<Arc<Conn>> = lock(&self.shared.conns).by_peer.values().cloned().collect();
        let (mut probing, mut waits) = (Vec::new(), 0);
        for conn in conns {
            let (some_wait, asks) = conn.on_time(&hub, now, waiting);
            waits += usize::from(some_wait);
            if asks {
                probing.push(conn);
            }
        }
        hub.send_all(probing);
        waits
    }
}

/// However its task ends, nobody brings answers any more: also when a backend panics in it, or
/// the runtime goes on which the first call was made.
impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let conns = std::mem::take(&mut *lock(&self.shared.conns));
        for conn in conns.by_peer.into_values() {
            conn.undelivered(0, true);
        }
    }
}

#[cfg(all(test, feature = "memory"))]
mod tests;
