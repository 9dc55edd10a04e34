//! All that a registry knows and does, without I/O: messages and time in, messages out.

mod receive;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::{Service, ServiceName, Watcher};
use micro_core::{Error, Result};
use micro_nats::async_nats::Subject;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::info;

use crate::config::Options;
use crate::interest::{Interest, Released};
use crate::members::{Bounds, Members, NodeKey};
use crate::message::{Ids, MessageId, Target, encode_announcements, encode_farewell};
use crate::own::Own;
use crate::queries::{Found, Outcome, Queries, Waiter};
use crate::query::Rules;
use crate::subjects::Subjects;

/// How many messages of ours wait to be sent; answers beyond that are dropped.
const MAX_OUTGOING: usize = 8192;
/// How many ids of messages are remembered, so as to count each once.
const MAX_RECENT: usize = 8192;
/// How many goodbyes wait for the network.
const MAX_FAREWELLS: usize = 1024;
/// With more watched or registered names than this, the heartbeats of all services are received.
const MAX_LEASE_SUBJECTS: usize = 32;
/// How often it is asked for unknown nodes of one service, at most.
const ASK_PAUSE: Duration = Duration::from_secs(1);
/// How often the same kind of trouble is logged, at most.
const WARN_PAUSE: Duration = Duration::from_secs(10);
/// No larger message is sent, whatever the server takes: others drop it unread, unless this
/// registry, and so supposedly its fleet, takes larger ones ([`Options::max_message`]).
const LARGEST_MESSAGE: usize = 1 << 20;

/// What a subscription is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Source {
    /// Answers to our queries.
    Answers,
    Queries,
    Announcements,
    Heartbeats,
}

/// A message to be sent.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: Subject,
    pub(crate) reply: Option<Subject>,
    pub(crate) payload: Bytes,
    /// The query that has left with it.
    pub(crate) token: Option<u64>,
}

/// A message that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Incoming<'a> {
    pub(crate) source: Source,
    pub(crate) subject: &'a str,
    pub(crate) reply: Option<&'a str>,
    pub(crate) payload: &'a [u8],
    /// The server says that nobody listens.
    pub(crate) nobody: bool,
}

/// The state of one registry.
#[derive(Debug)]
pub(crate) struct State {
    options: Options,
    subjects: Subjects,
    ids: Ids,
    own: Own,
    members: Members,
    interest: Interest,
    queries: Queries,
    recent: Recent,
    /// What has to be found out when connected.
    unsynced: Vec<Target>,
    sync_from: Instant,
    asked: HashMap<String, Instant>,
    /// When it was last asked for nodes of a service whose lease had run out.
    asked_expired: HashMap<String, Instant>,
    farewells: VecDeque<Bytes>,
    outgoing: VecDeque<Outgoing>,
    connected: Option<u64>,
    was_connected: bool,
    max_payload: usize,
    revision: u64,
    closed: bool,
    dropped: u64,
    warned: Option<Instant>,
    warned_full: Option<Instant>,
}

#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<MessageId>,
    ids: HashSet<MessageId>,
}

impl State {
    pub(crate) fn new(
        options: Options,
        subjects: Subjects,
        inbox: String,
        max_payload: usize,
    ) -> Self {
        let rules = Rules {
            subjects: subjects.query.len(),
            limit: options.query_limit,
            quiet: options.quiet,
            quorum: options.quorum,
        };
        Self {
            own: Own::new(&options),
            members: Members::new(bounds(&options)),
            interest: Interest::default(),
            queries: Queries::new(inbox, rules, options.max_nodes),
            recent: Recent::default(),
            ids: Ids::new(),
            subjects,
            options,
            unsynced: Vec::new(),
            sync_from: Instant::now(),
            asked: HashMap::new(),
            asked_expired: HashMap::new(),
            farewells: VecDeque::new(),
            outgoing: VecDeque::new(),
            connected: None,
            was_connected: false,
            max_payload,
            revision: 0,
            closed: false,
            dropped: 0,
            warned: None,
            warned_full: None,
        }
    }

    /// Grows with everything that is asked for from outside.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// How many messages were dropped because nobody could have meant them.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Remembers a registration; returns the revision in which it is announced. `max_payload` is
    /// what the server takes as far as is known by now.
    ///
    /// # Errors
    /// `TooLarge`, `Unavailable` once closed.
    pub(crate) fn register(
        &mut self,
        service: &Service,
        ttl: Option<Duration>,
        max_payload: usize,
        now: Instant,
    ) -> Result<u64> {
        self.check_open()?;
        self.set_max_payload(max_payload);
        // A time beyond what the clock can tell is for ever.
        let until = ttl.and_then(|ttl| now.checked_add(ttl));
        let is_new = |key: &NodeKey| !self.own.holds(&service.name, key);
        let keys = service.nodes.iter().map(|node| NodeKey::new(&service.version, &node.id));
        let new: Vec<NodeKey> = keys.filter(is_new).collect();
        let registered = self.own.register(service, until, self.max_payload, now)?;
        for NodeKey { version, id } in new {
            info!(service = service.name, version, node = id, "registered");
        }
        if self.interest.covers(&service.name) {
            self.members.insert_own(registered);
            self.members.publish();
        }
        Ok(self.changed())
    }

    /// Forgets registrations; returns the revision in which that is told.
    pub(crate) fn deregister(&mut self, service: &Service) -> u64 {
        let nodes = self.own.deregister(service);
        self.say_farewell(&Service { nodes, ..service.clone() }, "deregistered");
        self.members.publish();
        self.changed()
    }

    /// Starts a lookup.
    ///
    /// # Errors
    /// `Unavailable` once closed.
    pub(crate) fn look_up(
        &mut self,
        target: Target,
        waiter: Waiter,
        permit: OwnedSemaphorePermit,
    ) -> Result<()> {
        self.check_open()?;
        let known = match &target {
            Target::Name(name) => self.members.complete(name),
            Target::All => None,
        };
        self.queries.look_up(target, known, waiter, permit);
        self.changed();
        Ok(())
    }

    /// Starts a watch.
    ///
    /// # Errors
    /// `Unavailable` once closed.
    pub(crate) fn watch(&mut self, name: Option<&ServiceName>) -> Result<Watcher> {
        self.check_open()?;
        if self.interest.add(name) {
            let target = name.map_or(Target::All, |name| Target::Name(name.to_string()));
            for service in self.own.matching(&target) {
                self.members.insert_own(service);
            }
            self.unsynced.push(target);
            self.changed();
        }
        self.members.publish();
        Ok(self.members.watch(name.cloned()))
    }

    /// Ends a watch.
    pub(crate) fn unwatch(&mut self, name: Option<&ServiceName>) {
        match self.interest.release(name) {
            Released::Nothing => return,
            Released::Name(name) => {
                self.members.forget(name.as_str());
                let target = Target::Name(name.to_string());
                self.unsynced.retain(|unsynced| *unsynced != target);
                self.queries.forget_sync(Some(&target));
            }
            Released::Everything => {
                self.members = Members::new(bounds(&self.options));
                self.unsynced.clear();
                self.queries.forget_sync(None);
            }
        }
        self.members.publish();
        self.changed();
    }

    /// Deregisters everything, ends lookups and watchers, and takes nothing more; returns the
    /// revision in which that is told.
    pub(crate) fn close(&mut self) -> u64 {
        self.closed = true;
        for service in self.own.matching(&Target::All) {
            self.deregister(&service);
        }
        self.queries.lose();
        self.interest = Interest::default();
        self.unsynced.clear();
        self.members = Members::new(bounds(&self.options));
        self.changed()
    }

    /// The subjects that have to be subscribed.
    pub(crate) fn wanted(&self) -> BTreeSet<(Source, String)> {
        let mut wanted = BTreeSet::new();
        let mut want = |source, subject: &str| wanted.insert((source, subject.to_owned()));
        if !self.interest.is_empty() || self.queries.is_used() {
            want(Source::Answers, &self.queries.answers());
        }
        if !self.own.is_empty() {
            self.subjects.query.iter().for_each(|subject| _ = want(Source::Queries, subject));
        }
        if !self.interest.is_empty() {
            self.subjects.watch.iter().for_each(|subject| _ = want(Source::Announcements, subject));
        }
        let names: BTreeSet<&str> = self.interest.names().chain(self.own.names()).collect();
        if self.interest.is_all() || names.len() > MAX_LEASE_SUBJECTS {
            want(Source::Heartbeats, &self.subjects.leases());
        } else {
            for subject in names.into_iter().filter_map(|name| self.subjects.lease(name)) {
                want(Source::Heartbeats, &subject);
            }
        }
        wanted
    }

    /// The connection is there, as the `epoch`th.
    pub(crate) fn connected(&mut self, epoch: u64, max_payload: usize, now: Instant) {
        if self.connected == Some(epoch) {
            return;
        }
        self.disconnected();
        let first = !std::mem::replace(&mut self.was_connected, true);
        self.connected = Some(epoch);
        self.set_max_payload(max_payload);
        self.own.reconnected(self.max_payload, first, now);
        // Others come back when they can; none of them is gone only because nobody was heard.
        self.members.extend(now + self.options.lease + self.options.query_limit);
        self.sync_from = if first { now } else { now + jitter(Duration::from_millis(100)) };
        self.unsynced = if self.interest.is_all() {
            vec![Target::All]
        } else {
            self.interest.names().map(|name| Target::Name(name.to_owned())).collect()
        };
    }

    /// The connection is lost, and what was under way with it.
    pub(crate) fn disconnected(&mut self) {
        if self.connected.take().is_some() {
            self.queries.lose();
            self.outgoing.clear();
        }
    }

    /// Does what is due; returns when it wants to be called again.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<Instant> {
        let connected = self.connected.is_some();
        self.advance_own(now);
        for outcome in self.queries.settle(now) {
            self.settle(outcome, now);
        }
        if connected {
            self.ask_for_expired(now);
            if self.sync_from <= now {
                std::mem::take(&mut self.unsynced).into_iter().for_each(|t| self.queries.sync(t));
            }
            self.send_queries();
        }
        self.members.publish();
        let sync = (connected && !self.unsynced.is_empty()).then_some(self.sync_from);
        // Who has run out and is being asked is looked at again when the answer is due.
        let expiry = self.members.next_expiry().filter(|_| connected);
        let times =
            [self.own.next_due(self.may_speak()), self.queries.next_settled(), sync, expiry];
        times.into_iter().flatten().min()
    }

    /// The next message to be sent.
    pub(crate) fn pop_outgoing(&mut self) -> Option<Outgoing> {
        self.outgoing.pop_front()
    }

    /// It found no room; it stays the next.
    pub(crate) fn push_back(&mut self, outgoing: Outgoing) {
        self.outgoing.push_front(outgoing);
    }

    /// It has left.
    pub(crate) fn sent(&mut self, token: u64, now: Instant) {
        self.queries.sent(token, now);
    }

    fn set_max_payload(&mut self, max_payload: usize) {
        self.max_payload = max_payload.min(self.options.max_message.max(LARGEST_MESSAGE));
    }

    fn ask_for_expired(&mut self, now: Instant) {
        if self.members.next_expiry().is_none_or(|at| at > now) {
            return;
        }
        // However many leases of a service run out one after the other, and however short.
        let pause = bounds(&self.options).shortest_lease;
        self.asked_expired.retain(|_, at| now < *at + pause);
        for (name, suspects) in self.members.expired(now) {
            if let Some(at) = self.asked_expired.get(&name) {
                self.members.look_again(*at + pause);
            } else if self.queries.ask(&name, suspects) {
                self.asked_expired.insert(name, now);
            } else {
                self.members.look_again(now + self.options.query_limit);
            }
        }
    }

    fn settle(&mut self, outcome: Outcome, now: Instant) {
        match outcome {
            Outcome::Lookup { target, waiter, found, nobody } => {
                // Who was too slow for this query but is known to live is there all the same.
                let believed = match &target {
                    Target::Name(name) if !nobody => self.members.services(name),
                    _ => Vec::new(),
                };
                let services = self.merged(&target, believed.into_iter().chain(found));
                // Its caller may have gone away.
                let _ = waiter.send(Found::Services(services));
            }
            Outcome::Synced(Target::All) => self.members.set_synced(None),
            Outcome::Synced(Target::Name(name)) => {
                // Only names that were checked are watched.
                if let Ok(name) = ServiceName::new(name)
                    && self.interest.covers(name.as_str())
                {
                    self.members.set_synced(Some(&name));
                }
            }
            Outcome::Asked(name, suspects) => self.members.bury(&name, &suspects, now),
        }
    }

    /// What was found and what is registered here, which is the newest there is of it.
    fn merged(&self, target: &Target, found: impl Iterator<Item = Service>) -> Vec<Service> {
        let mut view = micro_core::registry::View::new(usize::MAX);
        for service in found.chain(self.own.matching(target)) {
            view.insert(service, |_| None);
        }
        view.list()
    }

    fn advance_own(&mut self, now: Instant) {
        let due = self.own.due(self.may_speak(), now);
        for ended in due.ended {
            self.say_farewell(&ended, "registration ended: it was not renewed");
        }
        if self.connected.is_none() {
            return;
        }
        // Goodbyes first: what is registered again after one must not be taken away by it.
        for farewell in std::mem::take(&mut self.farewells) {
            self.announce(&farewell);
        }
        for (service, lease) in due.announce {
            let action = self.options.action.as_str();
            let made = encode_announcements(action, &service, lease, &self.ids, self.max_payload);
            made.iter().for_each(|payload| self.announce(payload));
        }
        for (name, heartbeat) in due.beats {
            if let Some(subject) = self.subjects.lease(&name) {
                let payload = heartbeat.encode();
                self.outgoing.push_back(Outgoing { subject, reply: None, payload, token: None });
            }
        }
    }

    /// Whether somebody can hear us, and what was said before has left.
    fn may_speak(&self) -> bool {
        self.connected.is_some() && self.outgoing.len() < MAX_OUTGOING
    }

    fn say_farewell(&mut self, gone: &Service, why: &'static str) {
        let Service { name, version, nodes, .. } = gone;
        let Some(farewell) = encode_farewell(name, version, nodes, &self.ids.make()) else {
            return;
        };
        for node in nodes {
            info!(service = name, version, node = node.id, "{why}");
            self.members.remove(name, &NodeKey::new(version, &node.id));
        }
        if self.farewells.len() < MAX_FAREWELLS {
            self.farewells.push_back(farewell);
        }
    }

    fn send_queries(&mut self) {
        for unsent in self.queries.take_unsent(&self.ids) {
            let last = self.subjects.query.len() - 1;
            for (at, subject) in self.subjects.query.clone().into_iter().enumerate() {
                let reply = Some(Subject::from(unsent.reply.as_str()));
                let token = (at == last).then_some(unsent.token);
                let payload = unsent.payload.clone();
                self.outgoing.push_back(Outgoing { subject, reply, payload, token });
            }
        }
    }

    fn announce(&mut self, payload: &Bytes) {
        for subject in self.subjects.watch.clone() {
            let payload = payload.clone();
            self.outgoing.push_back(Outgoing { subject, reply: None, payload, token: None });
        }
    }

    fn changed(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// # Errors
    /// `Unavailable` once closed.
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed { Err(Error::unavailable("the registry is closed")) } else { Ok(()) }
    }
}

impl Recent {
    /// True the first time that an id is seen.
    fn is_new(&mut self, id: MessageId) -> bool {
        if !self.ids.insert(id.clone()) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MAX_RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

fn bounds(options: &Options) -> Bounds {
    Bounds {
        max_nodes: options.max_nodes,
        max_bytes: options.max_bytes,
        unleased: options.unleased,
        // Tests and small fleets may have shorter ones, by their own option.
        shortest_lease: options.lease.min(Duration::from_secs(1)),
    }
}

fn is_time(last: &mut Option<Instant>, now: Instant) -> bool {
    let due = last.is_none_or(|at| now >= at + WARN_PAUSE);
    if due {
        *last = Some(now);
    }
    due
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests;
