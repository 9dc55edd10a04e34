//! One port and the sessions on it: what the calling and the serving side have in common.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use micro_core::transport::{Peer, Port, Refused};
use micro_core::wire::{CallId, Counts, Event, Outgoing, Reply, RequestId, Session};
use micro_core::{Error, LogThrottle, RequestState, Result};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

/// Locks; whoever panicked under a lock of ours left a state that is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port, and the one flusher that sends for all sessions on it.
pub(crate) struct Hub {
    pub(crate) port: Arc<dyn Port>,
    pub(crate) dropped: Arc<Dropped>,
    flusher: Arc<Flusher>,
    /// Calls that wait here, or handlers that run.
    in_flight: AtomicUsize,
    _task: AbortOnDropHandle<()>,
}

/// What the sessions of a port dropped; logged once in a while.
#[derive(Default)]
pub(crate) struct Dropped {
    garbage: LogThrottle,
    lost_replies: LogThrottle,
    lost_requests: LogThrottle,
}

/// One session with its peer.
pub(crate) struct Conn {
    pub(crate) peer: Peer,
    dropped: Arc<Dropped>,
    state: Mutex<State>,
    /// It is in the flusher's list.
    listed: AtomicBool,
    /// The flusher waits until its peer has room.
    waiting: AtomicBool,
    /// Its peer takes nothing any more.
    closed: AtomicBool,
}

pub(crate) struct State {
    pub(crate) session: Session,
    calls: HashMap<CallId, oneshot::Sender<Result<Reply>>>,
    /// What stops the handlers that were not ready at once.
    pub(crate) handlers: HashMap<RequestId, CancellationToken>,
    pub(crate) last_used: Instant,
}

/// What became of draining a session.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Drained {
    Empty,
    Full,
}

impl Hub {
    pub(crate) fn new(port: Arc<dyn Port>) -> Self {
        let flusher = Arc::new(Flusher::default());
        let task = AbortOnDropHandle::new(tokio::spawn(flusher.clone().run()));
        Self { port, dropped: Arc::default(), flusher, in_flight: AtomicUsize::new(0), _task: task }
    }

    /// Something that will want to send has begun; it ends when the guard is dropped.
    pub(crate) fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Sends what waits in this session: at once if hardly anybody else sends, else together
    /// with what the others have by then.
    pub(crate) fn send(&self, conn: &Arc<Conn>) {
        if self.in_flight() > 1 || conn.drain() == Drained::Full {
            self.flusher.push(conn);
        }
    }

    /// Returns when nothing waits to be sent any more.
    pub(crate) async fn drained(&self) {
        loop {
            let empty = self.flusher.empty.notified();
            if self.flusher.backlog.load(Ordering::Acquire) == 0 {
                return;
            }
            empty.await;
        }
    }

    /// Sends what waits in these sessions now.
    pub(crate) fn send_all(&self, conns: impl IntoIterator<Item = Arc<Conn>>) {
        for conn in conns {
            if conn.drain() == Drained::Full {
                self.flusher.push(&conn);
            }
        }
    }
}

/// Counts one call or handler while it lives.
pub(crate) struct InFlight(Arc<Hub>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Conn {
    pub(crate) fn new(peer: Peer, session: Session, dropped: Arc<Dropped>) -> Arc<Self> {
        Arc::new(Self {
            peer,
            dropped,
            state: Mutex::new(State {
                session,
                calls: HashMap::new(),
                handlers: HashMap::new(),
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

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Queues a call; its answer comes to the [`Pending`].
    pub(crate) fn call(self: &Arc<Self>, call: &Outgoing<'_>) -> Result<Pending> {
        let mut state = self.state();
        let id = state.session.call(call)?;
        let (answer, waits) = oneshot::channel();
        state.calls.insert(id, answer);
        state.last_used = Instant::now();
        Ok(Pending { conn: self.clone(), id, answer: waits, answered: false })
    }

    /// Something is about to be done with it: it is not idle.
    pub(crate) fn touch(&self) {
        self.state().last_used = Instant::now();
    }

    /// Takes in a packet; what is for a runtime to act on is appended to `requests`. False if it
    /// was garbage.
    pub(crate) fn on_packet(&self, packet: &[u8], requests: &mut Vec<Event>) -> bool {
        let mut state = self.state();
        state.last_used = Instant::now();
        let (mut events, before) = (Vec::new(), state.session.counts());
        state.session.on_packet(packet, &mut events);
        let garbage = state.session.counts().garbage > before.garbage;
        self.act(state, before, events, requests);
        !garbage
    }

    /// The peer takes nothing any more: see [`Session::undelivered`].
    pub(crate) fn undelivered(&self, packets: u64, over: bool) {
        self.closed.store(true, Ordering::Release);
        let mut state = self.state();
        let (mut events, before) = (Vec::new(), state.session.counts());
        state.session.undelivered(packets, over, &mut events);
        self.act(state, before, events, &mut Vec::new());
    }

    /// Sends until the session is empty or the peer has no room.
    fn drain(&self) -> Drained {
        let mut state = self.state();
        let (mut events, before) = (Vec::new(), state.session.counts());
        let mut limit = self.peer.max_packet();
        let drained = loop {
            let Some(packet) = state.session.next_packet(limit, &mut events) else {
                break Drained::Empty;
            };
            match self.peer.try_send(packet) {
                Ok(()) => {
                    state.session.taken();
                    state.last_used = Instant::now();
                }
                Err(Refused::Full(_)) => break Drained::Full,
                Err(Refused::TooLarge(packet)) => {
                    limit = self.peer.max_packet().min(packet.len() - 1);
                }
                Err(_) => {
                    self.closed.store(true, Ordering::Release);
                    state.session.undelivered(0, false, &mut events);
                    break Drained::Empty;
                }
            }
        };
        self.act(state, before, events, &mut Vec::new());
        drained
    }

    fn act(
        &self,
        mut state: MutexGuard<'_, State>,
        before: Counts,
        events: Vec<Event>,
        requests: &mut Vec<Event>,
    ) {
        let (mut answered, mut cancelled) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Reply { call, reply } => {
                    answered.extend(state.calls.remove(&call).map(|waits| (waits, reply)));
                }
                Event::Failed { call, error } => {
                    answered.extend(state.calls.remove(&call).map(|waits| (waits, Err(error))));
                }
                Event::Cancelled { id } => cancelled.extend(state.handlers.remove(&id)),
                other => requests.push(other),
            }
        }
        let now = state.session.counts();
        // Woken only when the lock is free again.
        drop(state);
        for (waits, reply) in answered {
            // Whoever does not wait any more has said so to the session.
            let _ = waits.send(reply);
        }
        for handler in cancelled {
            handler.cancel();
        }
        self.tell(before, now);
    }

    fn tell(&self, before: Counts, now: Counts) {
        let (remote, dropped) = (self.peer.remote(), &*self.dropped);
        if let Some(count) = dropped.garbage.count_many(now.garbage - before.garbage) {
            tracing::warn!(remote, count, "packets that mean nothing were dropped");
        }
        if let Some(count) = dropped.lost_replies.count_many(now.lost_replies - before.lost_replies)
        {
            tracing::warn!(remote, count, "replies reached nobody");
        }
        let lost_requests = now.lost_requests - before.lost_requests;
        if let Some(count) = dropped.lost_requests.count_many(lost_requests) {
            tracing::warn!(remote, count, "requests of callers that read no replies were dropped");
        }
    }

    fn is_unsent(&self, call: CallId) -> bool {
        self.state().session.is_unsent(call)
    }

    fn give_up(&self, call: CallId) -> Option<RequestState> {
        let mut state = self.state();
        state.calls.remove(&call);
        state.session.give_up(call)
    }
}

/// A call that waits for its answer. Dropping it gives the call up.
pub(crate) struct Pending {
    conn: Arc<Conn>,
    id: CallId,
    answer: oneshot::Receiver<Result<Reply>>,
    answered: bool,
}

impl Pending {
    /// The answer, if it comes until `limit`; what is known of the request if it does not, also
    /// if the packet has not even left at `unsent_limit`.
    pub(crate) async fn until(
        mut self,
        limit: Instant,
        unsent_limit: Instant,
    ) -> Result<Result<Reply>, RequestState> {
        let mut answer = timeout_at(unsent_limit.min(limit), &mut self.answer).await;
        if answer.is_err() && unsent_limit < limit && !self.conn.is_unsent(self.id) {
            answer = timeout_at(limit, &mut self.answer).await;
        }
        self.answered = true;
        match answer {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(_)) => Ok(Err(
                Error::unavailable("the client was closed").with_request(RequestState::Unknown)
            )),
            Err(_) => match self.conn.give_up(self.id) {
                Some(state) => Err(state),
                // The answer came at the last moment.
                None => self.answer.try_recv().map_err(|_| RequestState::Unknown),
            },
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.answered {
            self.conn.give_up(self.id);
        }
    }
}

/// However much comes, what waits is sent after so many turns of the others.
const MOST_YIELDS: u32 = 8;

/// Sends for sessions that have something to send, and yields while what waits still grows, so
/// that it goes out together.
#[derive(Default)]
struct Flusher {
    list: Mutex<Vec<Arc<Conn>>>,
    pushed: AtomicU64,
    wake: Notify,
    /// Sessions in the list, and those that wait for room.
    backlog: AtomicUsize,
    empty: Notify,
}

impl Flusher {
    fn push(&self, conn: &Arc<Conn>) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
        if !conn.listed.swap(true, Ordering::AcqRel) {
            self.backlog.fetch_add(1, Ordering::AcqRel);
            lock(&self.list).push(conn.clone());
            self.wake.notify_one();
        }
    }

    async fn run(self: Arc<Self>) {
        let mut full: FuturesUnordered<Pin<Box<dyn Future<Output = Arc<Conn>> + Send>>> =
            FuturesUnordered::new();
        loop {
            tokio::select! {
                () = self.wake.notified() => self.gather().await,
                Some(conn) = full.next() => {
                    conn.waiting.store(false, Ordering::Release);
                    self.push(&conn);
                    self.done();
                    continue;
                }
            }
            let list = std::mem::take(&mut *lock(&self.list));
            for conn in list {
                conn.listed.store(false, Ordering::Release);
                if conn.drain() == Drained::Full && !conn.waiting.swap(true, Ordering::AcqRel) {
                    self.backlog.fetch_add(1, Ordering::AcqRel);
                    full.push(Box::pin(room(conn)));
                }
                self.done();
            }
        }
    }

    fn done(&self) {
        if self.backlog.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
        }
    }

    async fn gather(&self) {
        let mut seen = self.pushed.load(Ordering::Relaxed);
        for _ in 0..MOST_YIELDS {
            tokio::task::yield_now().await;
            let now = self.pushed.load(Ordering::Relaxed);
            if now == seen {
                return;
            }
            seen = now;
        }
    }
}

/// The session, once its peer has room or is closed: then the next drain finds that out.
async fn room(conn: Arc<Conn>) -> Arc<Conn> {
    if conn.peer.ready().await.is_err() {
        conn.undelivered(0, false);
    }
    conn
}
