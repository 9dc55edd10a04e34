//! The state of a registry as one process knows it, with leases, told to any number of watchers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::watcher::{Differences, Watcher};
use super::{Endpoint, Node, Service, ServiceName};

/// What a backend knows of services and nodes: merged, with leases, bounded, and told to watchers.
///
/// A plain value without I/O, tasks or locks; a backend keeps it under a lock of its own. Changes
/// become visible to watchers at the next [`publish`](Self::publish), so that a burst of messages
/// is told as one change.
pub struct View {
    services: BTreeMap<Key, Entry>,
    nodes: usize,
    max_nodes: usize,
    /// Whose `shared` is out of date, or who are to go.
    dirty: BTreeSet<Key>,
    synced: Synced,
    snapshots: watch::Sender<Snapshot>,
}

/// A name and a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    name: Arc<str>,
    version: Arc<str>,
}

#[derive(Default)]
struct Entry {
    metadata: BTreeMap<String, String>,
    endpoints: Vec<Endpoint>,
    nodes: BTreeMap<String, Held>,
}

struct Held {
    node: Node,
    until: Option<Instant>,
}

#[derive(Clone, Default)]
struct Synced {
    all: bool,
    names: Arc<BTreeSet<String>>,
}

#[derive(Clone, Default)]
pub(super) struct Snapshot {
    services: Arc<BTreeMap<Key, Arc<Service>>>,
    synced: Synced,
}

/// A node whose lease has run out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expired {
    /// The name of the service.
    pub name: Arc<str>,
    /// Its version.
    pub version: Arc<str>,
    /// The node's id.
    pub id: String,
}

impl View {
    /// An empty view that holds at most this many nodes.
    pub fn new(max_nodes: usize) -> Self {
        Self {
            services: BTreeMap::new(),
            nodes: 0,
            max_nodes,
            dirty: BTreeSet::new(),
            synced: Synced::default(),
            snapshots: watch::Sender::new(Snapshot::default()),
        }
    }

    /// Takes in one service as it was told: each of its nodes is added or replaced, its
    /// description is the newest. `lease` says until when a node is believed; `None`: for ever.
    ///
    /// Returns how many nodes found no room.
    pub fn insert(
        &mut self,
        service: Service,
        mut lease: impl FnMut(&Node) -> Option<Instant>,
    ) -> usize {
        let Service { name, version, metadata, endpoints, nodes } = service;
        let key = Key { name: name.into(), version: version.into() };
        let mut refused = 0;
        for node in nodes {
            let until = lease(&node);
            let known = self.services.get(&key).is_some_and(|e| e.nodes.contains_key(&node.id));
            if !known && self.nodes >= self.max_nodes {
                refused += 1;
                continue;
            }
            let entry = self.services.entry(key.clone()).or_default();
            match entry.nodes.get_mut(&node.id) {
                Some(held) => {
                    held.until = until;
                    if held.node != node {
                        held.node = node;
                        self.dirty.insert(key.clone());
                    }
                }
                None => {
                    entry.nodes.insert(node.id.clone(), Held { node, until });
                    self.nodes += 1;
                    self.dirty.insert(key.clone());
                }
            }
        }
        if let Some(entry) = self.services.get_mut(&key)
            && (entry.metadata != metadata || entry.endpoints != endpoints)
        {
            entry.metadata = metadata;
            entry.endpoints = endpoints;
            self.dirty.insert(key);
        }
        refused
    }

    /// Takes nodes away by id, of one version or of all; returns how many were there.
    pub fn remove(&mut self, name: &str, version: Option<&str>, id: &str) -> usize {
        let keys: Vec<Key> = self.keys_of(name, version);
        let mut removed = 0;
        for key in keys {
            let Some(entry) = self.services.get_mut(&key) else {
                continue;
            };
            if entry.nodes.remove(id).is_some() {
                removed += 1;
                self.nodes -= 1;
                if entry.nodes.is_empty() {
                    self.services.remove(&key);
                }
                self.dirty.insert(key);
            }
        }
        removed
    }

    /// Forgets a service with all versions and nodes, and that it was synced.
    pub fn forget(&mut self, name: &str) {
        for key in self.keys_of(name, None) {
            if let Some(entry) = self.services.remove(&key) {
                self.nodes -= entry.nodes.len();
                self.dirty.insert(key);
            }
        }
        // The set is copied only for a change, so that watchers are not woken for none.
        if self.synced.names.contains(name) {
            Arc::make_mut(&mut self.synced.names).remove(name);
        }
    }

    /// Believes a node, of whatever version, until then; false if it is not known.
    pub fn renew(&mut self, name: &str, id: &str, until: Option<Instant>) -> bool {
        let mut known = false;
        for key in self.keys_of(name, None) {
            if let Some(held) = self.services.get_mut(&key).and_then(|e| e.nodes.get_mut(id)) {
                held.until = until;
                known = true;
            }
        }
        known
    }

    /// Believes every node at least until then: after a time in which nobody could be heard.
    pub fn extend(&mut self, until: Instant) {
        for held in self.services.values_mut().flat_map(|e| e.nodes.values_mut()) {
            held.until = held.until.map(|old| old.max(until));
        }
    }

    /// The nodes whose lease has run out. They stay until they are removed or renewed.
    pub fn expired(&self, now: Instant) -> Vec<Expired> {
        let mut expired = Vec::new();
        for (key, entry) in &self.services {
            for (id, held) in &entry.nodes {
                if held.until.is_some_and(|until| until <= now) {
                    expired.push(Expired {
                        name: key.name.clone(),
                        version: key.version.clone(),
                        id: id.clone(),
                    });
                }
            }
        }
        expired
    }

    /// When the next lease runs out.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.services.values().flat_map(|e| e.nodes.values()).filter_map(|held| held.until).min()
    }

    /// The versions of a service; empty if there are none.
    pub fn get(&self, name: &str) -> Vec<Service> {
        let keys = self.keys_of(name, None);
        keys.iter().filter_map(|key| self.services.get_key_value(key)).map(Entry::service).collect()
    }

    /// All services.
    pub fn list(&self) -> Vec<Service> {
        self.services.iter().map(Entry::service).collect()
    }

    /// One node, if it is known.
    pub fn node(&self, name: &str, id: &str) -> Option<&Node> {
        let from = Key { name: name.into(), version: "".into() };
        let of_name = self.services.range(from..).take_while(|(key, _)| &*key.name == name);
        of_name.filter_map(|(_, e)| e.nodes.get(id)).map(|held| &held.node).next()
    }

    /// How many nodes are known.
    pub fn len(&self) -> usize {
        self.nodes
    }

    /// How many nodes of this service are known.
    pub fn len_of(&self, name: &str) -> usize {
        self.keys_of(name, None)
            .iter()
            .filter_map(|k| self.services.get(k))
            .map(|e| e.nodes.len())
            .sum()
    }

    /// Whether no node is known.
    pub fn is_empty(&self) -> bool {
        self.nodes == 0
    }

    /// From the next [`publish`](Self::publish) on, the state of this service (`None`: of all) is
    /// complete: its watchers get [`Change::Synced`](super::Change::Synced).
    pub fn set_synced(&mut self, name: Option<&ServiceName>) {
        match name {
            None => self.synced.all = true,
            Some(name) if self.synced.names.contains(name.as_str()) => {}
            Some(name) => {
                Arc::make_mut(&mut self.synced.names).insert(name.as_str().to_owned());
            }
        }
    }

    /// Tells the watchers what has changed since the last time.
    pub fn publish(&mut self) {
        let dirty = std::mem::take(&mut self.dirty);
        let synced = self.synced.clone();
        self.snapshots.send_if_modified(|snapshot| {
            let told = snapshot.synced.all == synced.all
                && Arc::ptr_eq(&snapshot.synced.names, &synced.names);
            if dirty.is_empty() && told {
                return false;
            }
            snapshot.synced = synced;
            let services = Arc::make_mut(&mut snapshot.services);
            for key in dirty {
                match self.services.get_key_value(&key) {
                    Some(found) => services.insert(key, Arc::new(Entry::service(found))),
                    None => services.remove(&key),
                };
            }
            true
        });
    }

    /// A watcher of this service (`None`: of all) from the last published state on.
    pub fn watch(&self, name: Option<ServiceName>) -> Watcher {
        Watcher::new(Differences::new(self.snapshots.subscribe(), name))
    }

    fn keys_of(&self, name: &str, version: Option<&str>) -> Vec<Key> {
        let from = Key { name: name.into(), version: version.unwrap_or("").into() };
        self.services
            .range(from..)
            .map(|(key, _)| key)
            .take_while(|key| &*key.name == name)
            .filter(|key| version.is_none_or(|version| &*key.version == version))
            .cloned()
            .collect()
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("services", &self.services.len())
            .field("nodes", &self.nodes)
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn service((key, entry): (&Key, &Self)) -> Service {
        Service {
            name: key.name.to_string(),
            version: key.version.to_string(),
            metadata: entry.metadata.clone(),
            endpoints: entry.endpoints.clone(),
            nodes: entry.nodes.values().map(|held| held.node.clone()).collect(),
        }
    }
}

impl Snapshot {
    pub(super) fn of(
        &self,
        name: Option<&ServiceName>,
    ) -> impl Iterator<Item = (&Key, &Arc<Service>)> {
        let from = Key { name: name.map_or("", ServiceName::as_str).into(), version: "".into() };
        self.services
            .range(from..)
            .take_while(move |(key, _)| name.is_none_or(|name| name.as_str() == &*key.name))
    }

    pub(super) fn is_synced(&self, name: Option<&ServiceName>) -> bool {
        self.synced.all || name.is_some_and(|name| self.synced.names.contains(name.as_str()))
    }
}
