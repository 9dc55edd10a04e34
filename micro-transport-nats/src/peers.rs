//! What the parts of one open port share: its peers by name and by reply subject.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use micro_nats::Nats;
use micro_nats::async_nats::{Statistics, Subject};
use tokio::sync::Notify;

use crate::address::{self, Addresses};
use crate::config::Options;
use crate::dropped::{Counters, Reason};
use crate::fence::Fences;
use crate::link::NatsLink;

/// One open port, as its links, its sending half and its receiver see it.
#[derive(Debug)]
pub(crate) struct Peers {
    pub(crate) nats: Nats,
    pub(crate) options: Options,
    pub(crate) fences: Fences,
    pub(crate) counters: Arc<Counters>,
    /// A peer was closed: whoever waits for room looks again.
    pub(crate) closed: Notify,
    pub(crate) addresses: Arc<Addresses>,
    /// `<inbox>.`; a peer's number behind it is its return address.
    inbox: String,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    last_id: u64,
    by_id: HashMap<u64, Weak<NatsLink>>,
    /// Accepted ones that can be answered, by their reply subject.
    accepted: HashMap<Box<str>, (u64, Weak<NatsLink>)>,
}

impl Peers {
    pub(crate) fn new(
        nats: Nats,
        options: Options,
        statistics: Arc<Statistics>,
        counters: Arc<Counters>,
        addresses: Arc<Addresses>,
    ) -> Self {
        let inbox = format!("{}.", nats.new_inbox());
        let other = nats.new_inbox();
        let secret = other.rsplit('.').next().unwrap_or(&other);
        let fences = Fences::new(&inbox, secret, options.fence_interval, statistics);
        Self {
            nats,
            options,
            fences,
            counters,
            closed: Notify::new(),
            addresses,
            inbox,
            table: Mutex::new(Table::default()),
        }
    }

    /// What all return addresses and fences are under.
    pub(crate) fn wildcard(&self) -> String {
        format!("{}*", self.inbox)
    }

    /// The last part of a subject under [`wildcard`](Self::wildcard).
    pub(crate) fn token<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.inbox)
    }

    /// Which connection to the server this is: see [`Fences::epoch`].
    pub(crate) fn epoch(&self) -> u64 {
        self.fences.epoch()
    }

    /// A reply subject under [`wildcard`](Self::wildcard) that nobody guesses.
    pub(crate) fn secret_subject(&self, marker: &str) -> Subject {
        let other = self.nats.new_inbox();
        let secret = other.rsplit('.').next().unwrap_or(&other);
        Subject::from(format!("{}{marker}{secret}", self.inbox))
    }

    /// Whether a message may be sent to a subject that a reply named as its sender's.
    pub(crate) fn may_be_asked(&self, subject: &str) -> bool {
        address::flaw(subject).is_none()
            && !self.addresses.contains(subject)
            && self.token(subject).is_none()
    }

    /// A new peer that we dialled.
    pub(crate) fn dial(self: &Arc<Self>, address: &str) -> Arc<NatsLink> {
        self.lock().add(self, address, false)
    }

    /// The peer that a return address belongs to.
    pub(crate) fn by_id(&self, id: u64) -> Option<Arc<NatsLink>> {
        self.lock().by_id.get(&id).and_then(Weak::upgrade)
    }

    /// The peer that answers go to: a known one, or a new one if it may be answered.
    pub(crate) fn accept(self: &Arc<Self>, reply: &str) -> Result<Arc<NatsLink>, Reason> {
        let mut table = self.lock();
        if let Some(known) = table.accepted.get(reply).and_then(|(_, link)| link.upgrade()) {
            return Ok(known);
        }
        if address::flaw(reply).is_some() || self.addresses.contains(reply) {
            return Err(Reason::BadReply);
        }
        if table.accepted.len() >= self.options.max_accepted {
            return Err(Reason::TooManyPeers);
        }
        Ok(table.add(self, reply, true))
    }

    /// An accepted peer takes nothing any more: what comes from its address is a new one's.
    pub(crate) fn retire(&self, id: u64, remote: &str) {
        self.lock().retire(id, remote);
    }

    /// The peer and its return address are gone.
    pub(crate) fn forget(&self, id: u64, remote: &str, accepted: bool) {
        let mut table = self.lock();
        table.by_id.remove(&id);
        if accepted {
            table.retire(id, remote);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn add(&mut self, peers: &Arc<Peers>, remote: &str, accepted: bool) -> Arc<NatsLink> {
        self.last_id += 1;
        let id = self.last_id;
        let reply = Subject::from(format!("{}{id}", peers.inbox));
        // A copy: the subject as received is a slice of the connection's read buffer.
        let remote_subject = Subject::from(remote.to_owned());
        let link = NatsLink::new(Arc::clone(peers), id, remote_subject, reply, accepted);
        let link = Arc::new(link);
        self.by_id.insert(id, Arc::downgrade(&link));
        if accepted {
            self.accepted.insert(remote.into(), (id, Arc::downgrade(&link)));
        }
        link
    }

    /// Unless another peer already has its place.
    fn retire(&mut self, id: u64, remote: &str) {
        if self.accepted.get(remote).is_some_and(|(at, _)| *at == id) {
            self.accepted.remove(remote);
        }
    }
}
