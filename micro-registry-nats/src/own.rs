//! What is registered here: remembered, announced again and again, and kept alive by heartbeats.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use micro_core::Result;
use micro_core::registry::{Node, Service};
use tokio::time::Instant;
use tracing::warn;

use crate::config::Options;
use crate::members::NodeKey;
use crate::message::{
    Description, Fit, Heartbeat, LEASE_KEY, LONGEST_LEASE, Target, encode_answers, fit,
    without_types,
};

/// How many heartbeats all nodes of one service together send in a second.
const BEATS_PER_SECOND: u64 = 100;

/// The registrations of one handle, without I/O and without a clock of its own.
#[derive(Debug)]
pub(crate) struct Own {
    services: BTreeMap<(String, String), Registered>,
    /// By name, for each that is registered.
    siblings: BTreeMap<String, Siblings>,
    lease: Duration,
    interval: Duration,
    max_siblings: usize,
}

/// The other nodes of a service that is registered here.
#[derive(Debug)]
struct Siblings {
    /// Until when they count.
    heard: HashMap<NodeKey, Instant>,
    /// How long others should believe a node of this service.
    lease: Duration,
}

/// One version of a service.
#[derive(Debug)]
struct Registered {
    /// As it was registered, without nodes.
    full: Service,
    /// As it is sent, without nodes: maybe without the types of its endpoints.
    sent: Service,
    nodes: BTreeMap<String, OwnNode>,
    /// The answers to a query, and for which lease and size of messages they were made.
    answers: Option<(Duration, usize, Vec<Bytes>)>,
}

#[derive(Debug)]
struct OwnNode {
    node: Node,
    /// Of the description as it is sent.
    hash: u64,
    /// When the registration ends unless it is renewed.
    until: Option<Instant>,
    announced: Option<Instant>,
    announce_at: Instant,
    beat_at: Instant,
}

/// What has to be said now.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// These registrations have ended.
    pub(crate) ended: Vec<Service>,
    /// These are to be announced, each with this lease.
    pub(crate) announce: Vec<(Service, Duration)>,
    /// Heartbeats, by service.
    pub(crate) beats: Vec<(String, Heartbeat)>,
}

impl Own {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            services: BTreeMap::new(),
            siblings: BTreeMap::new(),
            lease: options.lease,
            interval: options.register_interval,
            max_siblings: options.max_nodes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// The names of what is registered.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.siblings.keys().map(String::as_str)
    }

    pub(crate) fn holds(&self, name: &str, key: &NodeKey) -> bool {
        let service = self.services.get(&(name.to_owned(), key.version.clone()));
        service.is_some_and(|service| service.nodes.contains_key(&key.id))
    }

    /// Whether a node listens at this address.
    pub(crate) fn is_address(&self, subject: &str) -> bool {
        self.nodes().any(|node| node.node.address == subject)
    }

    /// Remembers the nodes, or renews them; what is new or has changed is due for announcement.
    /// Returns the service as others see it.
    ///
    /// # Errors
    /// `TooLarge`; then nothing is remembered.
    pub(crate) fn register(
        &mut self,
        service: &Service,
        until: Option<Instant>,
        max_payload: usize,
        now: Instant,
    ) -> Result<Service> {
        // Ours is the plugin's to say; others take this key for the lease, not for metadata.
        let mut service = service.clone();
        for node in &mut service.nodes {
            node.metadata.remove(LEASE_KEY);
        }
        let sent = fitted(&service, max_payload)?;
        let full = Service { nodes: Vec::new(), ..service.clone() };
        let key = (service.name.clone(), service.version.clone());
        let registered = self.services.entry(key).or_insert_with(|| Registered {
            full: full.clone(),
            sent: sent.clone(),
            nodes: BTreeMap::new(),
            answers: None,
        });
        let described_anew = registered.full != full || registered.sent != sent;
        (registered.full, registered.sent) = (full, sent);
        registered.answers = None;
        let description = Description::of(&registered.sent);
        for node in &service.nodes {
            let hash = description.with(node);
            let old = registered.nodes.get(&node.id);
            // What was announced a moment ago need not be again, only because it was renewed.
            let fresh = old.is_some_and(|old| {
                let told = old.announced.is_some_and(|at| now < at + self.interval / 2);
                told && old.node == *node
            });
            let (announced, announce_at, beat_at) = match old {
                Some(old) if fresh => (old.announced, old.announce_at, old.beat_at),
                Some(old) => (old.announced, now, old.beat_at),
                None => (None, now, now + self.lease / 3),
            };
            let own = OwnNode { node: node.clone(), hash, until, announced, announce_at, beat_at };
            registered.nodes.insert(node.id.clone(), own);
        }
        if described_anew {
            for node in registered.nodes.values_mut() {
                node.hash = description.with(&node.node);
                node.announce_at = now;
            }
        }
        let lease = self.lease;
        let none = || Siblings { heard: HashMap::new(), lease };
        let lease = self.siblings.entry(service.name.clone()).or_insert_with(none).lease;
        service.nodes.iter_mut().for_each(|node| node.lease = Some(lease));
        Ok(service)
    }

    /// Forgets those of the nodes that are registered, and returns them.
    pub(crate) fn deregister(&mut self, service: &Service) -> Vec<Node> {
        let key = (service.name.clone(), service.version.clone());
        let Some(registered) = self.services.get_mut(&key) else {
            return Vec::new();
        };
        let ids = service.nodes.iter().map(|node| &node.id);
        let gone: Vec<Node> =
            ids.filter_map(|id| registered.nodes.remove(id)).map(|own| own.node).collect();
        registered.answers = None;
        if registered.nodes.is_empty() {
            self.services.remove(&key);
        }
        if !self.services.keys().any(|(name, _)| *name == service.name) {
            self.siblings.remove(&service.name);
        }
        gone
    }

    /// Everything that is registered and asked for, as it was registered, with the leases that
    /// others are told.
    pub(crate) fn matching(&self, target: &Target) -> Vec<Service> {
        let matching = self.services.values().filter(|own| target.matches(&own.full.name));
        let with_leases = |own: &Registered| {
            let mut service = own.with_nodes(&own.full, |_| true);
            let lease = self.lease_of(&service.name);
            service.nodes.iter_mut().for_each(|node| node.lease = Some(lease));
            service
        };
        matching.map(with_leases).collect()
    }

    fn lease_of(&self, name: &str) -> Duration {
        self.siblings.get(name).map_or(self.lease, |siblings| siblings.lease)
    }

    /// What to answer to somebody who asks.
    pub(crate) fn answers(&mut self, target: &Target, max: usize) -> Vec<Bytes> {
        let mut answers = Vec::new();
        for own in self.services.values_mut().filter(|own| target.matches(&own.full.name)) {
            let lease = self.siblings.get(&own.full.name).map_or(self.lease, |s| s.lease);
            let usable = own.answers.as_ref().is_some_and(|(l, m, _)| (*l, *m) == (lease, max));
            if !usable {
                let service = own.with_nodes(&own.sent, |_| true);
                own.answers = Some((lease, max, encode_answers(&service, lease, max)));
            }
            answers.extend(own.answers.iter().flat_map(|(_, _, made)| made.iter().cloned()));
        }
        answers
    }

    /// Another node of this service was heard; it counts until then.
    pub(crate) fn heard(&mut self, name: &str, key: NodeKey, until: Instant) {
        let max = self.max_siblings;
        if let Some(Siblings { heard, .. }) = self.siblings.get_mut(name)
            && (heard.len() < max || heard.contains_key(&key))
        {
            heard.insert(key, until);
        }
    }

    /// Announces everything again, soon and not all at the same moment; the largest message may
    /// be another now.
    pub(crate) fn reconnected(&mut self, max_payload: usize, first: bool, now: Instant) {
        for own in self.services.values_mut() {
            own.answers = None;
            match fitted(&own.with_nodes(&own.full, |_| true), max_payload) {
                Ok(sent) => own.sent = sent,
                Err(error) => warn!(service = own.full.name, %error, "service cannot be announced"),
            }
            let description = Description::of(&own.sent);
            for node in own.nodes.values_mut() {
                node.hash = description.with(&node.node);
                node.announce_at =
                    if first { now } else { now + jitter(Duration::from_millis(100)) };
            }
        }
    }

    /// Somebody told that this node of ours is gone, which is wrong: announce it again, but not
    /// in a race with whoever says so.
    pub(crate) fn contradict(&mut self, name: &str, key: &NodeKey, now: Instant) {
        let service = self.services.get_mut(&(name.to_owned(), key.version.clone()));
        if let Some(node) = service.and_then(|service| service.nodes.get_mut(&key.id)) {
            let soon = now + Duration::from_millis(50) + jitter(Duration::from_millis(50));
            let again = node.announced.map_or(soon, |at| soon.max(at + Duration::from_secs(1)));
            node.announce_at = node.announce_at.min(again);
        }
    }

    /// What ends and what has to be said now; `connected` says whether anybody could hear it.
    pub(crate) fn due(&mut self, connected: bool, now: Instant) -> Due {
        let mut due = Due::default();
        // Those that are nearly due go along: fewer wake-ups.
        let soon = now + Duration::from_millis(5);
        if self.next_due(connected).is_none_or(|next| next > soon) {
            return due;
        }
        for own in self.services.values() {
            let ended = own.with_nodes(&own.full, |node| node.until.is_some_and(|at| at <= now));
            if !ended.nodes.is_empty() {
                due.ended.push(ended);
            }
        }
        for ended in &due.ended {
            self.deregister(ended);
        }
        if !connected {
            return due;
        }
        self.stretch_leases(now);
        for ((name, version), own) in &mut self.services {
            let lease = self.siblings.get(name).map_or(self.lease, |siblings| siblings.lease);
            let announce = own.with_nodes(&own.sent, |node| node.announce_at <= soon);
            if !announce.nodes.is_empty() {
                due.announce.push((announce, lease));
            }
            for (id, node) in &mut own.nodes {
                if node.announce_at <= soon {
                    node.announced = Some(now);
                    node.announce_at = now + about(self.interval);
                    node.beat_at = now + about(lease / 3);
                } else if node.beat_at <= soon {
                    due.beats.push((name.clone(), Heartbeat::new(version, id, lease, node.hash)));
                    node.beat_at = now + about(lease / 3);
                }
            }
        }
        due
    }

    /// When [`due`](Self::due) is worth a look.
    pub(crate) fn next_due(&self, connected: bool) -> Option<Instant> {
        let times = self.nodes().flat_map(|node| {
            let said = connected.then_some(node.announce_at.min(node.beat_at));
            [node.until, said]
        });
        times.flatten().min()
    }

    /// Makes leases longer where a service has so many nodes that three heartbeats of each in the
    /// usual time would be too many.
    fn stretch_leases(&mut self, now: Instant) {
        for (name, siblings) in &mut self.siblings {
            siblings.heard.retain(|_, until| *until > now);
            let ours = self.services.values().filter(|own| own.full.name == *name);
            let nodes = siblings.heard.len() + ours.map(|own| own.nodes.len()).sum::<usize>();
            let millis =
                u64::try_from(nodes).unwrap_or(u64::MAX).saturating_mul(3000) / BEATS_PER_SECOND;
            // In steps: with every other lease the answers to queries are made anew.
            let stretched = Duration::from_millis(millis.div_ceil(500).saturating_mul(500));
            let enough = Duration::from_millis(millis) <= self.lease;
            siblings.lease = if enough { self.lease } else { stretched.min(LONGEST_LEASE) };
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &OwnNode> {
        self.services.values().flat_map(|own| own.nodes.values())
    }
}

impl Registered {
    fn with_nodes(&self, described: &Service, which: impl Fn(&OwnNode) -> bool) -> Service {
        let nodes = self.nodes.values().filter(|own| which(own)).map(|own| own.node.clone());
        Service { nodes: nodes.collect(), ..described.clone() }
    }
}

/// The description without nodes as it can be sent.
fn fitted(service: &Service, max_payload: usize) -> Result<Service> {
    let bare = Service { nodes: Vec::new(), ..service.clone() };
    match fit(service, max_payload)? {
        Fit::Whole => Ok(bare),
        Fit::WithoutTypes(size) => {
            warn!(
                service = service.name,
                size,
                limit = max_payload,
                "the description is too large; it is announced without the types of its endpoints"
            );
            Ok(without_types(bare))
        }
    }
}

/// Within 10 % of this, so that what began together does not stay together.
fn about(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.2 * fastrand::f64())
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests;
