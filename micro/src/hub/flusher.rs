//! The one that sends for all sessions of a port.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;

use super::conn::{Conn, Drained};
use super::lock;

/// However much comes, what waits is sent after so many turns of the others.
const MOST_YIELDS: u32 = 8;

/// Sends for sessions that have something to send, and yields while what waits still grows, so
/// that it goes out together.
#[derive(Default)]
pub(super) struct Flusher {
    list: Mutex<Vec<Arc<Conn>>>,
    pushed: AtomicU64,
    wake: Notify,
    /// Sessions in the list, and those that wait for room.
    backlog: AtomicUsize,
    empty: Notify,
}

impl Flusher {
    pub(super) fn push(&self, conn: &Arc<Conn>) {
        self.pushed.fetch_add(1, Ordering::Relaxed);
        if !conn.listed.swap(true, Ordering::AcqRel) {
            self.backlog.fetch_add(1, Ordering::AcqRel);
            lock(&self.list).push(conn.clone());
            self.wake.notify_one();
        }
    }

    pub(super) async fn run(self: Arc<Self>) {
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

    /// Returns when nothing waits to be sent any more.
    pub(super) async fn drained(&self) {
        loop {
            let empty = self.empty.notified();
            if self.backlog.load(Ordering::Acquire) == 0 {
                return;
            }
            empty.await;
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
