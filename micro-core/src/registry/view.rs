//! The state of a registry as one process knows it, with leases, told to any number of watchers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::snapshot::{About, Key, Published, Snapshot, Synced};
use super::watcher::{Differences, Watcher};
use super::{Node, Service, ServiceName};

/// What a backend knows of services and nodes: merged, with leases, bounded, and told to watchers.
///
/// A plain value without I/O, tasks or locks; a backend keeps it under a lock of its own. Changes
/// become visible to watchers at the next [`publish`](Self::publish), so that a burst of messages
/// is told as one change.
pub struct View {
    services: BTreeMap<Key, Entry>,
    nodes: usize,
    max_nodes: usize,
    /// What has changed since it was last published.
    dirty: BTreeSet<Key>,
    /// Whether something of it is worth telling: a node's lease alone is not.
    news: bool,
    synced: Synced,
    snapshots: watch::Sender<Snapshot>,
}

#[derive(Default)]
struct Entry {
    about: Arc<About>,
    nodes: BTreeMap<String, Held>,
}

struct Held {
    node: Arc<Node>,
    until: Option<Instant>,
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
            news: false,
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
        let key = Key::new(&name, &version);
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
                    let is_other = *held.node != node;
                    if is_other || held.node.lease != node.lease {
                        held.node = Arc::new(node);
                        self.dirty.insert(key.clone());
                        self.news |= is_other;
                    }
                }
                None => {
                    entry.nodes.insert(node.id.clone(), Held { node: Arc::new(node), until });
                    self.nodes += 1;
                    self.dirty.insert(key.clone());
                    self.news = true;
                }
            }
        }
        let about = About { metadata, endpoints };
        if let Some(entry) = self.services.get_mut(&key)
            && *entry.about != about
        {
            entry.about = Arc::new(about);
            self.dirty.insert(key);
            self.news = true;
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
                self.news = true;
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
                self.news = true;
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
        keys.iter().filter_map(|key| Some(self.services.get(key)?.service(key))).collect()
    }

    /// All services.
    pub fn list(&self) -> Vec<Service> {
        self.services.iter().map(|(key, entry)| entry.service(key)).collect()
    }

    /// One node, if it is known.
    pub fn node(&self, name: &str, id: &str) -> Option<&Node> {
        let from = Key::new(name, "");
        let of_name = self.services.range(from..).take_while(|(key, _)| &*key.name == name);
        of_name.filter_map(|(_, e)| e.nodes.get(id)).map(|held| &*held.node).next()
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
        let news = std::mem::take(&mut self.news);
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
                match self.services.get(&key) {
                    Some(entry) => services.insert(key.clone(), Arc::new(entry.published(key))),
                    None => services.remove(&key),
                };
            }
            news || !told
        });
    }

    /// A watcher of this service (`None`: of all) from the last published state on.
    pub fn watch(&self, name: Option<ServiceName>) -> Watcher {
        Watcher::new(Differences::new(self.snapshots.subscribe(), name))
    }

    fn keys_of(&self, name: &str, version: Option<&str>) -> Vec<Key> {
        let from = Key::new(name, version.unwrap_or(""));
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
    fn service(&self, key: &Key) -> Service {
        Service {
            name: key.name.to_string(),
            version: key.version.to_string(),
            metadata: self.about.metadata.clone(),
            endpoints: self.about.endpoints.clone(),
            nodes: self.nodes.values().map(|held| Node::clone(&held.node)).collect(),
        }
    }

    fn published(&self, key: Key) -> Published {
        let nodes = self.nodes.values().map(|held| held.node.clone()).collect();
        Published::new(key, self.about.clone(), nodes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_node_copies_no_other() {
        let mut view = View::new(10);
        let service = |address: &str| {
            let unchanged = ["1", "3"].map(|id| Node::new(id, "same"));
            let [first, last] = unchanged;
            let changed = Node::new("2", address);
            Service::new("a", "").with_node(first).with_node(changed).with_node(last)
        };
        let mut publish = |address: &str| {
            view.insert(service(address), |_| None);
            view.publish();
            let snapshot = view.snapshots.borrow().clone();
            let published = snapshot.services.values().next().map(|p| p.nodes.clone());
            published.unwrap()
        };
        let (before, after) = (publish("old"), publish("new"));
        let same: Vec<bool> =
            before.iter().zip(&after).map(|(before, after)| Arc::ptr_eq(before, after)).collect();
        assert_eq!(same, [true, false, true]);
    }
}
