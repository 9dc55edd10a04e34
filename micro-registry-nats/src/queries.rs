//! The queries that are under way, and what they have found.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::{Service, View};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::members::NodeKey;
use crate::message::{Ids, Target, encode_query};
use crate::query::{Query, Rules};

/// How many nodes whose lease ran out are asked for at the same time, by service.
const MAX_ASKS: usize = 64;

/// Where answers to lookups go.
pub(crate) type Waiter = oneshot::Sender<Found>;

/// What a lookup found.
#[derive(Debug)]
pub(crate) enum Found {
    Services(Vec<Service>),
    /// The connection was lost before it was done.
    Lost,
}

/// Queries by the token that their answers come to, below one inbox.
#[derive(Debug)]
pub(crate) struct Queries {
    inbox: String,
    rules: Rules,
    max_nodes: usize,
    next: u64,
    pending: BTreeMap<u64, Pending>,
    /// The longest time between two answers lately: also those that came too late for a query
    /// tell the next ones how long to wait.
    gap: Duration,
}

/// What a query is for.
#[derive(Debug)]
enum Purpose {
    /// Somebody waits, whose permit keeps the number of lookups bounded.
    Lookup { waiter: Option<Waiter>, found: View, _permit: OwnedSemaphorePermit },
    /// To know the present state of what is watched.
    Sync,
    /// To know which of these are still there.
    Ask(Vec<NodeKey>),
}

#[derive(Debug)]
struct Pending {
    target: Target,
    query: Query,
    purpose: Purpose,
    queued: bool,
    settled: bool,
}

/// What a query came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    Lookup {
        target: Target,
        waiter: Waiter,
        found: Vec<Service>,
        nobody: bool,
    },
    Synced(Target),
    /// Of these, who has not answered is gone.
    Asked(String, Vec<NodeKey>),
}

/// A query that has to be sent, to all query subjects.
#[derive(Debug)]
pub(crate) struct Unsent {
    pub(crate) token: u64,
    pub(crate) reply: String,
    pub(crate) payload: Bytes,
}

impl Queries {
    pub(crate) fn new(inbox: String, rules: Rules, max_nodes: usize) -> Self {
        Self { inbox, rules, max_nodes, next: 0, pending: BTreeMap::new(), gap: Duration::ZERO }
    }

    /// The subject of all answers.
    pub(crate) fn answers(&self) -> String {
        format!("{}.*", self.inbox)
    }

    /// Which query an answer is for.
    pub(crate) fn token_of(&self, subject: &str) -> Option<u64> {
        subject.strip_prefix(&self.inbox)?.strip_prefix('.')?.parse().ok()
    }

    /// Starts a lookup; `known` are the nodes that are believed to be all of them.
    pub(crate) fn look_up(
        &mut self,
        target: Target,
        known: Option<BTreeSet<NodeKey>>,
        waiter: Waiter,
        permit: OwnedSemaphorePermit,
    ) {
        let found = View::new(self.max_nodes);
        let query = Query::new(self.rules(&target, self.rules.quorum), known);
        self.add(target, query, Purpose::Lookup { waiter: Some(waiter), found, _permit: permit });
    }

    /// Starts to find out the present state.
    pub(crate) fn sync(&mut self, target: Target) {
        let query = Query::new(self.rules(&target, 0), None);
        self.add(target, query, Purpose::Sync);
    }

    /// Nobody wants to know the present state of this any more (`None`: of anything). Whoever
    /// wants to know it again asks anew, since what came meanwhile was not remembered.
    pub(crate) fn forget_sync(&mut self, target: Option<&Target>) {
        let is_meant = |pending: &Pending| {
            let meant = target.is_none_or(|target| pending.target == *target);
            meant && matches!(pending.purpose, Purpose::Sync)
        };
        self.pending.retain(|_, pending| !is_meant(pending));
    }

    /// Starts to ask for nodes whose lease ran out, or whom nobody knows; false if that is being
    /// asked already or too much is.
    pub(crate) fn ask(&mut self, name: &str, suspects: Vec<NodeKey>) -> bool {
        let asks =
            |pending: &&Pending| !pending.settled && matches!(pending.purpose, Purpose::Ask(_));
        let target = Target::Name(name.to_owned());
        let mut running = self.pending.values().filter(asks);
        if running.clone().count() >= MAX_ASKS || running.any(|ask| ask.target == target) {
            return false;
        }
        let known = suspects.iter().cloned().collect();
        let query = Query::new(self.rules(&target, 0), Some(known));
        self.add(target, query, Purpose::Ask(suspects));
        true
    }

    /// What has to be sent and is not queued yet.
    pub(crate) fn take_unsent(&mut self, ids: &Ids) -> Vec<Unsent> {
        let unsent = self.pending.iter_mut().filter(|(_, pending)| !pending.queued);
        let taken = unsent.map(|(token, pending)| {
            pending.queued = true;
            Unsent {
                token: *token,
                reply: format!("{}.{token}", self.inbox),
                payload: encode_query(&pending.target, &ids.make()),
            }
        });
        taken.collect()
    }

    /// A query has left.
    pub(crate) fn sent(&mut self, token: u64, now: Instant) {
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.query.sent(now);
        }
    }

    /// Nobody listens on one of the subjects that were asked.
    pub(crate) fn nobody(&mut self, token: u64) {
        if let Some(pending) = self.pending.get_mut(&token) {
            pending.query.nobody();
        }
    }

    /// An answer came.
    pub(crate) fn answer(&mut self, token: u64, service: &Service, now: Instant) {
        let Some(pending) = self.pending.get_mut(&token) else {
            return;
        };
        if !pending.target.matches(&service.name) {
            return;
        }
        pending.query.answer(service, now);
        if let Purpose::Lookup { waiter: Some(_), found, .. } = &mut pending.purpose {
            found.insert(service.clone(), |_| None);
        }
    }

    /// What has come to its end by now.
    pub(crate) fn settle(&mut self, now: Instant) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        self.pending.retain(|_, pending| {
            let ended = pending.query.ends_at().is_some_and(|at| at <= now);
            let ended = ended || pending.query.is_nobody_there();
            if ended {
                // What is long ago counts less and less.
                self.gap = pending.query.gap().max(self.gap * 3 / 4);
            }
            if !pending.settled && (ended || pending.query.is_done(now)) {
                outcomes.extend(pending.settle(ended));
            }
            !ended
        });
        outcomes
    }

    /// When [`settle`](Self::settle) is worth a look.
    pub(crate) fn next_settled(&self) -> Option<Instant> {
        self.pending.values().filter_map(Pending::next).min()
    }

    /// The connection is lost, and every answer with it.
    pub(crate) fn lose(&mut self) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            if let Purpose::Lookup { waiter: Some(waiter), .. } = pending.purpose {
                // Who has gone away is told nothing.
                let _ = waiter.send(Found::Lost);
            }
        }
    }

    /// Whether there has ever been a query.
    pub(crate) fn is_used(&self) -> bool {
        self.next > 0
    }

    fn rules(&self, target: &Target, quorum: usize) -> Rules {
        let quiet = match target {
            Target::Name(_) => self.rules.quiet.max(2 * self.gap),
            // Who wants to know of everybody wants to miss nobody, and has no call that waits.
            Target::All => self.rules.limit,
        };
        Rules { quorum, quiet, ..self.rules }
    }

    fn add(&mut self, target: Target, query: Query, purpose: Purpose) {
        let pending = Pending { target, query, purpose, queued: false, settled: false };
        self.pending.insert(self.next, pending);
        self.next += 1;
    }
}

impl Pending {
    fn settle(&mut self, ended: bool) -> Option<Outcome> {
        let outcome = match &mut self.purpose {
            Purpose::Lookup { waiter, found, .. } => Outcome::Lookup {
                target: self.target.clone(),
                waiter: waiter.take()?,
                found: found.list(),
                nobody: self.query.is_nobody_there(),
            },
            Purpose::Sync => Outcome::Synced(self.target.clone()),
            // Whoever can still answer may.
            Purpose::Ask(_) if !ended && !self.query.have_all_answered() => return None,
            Purpose::Ask(suspects) => match &self.target {
                Target::Name(name) => Outcome::Asked(name.clone(), std::mem::take(suspects)),
                Target::All => return None,
            },
        };
        self.settled = true;
        Some(outcome)
    }

    fn next(&self) -> Option<Instant> {
        let waits_to_the_end = self.settled || matches!(self.purpose, Purpose::Ask(_));
        if waits_to_the_end { self.query.ends_at() } else { self.query.done_at() }
    }
}
