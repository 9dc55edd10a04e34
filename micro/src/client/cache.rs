//! What is known of the services that are called: fed by watches, read without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use micro_core::registry::{Change, Node, Service, ServiceName, WatchOptions, Watcher};
use micro_core::{Error, ErrorKind, LogThrottle, Registry, Result};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::hub::lock;

/// How many services are watched at once; of more, the one that was not called for longest goes.
const MAX_SERVICES: usize = 1_000;
/// How long it is believed that there is no such service, and what was asked and not watched.
const ABSENT: Duration = Duration::from_secs(1);

pub(super) struct Cache {
    registry: Arc<dyn Registry>,
    entries: ArcSwap<HashMap<String, Arc<Entry>>>,
    /// Held by whoever changes the table.
    change: Mutex<()>,
    clock: AtomicU64,
}

/// The nodes of a service, as they are now.
pub(super) struct Known {
    services: Vec<Arc<Service>>,
    /// How often one was chosen in turn, also before the last change.
    turns: Arc<AtomicUsize>,
}

struct Entry {
    known: Arc<ArcSwapOption<Known>>,
    /// Turns true when the present state has been told.
    synced: watch::Receiver<bool>,
    /// Whoever asks, asks for all who wait.
    asking: tokio::sync::Mutex<Option<(Instant, Error)>>,
    turns: Arc<AtomicUsize>,
    used: AtomicU64,
    _watch: AbortOnDropHandle<()>,
}

impl Known {
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.services.iter().flat_map(|service| &service.nodes)
    }

    pub(super) fn services(&self) -> &[Arc<Service>] {
        &self.services
    }

    pub(super) fn next_turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::Relaxed)
    }

    fn of(services: Vec<Arc<Service>>, turns: &Arc<AtomicUsize>) -> Option<Arc<Self>> {
        let known = Self { services, turns: turns.clone() };
        let any = known.nodes().next().is_some();
        any.then(|| Arc::new(known))
    }
}

impl Cache {
    pub(super) fn new(registry: Arc<dyn Registry>) -> Self {
        Self {
            registry,
            entries: ArcSwap::default(),
            change: Mutex::new(()),
            clock: AtomicU64::new(0),
        }
    }

    /// What is known already; no wait, no lock.
    pub(super) fn known(&self, service: &str) -> Option<Arc<Known>> {
        let entries = self.entries.load();
        let entry = entries.get(service)?;
        entry.used.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        entry.known.load_full()
    }

    /// Begins to watch a service if it is not watched yet, and waits for what there is.
    pub(super) async fn find(&self, name: &ServiceName) -> Result<Arc<Known>> {
        let entry = self.entry(name);
        let mut synced = entry.synced.clone();
        // An error means that the watch is over; the registry is asked below.
        let _ = synced.wait_for(|synced| *synced).await;
        if let Some(known) = entry.known.load_full() {
            return Ok(known);
        }
        // The watch knows of nobody. Ask, also for the registry's own words.
        let mut asking = entry.asking.lock().await;
        if let Some(known) = entry.known.load_full() {
            return Ok(known);
        }
        if let Some((when, error)) = &*asking
            && when.elapsed() < ABSENT
        {
            return Err(Error::new(error.kind(), error.detail()));
        }
        match self.registry.get(name).await {
            Ok(services) => {
                let services = services.into_iter().map(Arc::new).collect();
                let found = Known::of(services, &entry.turns);
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
        if let Some(entry) = entries.get(name.as_str()) {
            return entry.clone();
        }
        let now = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let entry = Arc::new(Entry::new(self.registry.clone(), name.clone(), now));
        let mut next = HashMap::clone(&entries);
        if next.len() >= MAX_SERVICES {
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
    fn new(registry: Arc<dyn Registry>, name: ServiceName, now: u64) -> Self {
        let known = Arc::new(ArcSwapOption::empty());
        let turns = Arc::<AtomicUsize>::default();
        let (tell, synced) = watch::channel(false);
        let follower =
            Follower { registry, name, known: known.clone(), turns: turns.clone(), tell };
        Self {
            known,
            synced,
            asking: tokio::sync::Mutex::default(),
            turns,
            used: AtomicU64::new(now),
            _watch: AbortOnDropHandle::new(tokio::spawn(follower.follow())),
        }
    }
}

/// Keeps what is known in step with the registry.
struct Follower {
    registry: Arc<dyn Registry>,
    name: ServiceName,
    known: Arc<ArcSwapOption<Known>>,
    turns: Arc<AtomicUsize>,
    tell: watch::Sender<bool>,
}

impl Follower {
    async fn follow(self) {
        let failures = LogThrottle::default();
        loop {
            let options = WatchOptions::default().with_name(self.name.clone());
            match self.registry.watch(options).await {
                Ok(changes) => {
                    self.read(changes).await;
                    tracing::debug!(service = %self.name, "the registry ended the watch");
                }
                Err(error) => {
                    if failures.count().is_some() {
                        tracing::warn!(service = %self.name, %error, "asking, not watching");
                    }
                    match self.registry.get(&self.name).await {
                        Ok(services) => self.set(services.into_iter().map(Arc::new).collect()),
                        Err(error) if error.kind() == ErrorKind::NotFound => self.set(Vec::new()),
                        Err(error) => tracing::debug!(service = %self.name, %error, "no answer"),
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
                self.set(versions.values().cloned().collect());
            }
        }
    }

    fn set(&self, services: Vec<Arc<Service>>) {
        self.known.store(Known::of(services, &self.turns));
        self.tell.send_replace(true);
    }
}
