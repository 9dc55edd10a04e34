//! What is known of the services that are called: fed by watches, read without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use micro_core::registry::{Change, Node, Service, ServiceName, WatchOptions};
use micro_core::{Error, Registry, Result};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::hub::lock;

/// How many services are watched at once; of more, the one that was not called for longest goes.
const MAX_SERVICES: usize = 1_000;
/// How long it is believed that there is no such service.
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
}

struct Entry {
    known: Arc<ArcSwapOption<Known>>,
    /// Turns true when the present state has been told.
    synced: watch::Receiver<bool>,
    /// Whoever asks, asks for all who wait.
    asking: tokio::sync::Mutex<Option<(Instant, Error)>>,
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

    fn of(services: Vec<Arc<Service>>) -> Option<Arc<Self>> {
        let known = Self { services };
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
                let found = Known::of(services.into_iter().map(Arc::new).collect());
                found.ok_or_else(|| Error::not_found(format!("service {name} has no node")))
            }
            Err(error) => {
                if error.kind() == micro_core::ErrorKind::NotFound {
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
        let (tell, synced) = watch::channel(false);
        let task = tokio::spawn(follow(registry, name, known.clone(), tell));
        Self {
            known,
            synced,
            asking: tokio::sync::Mutex::default(),
            used: AtomicU64::new(now),
            _watch: AbortOnDropHandle::new(task),
        }
    }
}

/// Keeps what is known in step with the registry.
async fn follow(
    registry: Arc<dyn Registry>,
    name: ServiceName,
    known: Arc<ArcSwapOption<Known>>,
    synced: watch::Sender<bool>,
) {
    loop {
        match registry.watch(WatchOptions::default().with_name(name.clone())).await {
            Ok(mut changes) => {
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
                        known.store(Known::of(versions.values().cloned().collect()));
                        synced.send_replace(true);
                    }
                }
                tracing::debug!(service = %name, "the registry ended the watch");
            }
            Err(error) => {
                tracing::warn!(service = %name, %error, "the service cannot be watched");
                synced.send_replace(true);
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
