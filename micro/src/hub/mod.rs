//! One port and the sessions on it: what the calling and the serving side have in common.

mod caller;
mod calling;
mod conn;
mod flusher;
mod half;
mod inbox;
mod pending;
mod silence;
mod streaming;
mod streams;
mod ticks;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use micro_core::LogThrottle;
use micro_core::transport::Port;
use micro_core::wire::Counts;
use tokio_util::task::AbortOnDropHandle;

pub(crate) use self::caller::StreamTimes;
pub(crate) use self::calling::Limit;
use self::conn::Drained;
pub(crate) use self::conn::{Conn, Scratch};
use self::flusher::Flusher;
pub(crate) use self::half::Half;
pub(crate) use self::inbox::InboxLimits;
pub(crate) use self::streaming::Opening;
pub(crate) use self::ticks::Ticks;

/// Locks; whoever panicked under a lock of ours left a state that is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A port, and the one flusher that sends for all sessions on it.
pub(crate) struct Hub {
    pub(crate) port: Arc<dyn Port>,
    pub(crate) dropped: Arc<Dropped>,
    /// When the sessions are to be looked at again.
    pub(crate) ticks: Arc<Ticks>,
    flusher: Arc<Flusher>,
    /// Calls that wait here, or handlers that run.
    in_flight: AtomicUsize,
    _task: AbortOnDropHandle<()>,
}

impl Hub {
    pub(crate) fn new(port: Arc<dyn Port>) -> Self {
        let flusher = Arc::new(Flusher::default());
        let task = AbortOnDropHandle::new(tokio::spawn(flusher.clone().run()));
        Self {
            port,
            dropped: Arc::default(),
            ticks: Arc::default(),
            flusher,
            in_flight: AtomicUsize::new(0),
            _task: task,
        }
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
        self.flusher.drained().await;
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

/// What the sessions of a port dropped; logged once in a while.
#[derive(Default)]
pub(crate) struct Dropped {
    garbage: LogThrottle,
    lost_replies: LogThrottle,
    lost_requests: LogThrottle,
    late: LogThrottle,
}

impl Dropped {
    fn tell(&self, remote: &str, before: Counts, now: Counts) {
        if before == now {
            return;
        }
        if let Some(count) = self.garbage.count_many(now.garbage - before.garbage) {
            tracing::warn!(remote, count, "packets that mean nothing were dropped");
        }
        if let Some(count) = self.lost_replies.count_many(now.lost_replies - before.lost_replies) {
            tracing::warn!(remote, count, "replies reached nobody");
        }
        if let Some(count) = self.late.count_many(now.late - before.late) {
            tracing::debug!(remote, count, "messages of streams that have ended were dropped");
        }
        let lost_requests = now.lost_requests - before.lost_requests;
        if let Some(count) = self.lost_requests.count_many(lost_requests) {
            tracing::warn!(remote, count, "requests of callers that read no replies were dropped");
        }
    }
}
