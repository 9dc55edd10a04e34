//! The nodes that watchers are told of: who is believed, until when, and what of it was heard.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use micro_core::registry::{Node, Service, ServiceName, View, Watcher};
use tokio::time::Instant;
use tracing::debug;

use crate::message::{Description, Heartbeat, Told};

/// A [`View`] of others and, of each of its nodes, what the view does not keep: the leases stand
/// here, because a heartbeat renews one version of a node and not another.
#[derive(Debug)]
pub(crate) struct Members {
    view: View,
    known: BTreeMap<String, HashMap<NodeKey, Known>>,
    /// Where the known nodes listen, and how many of them at each address.
    addresses: HashMap<String, usize>,
    bytes: usize,
    bounds: Bounds,
    /// When the next lease may run out; never later than it does.
    next: Option<Instant>,
    /// Whose nodes are all known: of everything, or of these.
    complete: (bool, BTreeSet<String>),
}

/// How much is remembered, and for how long without a lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) max_nodes: usize,
    pub(crate) max_bytes: usize,
    pub(crate) unleased: Duration,
    /// No lease is believed to be shorter: who asks when it ends would ask all the time.
    pub(crate) shortest_lease: Duration,
}

/// A node of a service: its version and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeKey {
    pub(crate) version: String,
    pub(crate) id: String,
}

#[derive(Debug)]
struct Known {
    /// Of the description as it was heard; only where there is a lease, since no other node
    /// sends heartbeats.
    hash: Option<u64>,
    /// `None`: a node of this process, which is believed as long as it is registered.
    until: Option<Instant>,
    address: String,
    bytes: usize,
}

/// What a heartbeat told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// The node is known as it is, and believed again.
    Renewed,
    /// The node is unknown, or another than it was: somebody has to ask.
    News,
    /// The node is unknown, and there is no room for it.
    NoRoom,
}

impl NodeKey {
    pub(crate) fn new(version: &str, id: &str) -> Self {
        Self { version: version.to_owned(), id: id.to_owned() }
    }
}

impl Members {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            view: View::new(bounds.max_nodes),
            known: BTreeMap::new(),
            addresses: HashMap::new(),
            bytes: 0,
            bounds,
            next: None,
            complete: (false, BTreeSet::new()),
        }
    }

    /// Takes in what was told; returns how many nodes found no room.
    pub(crate) fn insert(&mut self, told: Told, now: Instant) -> usize {
        let Told { mut service, bytes } = told;
        let nodes = std::mem::take(&mut service.nodes);
        let share = bytes / nodes.len().max(1);
        // Once for all nodes: it may be large, and they may be many.
        let description = Description::of(&service);
        let known = nodes.into_iter().map(|node| {
            let lease = node.lease.map(|lease| lease.max(self.bounds.shortest_lease));
            let known = Known {
                hash: lease.map(|_| description.with(&node)),
                until: Some(now + lease.unwrap_or(self.bounds.unleased)),
                address: node.address.clone(),
                bytes: share,
            };
            (node, known)
        });
        let known = known.collect();
        self.put(service, known)
    }

    /// Takes in nodes of this process.
    pub(crate) fn insert_own(&mut self, mut service: Service) {
        let nodes = std::mem::take(&mut service.nodes).into_iter().map(|node| {
            let address = node.address.clone();
            (node, Known { hash: None, until: None, address, bytes: 0 })
        });
        self.put(service, nodes.collect());
    }

    /// A node said goodbye.
    pub(crate) fn remove(&mut self, name: &str, key: &NodeKey) {
        self.take_away(name, key, "it said goodbye");
    }

    /// Forgets a service that nobody watches any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.view.forget(name);
        self.complete.1.remove(name);
        for known in self.known.remove(name).into_iter().flat_map(HashMap::into_values) {
            self.forgotten(&known);
        }
    }

    /// A node says that it lives.
    pub(crate) fn beat(&mut self, name: &str, heartbeat: &Heartbeat, now: Instant) -> Beat {
        let full = self.is_full();
        let key = NodeKey::new(heartbeat.version(), heartbeat.id());
        let Some(known) = self.known.get_mut(name).and_then(|nodes| nodes.get_mut(&key)) else {
            return if full { Beat::NoRoom } else { Beat::News };
        };
        if known.until.is_none() {
            return Beat::Renewed;
        }
        // Even one that has changed lives.
        let until = now + heartbeat.lease().max(self.bounds.shortest_lease);
        known.until = Some(until);
        let same = known.hash.is_some_and(|hash| heartbeat.is_of(hash));
        self.expect(until);
        if same { Beat::Renewed } else { Beat::News }
    }

    /// Believes every node at least until then: nobody could be heard, and what is known may be
    /// less than there is.
    pub(crate) fn extend(&mut self, until: Instant) {
        self.complete = (false, BTreeSet::new());
        self.look_again(until);
        for known in self.known.values_mut().flat_map(HashMap::values_mut) {
            known.until = known.until.map(|old| old.max(until));
        }
    }

    /// Whoever has run out now is to be told by [`expired`](Self::expired) then once more.
    pub(crate) fn look_again(&mut self, at: Instant) {
        self.expect(at);
    }

    /// When [`expired`](Self::expired) is worth a look.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.next
    }

    /// The nodes whose lease has run out, by service. They stay until they are buried or renewed.
    pub(crate) fn expired(&mut self, now: Instant) -> BTreeMap<String, Vec<NodeKey>> {
        let mut expired: BTreeMap<String, Vec<NodeKey>> = BTreeMap::new();
        self.next = None;
        let mut next: Option<Instant> = None;
        for (name, nodes) in &self.known {
            for (key, known) in nodes {
                match known.until {
                    Some(until) if until <= now => {
                        expired.entry(name.clone()).or_default().push(key.clone());
                    }
                    Some(until) => next = Some(next.map_or(until, |next| next.min(until))),
                    None => {}
                }
            }
        }
        self.next = next;
        expired
    }

    /// Takes those of these nodes away whose lease has still run out.
    pub(crate) fn bury(&mut self, name: &str, keys: &[NodeKey], now: Instant) {
        for key in keys {
            let known = self.known.get(name).and_then(|nodes| nodes.get(key));
            if known.is_some_and(|known| known.until.is_some_and(|until| until <= now)) {
                self.take_away(name, key, "its lease ran out and it did not answer");
            }
        }
    }

    /// The nodes of a service, if all of them are known.
    pub(crate) fn complete(&self, name: &str) -> Option<BTreeSet<NodeKey>> {
        self.is_complete(name).then(|| self.keys(name))
    }

    /// The versions of a service, if all of its nodes are known.
    pub(crate) fn services(&self, name: &str) -> Vec<Service> {
        if self.is_complete(name) { self.view.get(name) } else { Vec::new() }
    }

    fn is_complete(&self, name: &str) -> bool {
        let (all, names) = &self.complete;
        *all || names.contains(name)
    }

    /// The nodes that are known of a service.
    fn keys(&self, name: &str) -> BTreeSet<NodeKey> {
        self.known.get(name).map(|nodes| nodes.keys().cloned().collect()).unwrap_or_default()
    }

    /// Whether a known node listens there.
    pub(crate) fn is_address(&self, subject: &str) -> bool {
        self.addresses.contains_key(subject)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.view.len() >= self.bounds.max_nodes || self.bytes >= self.bounds.max_bytes
    }

    /// All nodes of this service (`None`: of all) have been told.
    pub(crate) fn set_synced(&mut self, name: Option<&ServiceName>) {
        match name {
            None => self.complete.0 = true,
            Some(name) => _ = self.complete.1.insert(name.to_string()),
        }
        self.view.set_synced(name);
    }

    /// Tells the watchers.
    pub(crate) fn publish(&mut self) {
        self.view.publish();
    }

    pub(crate) fn watch(&self, name: Option<ServiceName>) -> Watcher {
        self.view.watch(name)
    }

    /// Adds or replaces nodes; returns how many found no room.
    fn put(&mut self, mut service: Service, nodes: Vec<(Node, Known)>) -> usize {
        let all = nodes.len();
        // The view is told of all at once, and so has room for as many as are counted here.
        let mut room = self.bounds.max_nodes.saturating_sub(self.view.len());
        for (node, new) in nodes {
            let key = NodeKey::new(&service.version, &node.id);
            let old = self.known.get(&service.name).and_then(|nodes| nodes.get(&key));
            let is_new = old.is_none();
            let bytes = self.bytes - old.map_or(0, |old| old.bytes) + new.bytes;
            if bytes > self.bounds.max_bytes || (is_new && room == 0) {
                continue;
            }
            if is_new {
                room -= 1;
                debug!(service = service.name, version = key.version, node = key.id, "node joined");
            }
            if let Some(until) = new.until {
                self.expect(until);
            }
            self.bytes += new.bytes;
            *self.addresses.entry(new.address.clone()).or_default() += 1;
            let nodes = self.known.entry(service.name.clone()).or_default();
            if let Some(old) = nodes.insert(key, new) {
                self.forgotten(&old);
            }
            service.nodes.push(node);
        }
        let refused = all - service.nodes.len();
        if !service.nodes.is_empty() {
            self.view.insert(service, |_| None);
        }
        refused
    }

    fn take_away(&mut self, name: &str, key: &NodeKey, why: &'static str) {
        let Some(nodes) = self.known.get_mut(name) else {
            return;
        };
        let gone = nodes.remove(key);
        if nodes.is_empty() {
            self.known.remove(name);
        }
        if let Some(known) = gone {
            debug!(service = name, version = key.version, node = key.id, why, "node left");
            self.view.remove(name, Some(&key.version), &key.id);
            self.forgotten(&known);
        }
    }

    fn forgotten(&mut self, known: &Known) {
        self.bytes -= known.bytes;
        if let Some(count) = self.addresses.get_mut(&known.address) {
            *count -= 1;
            if *count == 0 {
                self.addresses.remove(&known.address);
            }
        }
    }

    fn expect(&mut self, until: Instant) {
        self.next = Some(self.next.map_or(until, |next| next.min(until)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn members(max_nodes: usize, max_bytes: usize) -> Members {
        let shortest_lease = SECOND;
        Members::new(Bounds { max_nodes, max_bytes, unleased: 90 * SECOND, shortest_lease })
    }

    fn told(version: &str, id: &str, lease: Option<Duration>) -> Told {
        let node = Node { lease, ..Node::new(id, "a") };
        Told { service: Service::new("greeter", version).with_node(node), bytes: 100 }
    }

    fn beat(told: &Told, lease: Duration) -> Heartbeat {
        let node = &told.service.nodes[0];
        let mut service = told.service.clone();
        service.nodes.clear();
        Heartbeat::new(&service.version, &node.id, lease, Description::of(&service).with(node))
    }

    #[test]
    fn a_heartbeat_of_a_known_node_renews_it_and_any_other_is_news() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        let first = told("1", "a", Some(6 * SECOND));
        assert_eq!(members.beat("greeter", &beat(&first, SECOND), now), Beat::News);
        members.insert(first.clone(), now);
        assert_eq!(members.beat("greeter", &beat(&first, 9 * SECOND), now), Beat::Renewed);
        assert!(members.expired(now + 8 * SECOND).is_empty());
        assert_eq!(members.expired(now + 9 * SECOND)["greeter"], [NodeKey::new("1", "a")]);
        let mut changed = first;
        changed.service.nodes[0].address = "elsewhere".into();
        assert_eq!(members.beat("greeter", &beat(&changed, SECOND), now), Beat::News);
    }

    #[test]
    fn a_node_without_a_lease_is_believed_for_the_time_of_such() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert(told("1", "a", None), now);
        assert_eq!(members.next_expiry(), Some(now + 90 * SECOND));
        assert!(members.expired(now + 89 * SECOND).is_empty());
        assert_eq!(members.expired(now + 90 * SECOND)["greeter"], [NodeKey::new("1", "a")]);
    }

    #[test]
    fn only_who_is_still_silent_is_buried() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert(told("1", "a", Some(SECOND)), now);
        members.insert(told("1", "b", Some(SECOND)), now);
        let expired = members.expired(now + SECOND).remove("greeter").unwrap();
        members.insert(told("1", "a", Some(SECOND)), now + SECOND);
        members.bury("greeter", &expired, now + SECOND);
        assert_eq!(members.keys("greeter"), BTreeSet::from([NodeKey::new("1", "a")]));
    }

    #[test]
    fn a_node_of_this_process_never_expires() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert_own(told("1", "a", None).service);
        assert_eq!(members.next_expiry(), None);
        assert!(members.expired(now + 1000 * SECOND).is_empty());
    }

    #[test]
    fn the_heartbeats_of_one_version_do_not_keep_another_alive() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert(told("1", "a", Some(SECOND)), now);
        let second = told("2", "a", Some(SECOND));
        members.insert(second.clone(), now);
        let later = now + SECOND;
        assert_eq!(members.beat("greeter", &beat(&second, 6 * SECOND), later), Beat::Renewed);
        let expired = members.expired(later).remove("greeter").unwrap();
        members.bury("greeter", &expired, later);
        let versions: Vec<_> = members.view.list().into_iter().map(|s| s.version).collect();
        assert_eq!(versions, ["2"]);
    }

    #[test]
    fn neither_more_nodes_nor_more_bytes_are_kept_than_allowed() {
        let now = Instant::now();
        for (max_nodes, max_bytes) in [(2, 1000), (10, 250)] {
            let mut members = members(max_nodes, max_bytes);
            for id in ["a", "b"] {
                assert_eq!(members.insert(told("1", id, Some(SECOND)), now), 0);
            }
            assert_eq!(members.insert(told("1", "c", Some(SECOND)), now), 1);
            assert_eq!(members.insert(told("1", "b", Some(SECOND)), now), 0, "it is known");
            members.remove("greeter", &NodeKey::new("1", "a"));
            assert_eq!(members.insert(told("1", "c", Some(SECOND)), now), 0, "there is room");
            members.forget("greeter");
            assert_eq!((members.bytes, members.addresses.len()), (0, 0));
        }
    }

    #[test]
    fn a_farewell_is_of_one_version() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert(told("1", "a", None), now);
        members.remove("greeter", &NodeKey::new("", "a"));
        assert_eq!(members.keys("greeter").len(), 1);
        members.remove("greeter", &NodeKey::new("1", "a"));
        assert_eq!(members.keys("greeter").len(), 0);
    }

    #[test]
    fn a_tiny_lease_is_believed_for_a_second() {
        let (mut members, now) = (members(10, 1000), Instant::now());
        members.insert(told("1", "a", Some(Duration::from_millis(1))), now);
        assert!(members.expired(now + SECOND / 2).is_empty());
        assert!(!members.expired(now + SECOND).is_empty());
    }

    #[test]
    fn a_node_that_is_told_twice_in_one_message_counts_once() {
        let (mut members, now) = (members(2, 1000), Instant::now());
        let mut twice = told("1", "a", Some(SECOND));
        twice.service.nodes.push(Node::new("a", "b"));
        twice.service.nodes.push(Node::new("c", "c"));
        twice.service.nodes.push(Node::new("d", "d"));
        assert_eq!(members.insert(twice, now), 1);
        let nodes = members.view.list().remove(0).nodes;
        assert_eq!(nodes, [Node::new("a", "b"), Node::new("c", "c")]);
        members.forget("greeter");
        assert_eq!((members.bytes, members.addresses.len()), (0, 0));
    }
}
