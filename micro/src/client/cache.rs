//! What is known of the services that are called: fed by watches, read without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use micro_core::registry::{Change, Service, ServiceName, WatchOptions, Watcher};
use micro_core::{Error, ErrorKind, LogThrottle, Registry, Result};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::nodes::{Nodes, Own};
use crate::hub::lock;

/// How long it is believed that there is no such service, and what was asked and not watched.
const ABSENT: Duration = Duration::from_secs(1);

pub(super) struct Cache {
    registry: Arc<dyn Registry>,
    own: Own,
    most: usize,
    entries: ArcSwap<HashMap<String, Arc<Entry>>>,
    /// Held by whoever changes the table.
    change: Mutex<()>,
    clock: AtomicU64,
}

struct Entry {
    known: Arc<Table>,
    /// Turns true when the present state has been told.
    synced: watch::Receiver<bool>,
    /// Whoever asks, asks for all who wait.
    asking: tokio::sync::Mutex<Option<(Instant, Error)>>,
    used: AtomicU64,
    watch: AbortOnDropHandle<()>,
}

/// The nodes of one service, replaced as a whole when the registry tells of a change.
struct Table {
    name: ServiceName,
    own: Own,
    nodes: ArcSwapOption<Nodes>,
}

impl Table {
    fn set(&self, services: &[Arc<Service>]) {
        let before = self.nodes.load();
        self.nodes.store(self.of(services, before.as_deref()));
    }

    /// `None` if there is no node at all.
    fn of(&self, services: &[Arc<Service>], before: Option<&Nodes>) -> Option<Arc<Nodes>> {
        let any = services.iter().any(|service| !service.nodes.is_empty());
        any.then(|| Arc::new(Nodes::new(self.name.as_str(), services, &self.own, before)))
    }
}

impl Cache {
    /// Watches `most` services at once; of more, the one that was not called for longest goes.
    pub(super) fn new(registry: Arc<dyn Registry>, own: Own, most: usize) -> Self {
        Self {
            registry,
            own,
            most: most.max(1),
            entries: ArcSwap::default(),
            change: Mutex::new(()),
            clock: AtomicU64::new(0),
        }
    }

    /// What is known already; no wait, no lock.
    pub(super) fn known(&self, service: &str) -> Option<Arc<Nodes>> {
        let entries = self.entries.load();
        let entry = entries.get(service)?;
        let now = self.clock.load(Ordering::Relaxed);
        // Usually it is so already, and the line stays in every processor's cache.
        if entry.used.load(Ordering::Relaxed) != now {
            entry.used.store(now, Ordering::Relaxed);
        }
        entry.known.nodes.load_full()
    }

    /// Begins to watch a service if it is not watched yet, and waits for what there is.
    pub(super) async fn find(&self, name: &ServiceName) -> Result<Arc<Nodes>> {
        let entry = self.entry(name);
        let mut synced = entry.synced.clone();
        // An error means that the watch is over; the registry is asked below.
        let _ = synced.wait_for(|synced| *synced).await;
        if let Some(known) = entry.known.nodes.load_full() {
            return Ok(known);
        }
        // The watch knows of nobody. Ask, also for the registry's own words.
        let mut asking = entry.asking.lock().await;
        if let Some(known) = entry.known.nodes.load_full() {
            return Ok(known);
        }
        if let Some((when, error)) = &*asking
            && when.elapsed() < ABSENT
        {
            return Err(Error::new(error.kind(), error.detail()));
        }
        match self.registry.get(name).await {
            Ok(services) => {
                let services: Vec<_> = services.into_iter().map(Arc::new).collect();
                let found = entry.known.of(&services, None);
                found.ok_or_else(|| Error::not_found(format!("service {name} has no node")))
            }
            Err(error) => {
                if error.kind() == ErrorKind::NotFound {
                    let told = Error::new(error.kind(), error.detail());
                    *asking = Some((Instant::now(), told));
                }
                Err(error)
            }
        }
    }

    fn entry(&self, name: &ServiceName) -> Arc<Entry> {
        let _held = lock(&self.change);
        let entries = self.entries.load();
        if let Some(entry) = entries.get(name.as_str())
            && !entry.watch.is_finished()
        {
            return entry.clone();
        }
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry::new(self, name.clone(), now));
        let mut next = HashMap::clone(&entries);
        if next.len() >= self.most {
            let oldest = next.iter().min_by_key(|(_, entry)| entry.used.load(Ordering::Relaxed));
            let oldest = oldest.map(|(name, _)| name.clone());
            next.remove(&oldest.unwrap_or_default());
        }
        next.insert(name.as_str().to_owned(), entry.clone());
        self.entries.store(Arc::new(next));
        entry
    }
}

impl Entry {
    fn new(cache: &Cache, name: ServiceName, now: u64) -> Self {
        let own = cache.own.clone();
        let known = Arc::new(Table { name, own, nodes: ArcSwapOption::empty() });
        let (tell, synced) = watch::channel(false);
        let follower = Follower { registry: cache.registry.clone(), known: known.clone(), tell };
        Self {
            known,
            synced,
            asking: tokio::sync::Mutex::default(),
            used: AtomicU64::new(now),
            watch: AbortOnDropHandle::new(tokio::spawn(follower.follow())),
        }
    }
}

/// Keeps what is known in step with the registry.
struct Follower {
    registry: Arc<dyn Registry>,
    known: Arc<Table>,
    tell: watch::Sender<bool>,
}

impl Follower {
    async fn follow(self) {
        let failures = LogThrottle::default();
        loop {
            let options = WatchOptions::default().with_name(self.known.name.clone());
            match self.registry.watch(options).await {
                Ok(changes) => {
                    self.read(changes).await;
                    tracing::debug!(service = %self.known.name, "the registry ended the watch");
                }
                Err(error) => {
                    if failures.count().is_some() {
                        tracing::warn!(service = %self.known.name, %error, "asking, not watching");
                    }
                    match self.registry.get(&self.known.name).await {
                        Ok(services) => {
                            self.set(&services.into_iter().map(Arc::new).collect::<Vec<_>>());
                        }
                        Err(error) if error.kind() == ErrorKind::NotFound => self.set(&[]),
                        Err(error) => {
                            tracing::debug!(service = %self.known.name, %error, "no answer")
                        }
                    }
                    self.tell.send_replace(true);
                }
            }
            tokio::time::sleep(ABSENT).await;
        }
    }

    async fn read(&self, mut changes: Watcher) {
        let mut versions: BTreeMap<String, Arc<Service>> = BTreeMap::new();
        let mut current = false;
        while let Some(change) = changes.next().await {
            match change {
                Change::Added(service) | Change::Updated(service) => {
                    versions.insert(service.version.clone(), service);
                }
                Change::Removed(service) => {
                    versions.remove(&service.version);
                }
                Change::Synced => current = true,
                _ => {}
            }
            // Until then an earlier watch knows better.
            if current {
                self.set(&versions.values().cloned().collect::<Vec<_>>());
            }
        }
    }

    fn set(&self, services: &[Arc<Service>]) {
        self.known.set(services);
        self.tell.send_replace(true);
    }
}

/// What is not followed any more is not believed: the runtime has gone on which it was first
/// asked for.
impl Drop for Follower {
    fn drop(&mut self) {
        self.known.nodes.store(None);
    }
}
