//! What a watch yields.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;

use super::snapshot::{Key, Published, Snapshot};
use super::{Service, ServiceName};

/// What a watcher is told. Each carries a whole name and version with all of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It is there: at the beginning, or from now on.
    Added(Arc<Service>),
    /// Its nodes or their description are others now.
    Updated(Arc<Service>),
    /// It has no nodes any more; this is how it last was.
    Removed(Arc<Service>),
    /// The state that was there at the beginning has been told; comes once.
    Synced,
}

/// A watch: the present state, [`Change::Synced`], then what changes.
///
/// Nothing is lost by reading slowly: changes to the same service are told as one, and memory is
/// bounded by the state itself. The stream ends when the registry is closed. Dropping it stops
/// the watch.
pub struct Watcher {
    changes: Pin<Box<dyn Stream<Item = Change> + Send>>,
}

impl Watcher {
    /// A watcher over a backend's own stream, which must keep the order that [`Change`] demands.
    pub fn new(changes: impl Stream<Item = Change> + Send + 'static) -> Self {
        Self { changes: Box::pin(changes) }
    }

    /// The next change, or `None` when the registry was closed. Cancel safe.
    pub async fn next(&mut self) -> Option<Change> {
        std::future::poll_fn(|cx| self.changes.as_mut().poll_next(cx)).await
    }
}

impl Stream for Watcher {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        self.changes.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

/// Compares each snapshot with what has been told, so a slow reader costs no queue.
pub(super) struct Differences {
    snapshots: WatchStream<Snapshot>,
    name: Option<ServiceName>,
    told: BTreeMap<Key, Arc<Published>>,
    synced: bool,
    queue: VecDeque<Change>,
}

impl Differences {
    pub(super) fn new(
        snapshots: tokio::sync::watch::Receiver<Snapshot>,
        name: Option<ServiceName>,
    ) -> Self {
        Self {
            snapshots: WatchStream::new(snapshots),
            name,
            told: BTreeMap::new(),
            synced: false,
            queue: VecDeque::new(),
        }
    }

    fn compare(&mut self, snapshot: &Snapshot) {
        let now: BTreeMap<Key, Arc<Published>> =
            snapshot.of(self.name.as_ref()).map(|(k, s)| (k.clone(), s.clone())).collect();
        for (key, published) in &self.told {
            if !now.contains_key(key) {
                self.queue.push_back(Change::Removed(published.service()));
            }
        }
        for (key, published) in &now {
            match self.told.get(key) {
                None => self.queue.push_back(Change::Added(published.service())),
                Some(old) if Arc::ptr_eq(old, published) || old == published => {}
                Some(_) => self.queue.push_back(Change::Updated(published.service())),
            }
        }
        self.told = now;
        if !self.synced && snapshot.is_synced(self.name.as_ref()) {
            self.synced = true;
            self.queue.push_back(Change::Synced);
        }
    }
}

impl Stream for Differences {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        loop {
            if let Some(change) = self.queue.pop_front() {
                return Poll::Ready(Some(change));
            }
            match Pin::new(&mut self.snapshots).poll_next(cx) {
                Poll::Ready(Some(snapshot)) => self.compare(&snapshot),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
