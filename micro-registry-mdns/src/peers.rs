//! What others say: put together, believed for as long as they say, and told to watchers.

mod claims;
mod peer;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use micro_core::registry::{Service, ServiceName, View, Watcher};
use tokio::time::Instant;
use tracing::debug;

use self::claims::Claims;
use self::peer::{Peer, Standing};
use crate::config::Options;
use crate::description::Description;
use crate::dns::{MOST_QUESTIONS, Question};
use crate::names;
use crate::own::{Claimed, NodeKey};
use crate::record::{Head, Part, Record};

/// How long it is remembered that somebody left, so that what they said before brings nobody back.
const REMEMBERED: Duration = Duration::from_secs(5);
/// How long parts wait for the instance that they are of.
const HEADLESS: Duration = Duration::from_secs(10);
/// Who has said goodbye without saying that their lease ends is asked, and gone after so long.
const DOUBTED: Duration = Duration::from_secs(1);
/// Who looks so much later than was due has not listened either.
const LATE: Duration = Duration::from_secs(1);
/// Parts that are on their way need not be asked for.
const PARTS_ARE_LATE: Duration = Duration::from_millis(100);
/// How often, less and less, missing parts are asked for until the next renewal.
const TRIES: u32 = 6;
/// How many parts are asked for at once: one packet that promises many is no reason to flood a network.
const PARTS_AT_ONCE: usize = 16;

/// What is known of others, without I/O and without a clock of its own.
#[derive(Debug)]
pub(crate) struct Peers {
    view: View,
    /// By the label of their instance.
    peers: HashMap<String, Peer>,
    claims: Claims,
    /// Those whose description is not whole, and when and how often that was tried to change.
    incomplete: BTreeMap<String, Missing>,
    bytes: usize,
    max_peers: usize,
    max_bytes: usize,
    /// When somebody's lease may end: no later than any does.
    next: Option<Instant>,
    /// When somebody or something new was heard of.
    news: Option<Instant>,
    dropped: u64,
}

#[derive(Debug)]
struct Missing {
    tries: u32,
    at: Instant,
}

impl Peers {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            // It holds no more than the peers, and what is registered here always has room.
            view: View::new(usize::MAX),
            peers: HashMap::new(),
            claims: Claims::default(),
            incomplete: BTreeMap::new(),
            bytes: 0,
            max_peers: options.max_nodes,
            max_bytes: options.max_bytes,
            next: None,
            news: None,
            dropped: 0,
        }
    }

    /// A node of this registry; it stays until it is given up.
    pub(crate) fn claim(&mut self, claimed: Claimed) {
        let Claimed { key, label, service, since } = claimed;
        self.claims.remove_own(&key);
        self.claims.set(&key, &label, since, Some(service));
        self.show(&key);
    }

    /// A node of this registry that is no more.
    pub(crate) fn give_up(&mut self, key: &NodeKey) {
        self.claims.remove_own(key);
        self.show(key);
    }

    /// What the instance with this label says.
    pub(crate) fn hear(&mut self, label: &str, record: Record, now: Instant) {
        match record {
            Record::Head(head) => self.hear_head(label, head, now),
            Record::Part(part) => {
                // Whose part it is, its name says.
                if let Some(whole) = names::whole_of(label, part.number) {
                    self.hear_part(whole, part, now);
                }
            }
        }
    }

    /// Somebody says, not in our words, that this instance is no more. It may be no more than a
    /// change of its addresses, so it is asked.
    pub(crate) fn doubt(&mut self, label: &str, now: Instant) {
        let Some(peer) = self.peers.get_mut(label) else { return };
        if let Standing::Here { lasts, doubted, .. } = &mut peer.standing
            && doubted.is_none()
        {
            *doubted = Some(*lasts);
            *lasts = (*lasts).min(now + DOUBTED);
            peer.ask_at = now;
            self.expect(now);
        }
    }

    /// Whom to ask now. Whose lease has ended is gone.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Question> {
        let mut questions = Vec::new();
        if let Some(due) = self.next.filter(|next| *next <= now) {
            let late = now > due + LATE;
            self.next = None;
            let mut ended = Vec::new();
            let mut next: Option<Instant> = None;
            for (label, peer) in &mut self.peers {
                if late && peer.ends() <= now {
                    peer.spare(now, now + DOUBTED);
                }
                if peer.ends() <= now {
                    ended.push(label.clone());
                    continue;
                }
                if peer.is_to_be_asked(now) {
                    questions.push(Question::Text(label.clone()));
                }
                let at = peer.next();
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            self.next = next;
            for label in ended {
                self.forget(&label, "its lease ran out and it did not answer");
            }
        }
        self.ask_for_parts(now, &mut questions);
        questions
    }

    /// When [`due`](Self::due) is worth a look.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let parts = self.incomplete.values().filter(|m| m.tries < TRIES).map(|m| m.at);
        self.next.into_iter().chain(parts).min()
    }

    /// When something new was heard last.
    pub(crate) fn news(&self) -> Option<Instant> {
        self.news
    }

    /// Whether something that was heard of is not whole yet.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.values().any(|missing| missing.tries < TRIES)
    }

    /// How much of what was said was dropped: it means nothing, or there is no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Whether this instance has been heard of.
    pub(crate) fn knows(&self, label: &str) -> bool {
        self.peers.contains_key(label)
    }

    /// The labels of those who are there, and of nothing that is missing.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        let is_whole =
            |label: &str, peer: &Peer| peer.key().is_some() && !self.incomplete.contains_key(label);
        let known = self.peers.iter().filter(move |(label, peer)| is_whole(label, peer));
        known.map(|(label, _)| label.as_str())
    }

    /// The versions of a service.
    pub(crate) fn get(&self, name: &str) -> Vec<Service> {
        self.view.get(name)
    }

    /// All services.
    pub(crate) fn list(&self) -> Vec<Service> {
        self.view.list()
    }

    /// The state that was there, of all or of this service, has been told.
    pub(crate) fn set_synced(&mut self, name: Option<&ServiceName>) {
        self.view.set_synced(name);
    }

    /// Tells the watchers.
    pub(crate) fn publish(&mut self) {
        self.view.publish();
    }

    pub(crate) fn watch(&self, name: Option<ServiceName>) -> Watcher {
        self.view.watch(name)
    }

    fn hear_head(&mut self, label: &str, head: Head, now: Instant) {
        let Some(peer) = self.peer(label, now) else { return };
        if head.beat <= peer.beat {
            peer.confirm(head.beat);
            return;
        }
        peer.beat = head.beat;
        if head.lease.is_zero() {
            peer.standing = Standing::Gone { until: now + REMEMBERED };
            peer.forget_parts();
            self.incomplete.remove(label);
            self.undescribe(label, "it said goodbye");
        } else {
            let lasts = now + head.lease;
            let (lease, since, revision) = (head.lease, head.since, head.revision);
            let had = peer.lease();
            peer.stand(head, lasts, now);
            if peer.describes(revision) {
                self.incomplete.remove(label);
                if had != Some(lease) {
                    self.describe_again(label);
                }
            } else {
                self.put_together(label, since, now);
            }
        }
        self.weigh(label);
        self.expect_of(label);
    }

    fn hear_part(&mut self, label: &str, part: Part, now: Instant) {
        let Some(peer) = self.peer(label, now) else { return };
        if !peer.keep(part) {
            return;
        }
        let since = peer.since();
        self.news = Some(now);
        if let Some(since) = since {
            self.put_together(label, since, now);
        }
        self.weigh(label);
        self.expect_of(label);
    }

    /// Describes the node if all of its parts are there; otherwise they are asked for.
    fn put_together(&mut self, label: &str, since: u64, now: Instant) {
        let Some(peer) = self.peers.get_mut(label) else { return };
        let Some((revision, data)) = peer.whole() else {
            let missing = peer.is_missing_parts();
            if missing && !self.incomplete.contains_key(label) {
                self.news = Some(now);
                let at = now + PARTS_ARE_LATE;
                self.incomplete.insert(label.to_owned(), Missing { tries: 0, at });
            } else if let Some(missing) = self.incomplete.get_mut(label) {
                // Who says something again can be asked again.
                missing.tries = missing.tries.min(TRIES - 1);
            }
            return;
        };
        self.incomplete.remove(label);
        let Some((service, unpacked)) = Description::read(&data, revision) else {
            debug!(label, "what an instance says of its node is no description");
            peer.is_garbage(revision);
            self.dropped += 1;
            return;
        };
        let Some(key) = NodeKey::of(&service) else { return };
        let old = peer.describe(revision, key.clone(), data, unpacked);
        self.news = Some(now);
        if let Some(old) = old.filter(|old| *old != key) {
            self.claims.remove(&old, label);
            self.show(&old);
        }
        self.claims.set(&key, label, since, None);
        if self.claims.winner(&key).is_some_and(|(winner, _)| winner == label)
            && let Some(peer) = self.peers.get(label)
        {
            // As it was read: to read it once more takes time.
            self.view.insert(peer.leased(service), |_| None);
        } else {
            self.show(&key);
        }
    }

    /// Its lease is another one.
    fn describe_again(&mut self, label: &str) {
        if let Some(key) = self.peers.get(label).and_then(Peer::key).cloned() {
            self.show(&key);
        }
    }

    fn undescribe(&mut self, label: &str, why: &'static str) {
        let key = self.peers.get_mut(label).and_then(Peer::undescribe);
        if let Some(key) = key {
            debug!(service = key.name, version = key.version, node = key.id, why, "node left");
            self.claims.remove(&key, label);
            self.show(&key);
        }
    }

    /// Shows the node as whoever claims it last describes it, or not at all.
    fn show(&mut self, key: &NodeKey) {
        let Some((label, own)) = self.claims.winner(key) else {
            self.view.remove(&key.name, Some(&key.version), &key.id);
            return;
        };
        let other = || self.peers.get(label).and_then(Peer::service);
        let service = own.cloned().or_else(other);
        if let Some(service) = service {
            self.view.insert(service, |_| None);
        }
    }

    fn ask_for_parts(&mut self, now: Instant, questions: &mut Vec<Question>) {
        for (label, missing) in &mut self.incomplete {
            if missing.tries >= TRIES || missing.at > now {
                continue;
            }
            missing.at = now + Duration::from_millis(100 << missing.tries);
            missing.tries += 1;
            if questions.len() >= MOST_QUESTIONS {
                continue;
            }
            let parts = self.peers.get(label).map(Peer::missing_parts).unwrap_or_default();
            let names = parts.into_iter().map(|number| names::part_of(label, number));
            // Whoever has no room for the number of a part in their name has no parts.
            let can_be = names.filter(|name| name.len() <= names::MAX_LABEL);
            questions.extend(can_be.take(PARTS_AT_ONCE).map(Question::Text));
        }
    }

    /// The peer with this label, a new one if there is room.
    fn peer(&mut self, label: &str, now: Instant) -> Option<&mut Peer> {
        if !self.peers.contains_key(label) {
            if self.peers.len() >= self.max_peers || self.bytes >= self.max_bytes {
                self.dropped += 1;
                return None;
            }
            self.peers.insert(label.to_owned(), Peer::new(now + HEADLESS));
            self.weigh(label);
        }
        self.peers.get_mut(label)
    }

    /// Counts its bytes; whoever makes it too many is forgotten.
    fn weigh(&mut self, label: &str) {
        let Some(peer) = self.peers.get_mut(label) else { return };
        let (before, after) = peer.weigh(label);
        self.bytes = self.bytes - before + after;
        if self.bytes > self.max_bytes && after > before {
            self.dropped += 1;
            self.forget(label, "there is no room for what it says");
        }
    }

    fn forget(&mut self, label: &str, why: &'static str) {
        self.undescribe(label, why);
        self.incomplete.remove(label);
        if let Some(peer) = self.peers.remove(label) {
            self.bytes -= peer.bytes;
        }
    }

    fn expect_of(&mut self, label: &str) {
        if let Some(next) = self.peers.get(label).map(Peer::next) {
            self.expect(next);
        }
    }

    fn expect(&mut self, at: Instant) {
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
    }
}

#[cfg(test)]
mod tests;
