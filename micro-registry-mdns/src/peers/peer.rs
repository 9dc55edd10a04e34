//! One instance of another registry, and how long it is believed.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::registry::Service;
use tokio::time::Instant;

use crate::description::Description;
use crate::own::NodeKey;
use crate::record::{Head, Part};

/// What a peer takes beside the bytes that it said.
const OVERHEAD: usize = 512;

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) beat: u64,
    pub(super) standing: Standing,
    /// When to ask it whether it is there.
    pub(super) ask_at: Instant,
    pub(super) bytes: usize,
    /// By revision and number; of the revision that it stands by, and of one that is to come.
    parts: BTreeMap<(u64, u16), Vec<u8>>,
    described: Option<Described>,
    /// A revision that is no description.
    garbage: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Standing {
    /// Only parts of it have been heard.
    Headless { until: Instant },
    /// It is there.
    Here {
        lasts: Instant,
        lease: Duration,
        since: u64,
        revision: u64,
        parts: u16,
        /// How long it lasted before somebody said that it is no more.
        doubted: Option<Instant>,
    },
    /// It has left.
    Gone { until: Instant },
}

#[derive(Debug)]
struct Described {
    revision: u64,
    key: NodeKey,
    data: Vec<u8>,
    /// How many bytes it takes unpacked.
    unpacked: usize,
}

impl Peer {
    pub(super) fn new(until: Instant) -> Self {
        Self {
            beat: 0,
            standing: Standing::Headless { until },
            ask_at: until,
            bytes: 0,
            parts: BTreeMap::new(),
            described: None,
            garbage: None,
        }
    }

    /// Takes what it says of itself.
    pub(super) fn stand(&mut self, head: Head, lasts: Instant, now: Instant) {
        let Head { lease, since, revision, parts, data, .. } = head;
        self.standing = Standing::Here { lasts, lease, since, revision, parts, doubted: None };
        self.ask_at = now + lease - margin(lease);
        if parts == 0 && !self.describes(revision) {
            self.parts.clear();
            self.parts.insert((revision, 0), data);
        }
        if self.describes(revision) {
            self.parts.clear();
        }
    }

    /// Nobody listened while its lease ran out: it is asked, and believed until then, once.
    pub(super) fn spare(&mut self, now: Instant, until: Instant) {
        if let Standing::Here { lasts, doubted, .. } = &mut self.standing
            && doubted.is_none()
        {
            *lasts = until;
            *doubted = Some(until);
            self.ask_at = now;
        }
    }

    /// It says again what it said: whoever thought that it is no more was wrong.
    pub(super) fn confirm(&mut self, beat: u64) {
        if let Standing::Here { lasts, lease, doubted, .. } = &mut self.standing
            && beat == self.beat
            && let Some(before) = doubted.take()
        {
            *lasts = before;
            self.ask_at = before - margin(*lease);
        }
    }

    /// Keeps a part; false if it says nothing new.
    pub(super) fn keep(&mut self, part: Part) -> bool {
        let Part { revision, number, data } = part;
        let current = match self.standing {
            Standing::Gone { .. } => return false,
            Standing::Here { revision, .. } => Some(revision),
            Standing::Headless { .. } => None,
        };
        let known = self.describes(revision) || self.garbage == Some(revision);
        if known || self.parts.contains_key(&(revision, number)) {
            return false;
        }
        self.parts.retain(|(kept, _), _| *kept == revision || Some(*kept) == current);
        self.parts.insert((revision, number), data);
        true
    }

    /// The description and its revision, if all of it is there and it is not known.
    pub(super) fn whole(&mut self) -> Option<(u64, Vec<u8>)> {
        let Standing::Here { revision, parts, .. } = self.standing else { return None };
        if self.describes(revision) || self.garbage == Some(revision) {
            return None;
        }
        let numbers = if parts == 0 { 0..=0 } else { 1..=parts };
        let mut data = Vec::new();
        for number in numbers {
            data.extend(self.parts.get(&(revision, number))?);
        }
        self.parts.clear();
        Some((revision, data))
    }

    pub(super) fn is_missing_parts(&self) -> bool {
        !self.missing_parts().is_empty()
    }

    /// The numbers of the parts that it stands by and that have not been heard.
    pub(super) fn missing_parts(&self) -> Vec<u16> {
        match self.standing {
            Standing::Here { revision, parts, .. }
                if !self.describes(revision) && self.garbage != Some(revision) =>
            {
                let is_missing = |n: &u16| !self.parts.contains_key(&(revision, *n));
                (1..=parts).filter(is_missing).collect()
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn is_garbage(&mut self, revision: u64) {
        self.garbage = Some(revision);
    }

    pub(super) fn forget_parts(&mut self) {
        self.parts.clear();
    }

    /// Takes a description; returns which node it described before.
    pub(super) fn describe(
        &mut self,
        revision: u64,
        key: NodeKey,
        data: Vec<u8>,
        unpacked: usize,
    ) -> Option<NodeKey> {
        self.garbage = None;
        self.described.replace(Described { revision, key, data, unpacked }).map(|old| old.key)
    }

    /// Forgets its description; returns which node it was.
    pub(super) fn undescribe(&mut self) -> Option<NodeKey> {
        self.described.take().map(|described| described.key)
    }

    pub(super) fn describes(&self, revision: u64) -> bool {
        self.described.as_ref().is_some_and(|described| described.revision == revision)
    }

    pub(super) fn key(&self) -> Option<&NodeKey> {
        self.described.as_ref().map(|described| &described.key)
    }

    /// The service with its node, as it describes it.
    pub(super) fn service(&self) -> Option<Service> {
        let Described { revision, data, .. } = self.described.as_ref()?;
        Description::read(data, *revision).map(|(service, _)| self.leased(service))
    }

    /// With its lease.
    pub(super) fn leased(&self, mut service: Service) -> Service {
        let lease = self.lease();
        service.nodes.iter_mut().for_each(|node| node.lease = lease);
        service
    }

    pub(super) fn lease(&self) -> Option<Duration> {
        match self.standing {
            Standing::Here { lease, .. } => Some(lease),
            _ => None,
        }
    }

    pub(super) fn since(&self) -> Option<u64> {
        match self.standing {
            Standing::Here { since, .. } => Some(since),
            _ => None,
        }
    }

    /// When it is to be forgotten.
    pub(super) fn ends(&self) -> Instant {
        match self.standing {
            Standing::Headless { until } | Standing::Gone { until } => until,
            Standing::Here { lasts, .. } => lasts,
        }
    }

    /// When it is to be asked or forgotten.
    pub(super) fn next(&self) -> Instant {
        match self.standing {
            Standing::Here { lasts, .. } => lasts.min(self.ask_at),
            _ => self.ends(),
        }
    }

    /// Whether it is to be asked now; then it is not to be asked again at once.
    pub(super) fn is_to_be_asked(&mut self, now: Instant) -> bool {
        let Standing::Here { lease, .. } = self.standing else { return false };
        if self.ask_at > now {
            return false;
        }
        self.ask_at = now + margin(lease) / 2;
        true
    }

    /// Its bytes before and now.
    pub(super) fn weigh(&mut self, label: &str) -> (usize, usize) {
        let parts: usize = self.parts.values().map(|data| data.len() + 64).sum();
        let described = self.described.as_ref().map_or(0, |d| d.data.len() + d.unpacked);
        let bytes = OVERHEAD + 2 * label.len() + parts + described;
        (std::mem::replace(&mut self.bytes, bytes), bytes)
    }
}

/// How long before the end of its lease somebody is asked.
fn margin(lease: Duration) -> Duration {
    (lease / 10).clamp(Duration::from_millis(100), Duration::from_secs(1))
}
