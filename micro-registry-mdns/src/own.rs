//! What is registered here: said when it is new, said once more a second later, and renewed.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use micro_core::Result;
use micro_core::registry::Service;
use tokio::time::Instant;

use crate::address;
use crate::config::Options;
use crate::description::Description;
use crate::names;
use crate::record::{Head, Part, Strings, part_room};

/// RFC 6762, 8.3: what is new is said twice, a second apart. Within the second nothing may be
/// said again, so a little later than that.
const REPEAT: Duration = Duration::from_millis(1100);

/// A registration: a name, a version and a node's id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeKey {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) id: String,
}

/// What the responder is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// To tell this instance, or what it says now.
    Announce(Announcement),
    /// To tell the instance of this label no more.
    Withdraw(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) label: String,
    pub(crate) port: u16,
    /// Whether only this machine may hear it.
    pub(crate) is_local: bool,
    pub(crate) txt: Strings,
}

/// A node of this registry, as its own view has to know it.
#[derive(Clone, Debug)]
pub(crate) struct Claimed {
    pub(crate) key: NodeKey,
    pub(crate) label: String,
    pub(crate) service: Service,
    pub(crate) since: u64,
}

/// The registrations of one handle, without I/O and without a clock of its own.
#[derive(Debug)]
pub(crate) struct Own {
    token: String,
    namespace: Option<String>,
    lease: Duration,
    renewals: u32,
    nodes: BTreeMap<NodeKey, OwnNode>,
    /// How many instances there have been.
    instances: u64,
}

#[derive(Debug)]
struct OwnNode {
    /// With this node alone.
    service: Service,
    label: String,
    head: Head,
    parts: Vec<Vec<u8>>,
    /// When the registration ends unless it is renewed.
    until: Option<Instant>,
    repeat_at: Option<Instant>,
    renew_at: Instant,
}

impl Say {
    /// Of which instance.
    pub(crate) fn label(&self) -> &str {
        match self {
            Self::Announce(told) => &told.label,
            Self::Withdraw(label) => label,
        }
    }
}

impl NodeKey {
    /// Of a service with one node.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        let id = service.nodes.first()?.id.clone();
        Some(Self { name: service.name.clone(), version: service.version.clone(), id })
    }
}

impl Own {
    pub(crate) fn new(options: &Options, token: String) -> Self {
        Self {
            token,
            namespace: options.namespace_if_any().map(str::to_owned),
            lease: options.lease,
            renewals: options.renewals,
            nodes: BTreeMap::new(),
            instances: 0,
        }
    }

    /// Whether it is an instance of this handle, also one of before.
    pub(crate) fn is_own(&self, label: &str) -> bool {
        names::is_own(label, &self.token)
    }

    /// Remembers the nodes, or renews them; what is new or has changed is said.
    ///
    /// # Errors
    /// `TooLarge`; then nothing is remembered.
    pub(crate) fn register(
        &mut self,
        service: &Service,
        until: Option<Instant>,
        now: Instant,
        say: &mut VecDeque<Say>,
    ) -> Result<Vec<Claimed>> {
        let mut changed = Vec::new();
        for node in &service.nodes {
            let alone = Service { nodes: vec![node.clone()], ..service.clone() };
            let Some(key) = NodeKey::of(&alone) else { continue };
            if self.nodes.get(&key).is_none_or(|own| own.service != alone) {
                let description = Description::of(service, node, self.namespace.as_deref())?;
                changed.push((key, alone, description));
            }
        }
        for node in &service.nodes {
            let (name, version) = (service.name.clone(), service.version.clone());
            let key = NodeKey { name, version, id: node.id.clone() };
            if let Some(own) = self.nodes.get_mut(&key) {
                own.until = until;
            }
        }
        let describe =
            |(key, alone, description)| self.describe(key, alone, description, until, now, say);
        Ok(changed.into_iter().map(describe).collect())
    }

    fn describe(
        &mut self,
        key: NodeKey,
        service: Service,
        Description { revision, data }: Description,
        until: Option<Instant>,
        now: Instant,
        say: &mut VecDeque<Say>,
    ) -> Claimed {
        let is_local = |service: &Service| {
            service.nodes.first().is_some_and(|node| address::is_local(&node.address))
        };
        if self.nodes.get(&key).is_some_and(|old| is_local(&old.service) != is_local(&service)) {
            // Others hear of it now, or do not any more: it is another instance.
            self.deregister(&key, say);
        }
        let namespace = self.namespace.as_deref();
        let old = self.nodes.remove(&key);
        let (label, beat, old_parts) = match old {
            Some(old) => (old.label, old.head.beat + 1, old.parts.len()),
            None => {
                self.instances += 1;
                (names::instance(&key.name, &key.id, &self.token, self.instances), 1, 0)
            }
        };
        let since = milliseconds_since_1970();
        let mut head =
            Head { lease: self.lease, beat, since, revision, parts: 0, data: Vec::new() };
        let mut parts = Vec::new();
        if data.len() <= head.room(namespace, &shown(&service)) {
            head.data = data;
        } else {
            parts = data.chunks(part_room(namespace)).map(<[u8]>::to_vec).collect();
            head.parts = u16::try_from(parts.len()).unwrap_or(u16::MAX);
        }
        let own = OwnNode {
            service: service.clone(),
            label,
            head,
            parts,
            until,
            repeat_at: Some(now + REPEAT),
            renew_at: now + self.renewal(),
        };
        own.announce(namespace, say);
        for number in own.parts.len()..old_parts {
            say.push_back(Say::Withdraw(names::part_of(&own.label, part_number(number))));
        }
        let label = own.label.clone();
        self.nodes.insert(key.clone(), own);
        let mut service = service;
        service.nodes.iter_mut().for_each(|node| node.lease = Some(self.lease));
        Claimed { key, label, service, since }
    }

    /// Forgets those of the nodes that are registered here, and says that they leave.
    pub(crate) fn deregister(&mut self, key: &NodeKey, say: &mut VecDeque<Say>) -> bool {
        let Some(mut own) = self.nodes.remove(key) else { return false };
        own.head.lease = Duration::ZERO;
        own.head.beat += 1;
        own.announce_head(self.namespace.as_deref(), say);
        say.push_back(Say::Withdraw(own.label.clone()));
        for number in 0..own.parts.len() {
            say.push_back(Say::Withdraw(names::part_of(&own.label, part_number(number))));
        }
        true
    }

    /// Whether this instance, or the one that it is a part of, is that of a node.
    pub(crate) fn tells(&self, label: &str) -> bool {
        let is_of = |own: &OwnNode| {
            label.strip_prefix(&*own.label).is_some_and(|r| r.is_empty() || r.starts_with(' '))
        };
        self.nodes.values().any(is_of)
    }

    /// All that is registered.
    pub(crate) fn keys(&self) -> Vec<NodeKey> {
        self.nodes.keys().cloned().collect()
    }

    /// Says everything, to a responder that knows nothing.
    pub(crate) fn say_all(&mut self, now: Instant, say: &mut VecDeque<Say>) {
        let renewal = self.renewal();
        for own in self.nodes.values_mut() {
            own.head.beat += 1;
            own.repeat_at = Some(now + REPEAT);
            own.renew_at = now + renewal;
            own.announce(self.namespace.as_deref(), say);
        }
    }

    /// What has to be said now; returns whose registration has ended, which is to be deregistered.
    pub(crate) fn due(&mut self, now: Instant, say: &mut VecDeque<Say>) -> Vec<NodeKey> {
        let namespace = self.namespace.as_deref();
        let (lease, renewals) = (self.lease, self.renewals);
        let mut ended = Vec::new();
        for (key, own) in &mut self.nodes {
            if own.until.is_some_and(|until| until <= now) {
                ended.push(key.clone());
                continue;
            }
            if own.repeat_at.is_some_and(|at| at <= now) {
                own.repeat_at = None;
                own.announce(namespace, say);
            }
            if own.renew_at <= now {
                own.head.beat += 1;
                own.renew_at = now + about(lease / renewals);
                own.announce_head(namespace, say);
            }
        }
        ended
    }

    /// When [`due`](Self::due) is worth a look.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let times = |own: &OwnNode| [own.until, own.repeat_at, Some(own.renew_at)];
        self.nodes.values().flat_map(times).flatten().min()
    }

    fn renewal(&self) -> Duration {
        about(self.lease / self.renewals)
    }
}

impl OwnNode {
    /// The parts before the head, so that whoever hears the head has them.
    fn announce(&self, namespace: Option<&str>, say: &mut VecDeque<Say>) {
        let is_local = address::is_local(self.address());
        for (index, data) in self.parts.iter().enumerate() {
            let number = part_number(index);
            let part = Part { revision: self.head.revision, number, data: data.clone() };
            let label = names::part_of(&self.label, number);
            let txt = part.encode(namespace);
            say.push_back(Say::Announce(Announcement { label, port: 0, is_local, txt }));
        }
        self.announce_head(namespace, say);
    }

    fn address(&self) -> &str {
        self.service.nodes.first().map_or("", |node| &node.address)
    }

    fn announce_head(&self, namespace: Option<&str>, say: &mut VecDeque<Say>) {
        let address = self.address();
        say.push_back(Say::Announce(Announcement {
            label: self.label.clone(),
            port: address::port(address),
            is_local: address::is_local(address),
            txt: self.head.encode(namespace, &shown(&self.service)),
        }));
    }
}

/// What people see who browse with a tool of DNS-SD.
fn shown(service: &Service) -> Vec<(&str, &str)> {
    let (id, address) =
        service.nodes.first().map_or(("", ""), |node| (node.id.as_str(), node.address.as_str()));
    vec![("name", &service.name), ("version", &service.version), ("id", id), ("address", address)]
}

fn part_number(index: usize) -> u16 {
    u16::try_from(index + 1).unwrap_or(u16::MAX)
}

/// Up to 10 % less than this, so that what began together does not stay together, and what was
/// promised is kept.
fn about(time: Duration) -> Duration {
    time.mul_f64(0.9 + 0.1 * fastrand::f64())
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
