//! What goes over a real nats-server, against peers that act as go-micro does, by hand.

#![allow(clippy::unwrap_used, reason = "what fails here fails a test")]

mod discovery;
mod garbage;
mod go;
mod harmless;
mod leases;
mod outage;
mod size;

use std::time::Duration;

use micro_core::registry::{Change, Node, Service, ServiceName, WatchOptions, Watcher};
use micro_core::{ErrorKind, Registry, Result};
use micro_registry_nats::micro_nats::Nats;
use micro_registry_nats::{NatsRegistry, Options};
use micro_testkit::server::NatsServer;
use tokio::time::timeout;

/// Far longer than anything should take, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(20);

fn registry(server: &NatsServer, options: Options) -> NatsRegistry {
    let nats = Nats::new([server.address()]).unwrap();
    NatsRegistry::with_options(&nats, options).unwrap()
}

fn plain(server: &NatsServer) -> NatsRegistry {
    registry(server, Options::default())
}

fn greeter() -> ServiceName {
    ServiceName::new("greeter").unwrap()
}

/// A service of one node.
fn service(version: &str, id: &str) -> Service {
    Service::new("greeter", version).with_node(Node::new(id, format!("at-{id}")))
}

async fn register(registry: &NatsRegistry, service: &Service) {
    registry.register(service, Default::default()).await.unwrap();
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what}: not within {LIMIT:?}"))
}

/// All node ids of a lookup, in order.
fn ids(services: &[Service]) -> Vec<String> {
    let mut ids: Vec<String> =
        services.iter().flat_map(|s| &s.nodes).map(|node| node.id.clone()).collect();
    ids.sort();
    ids
}

/// Looks up until these nodes are found.
async fn find(registry: &NatsRegistry, expected: &[&str]) {
    within(&format!("finding {expected:?}"), async {
        loop {
            let found = match registry.get(&greeter()).await {
                Ok(services) => ids(&services),
                Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
                Err(error) if error.kind() == ErrorKind::Unavailable => continue,
                Err(error) => panic!("{error}"),
            };
            if found == expected {
                return;
            }
        }
    })
    .await;
}

fn is_not_found(outcome: &Result<Vec<Service>>) -> bool {
    outcome.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

/// A watcher of `greeter` that keeps what it was told.
struct Watch {
    watcher: Watcher,
    versions: std::collections::BTreeMap<String, Vec<String>>,
    synced: bool,
}

impl Watch {
    async fn new(registry: &NatsRegistry) -> Self {
        let options = WatchOptions::default().with_name(greeter());
        let watcher = registry.watch(options).await.unwrap();
        Self { watcher, versions: Default::default(), synced: false }
    }

    /// One that has been told the present state.
    async fn synced(registry: &NatsRegistry) -> Self {
        let mut watch = Self::new(registry).await;
        within("Synced", async {
            while !watch.synced {
                watch.next().await;
            }
        })
        .await;
        watch
    }

    async fn next(&mut self) {
        match self.watcher.next().await.expect("the watcher goes on") {
            Change::Added(service) | Change::Updated(service) => {
                self.versions.insert(service.version.clone(), ids(&[(*service).clone()]));
            }
            Change::Removed(service) => _ = self.versions.remove(&service.version),
            Change::Synced => self.synced = true,
            other => panic!("{other:?}"),
        }
    }

    fn ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.versions.values().flatten().map(String::as_str).collect();
        ids.sort_unstable();
        ids
    }

    async fn until(&mut self, expected: &[&str]) {
        let what = format!("watching for {expected:?}");
        within(&what, async {
            while self.ids() != expected {
                self.next().await;
            }
        })
        .await;
    }

    /// Watches this long and tells whether anything has changed.
    async fn changes_within(&mut self, time: Duration) -> bool {
        timeout(time, self.next()).await.is_ok()
    }
}
