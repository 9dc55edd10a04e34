//! All that a registry knows and does, without I/O: what is heard and time in, what to say and to
//! ask out.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use micro_core::registry::{Service, ServiceName, Watcher};
use micro_core::{Error, Result};
use tokio::time::Instant;
use tracing::debug;

use crate::config::Options;
use crate::dns::{Answer, MOST_QUESTIONS, Question};
use crate::own::{NodeKey, Own, Say};
use crate::peers::Peers;
use crate::record::{self, Strings};

/// When the first lookup asks, after its beginning: a packet may be lost.
const ASKED: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(250),
    Duration::from_millis(650),
    // When who announced just before may say it again.
    Duration::from_millis(1050),
];
/// Who hears nobody by multicast, as behind some firewalls, asks again, less and less often.
const ASKED_AGAIN: RangeInclusive<Duration> = Duration::from_secs(5)..=Duration::from_secs(60);
/// Who has heard nobody for so long hears nobody.
const DEAF: Duration = Duration::from_secs(30);
/// How many times [`Options::quiet`] a list of everything waits at least.
const QUIET_OF_LISTS: u32 = 4;

#[derive(Debug)]
pub(crate) struct State {
    options: Options,
    own: Own,
    peers: Peers,
    search: Search,
    /// Who is watched by name, until it is known whether they are there.
    awaited: BTreeSet<ServiceName>,
    say: VecDeque<Say>,
    questions: VecDeque<Question>,
    /// Whether everybody is to be asked, who then answer to everybody.
    asks_all: bool,
    /// When anybody else was heard by multicast.
    heard: Option<Instant>,
    /// When to ask again if nobody is heard, and how long to wait then.
    again: Option<(Instant, Duration)>,
    /// Counts what callers had done here.
    revision: u64,
    closed: bool,
    garbage: u64,
}

/// How far it is found out what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    /// Nobody has asked yet.
    Idle,
    /// Since then; so often it was asked.
    Running { since: Instant, asked: usize },
    /// Everything is known: what is not heard of is not there.
    Done,
}

/// What a lookup comes to at a moment.
#[derive(Debug)]
pub(crate) enum Found {
    /// This.
    Services(Vec<Service>),
    /// Nothing yet; worth another look then, or when there is news.
    NotYet(Instant),
}

impl State {
    pub(crate) fn new(options: Options, token: String) -> Self {
        Self {
            own: Own::new(&options, token),
            peers: Peers::new(&options),
            search: Search::Idle,
            awaited: BTreeSet::new(),
            say: VecDeque::new(),
            questions: VecDeque::new(),
            asks_all: false,
            heard: None,
            again: None,
            revision: 0,
            closed: false,
            garbage: 0,
            options,
        }
    }

    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// How many records of others meant nothing, or found no room.
    pub(crate) fn dropped(&self) -> u64 {
        self.garbage + self.peers.dropped()
    }

    /// # Errors
    /// `Unavailable` after [`close`](Self::close).
    pub(crate) fn check_open(&self) -> Result<()> {
        if self.closed {
            return Err(Error::unavailable("the registry is closed"));
        }
        Ok(())
    }

    /// Returns the revision in which others can see it.
    pub(crate) fn register(
        &mut self,
        service: &Service,
        ttl: Option<Duration>,
        now: Instant,
    ) -> Result<u64> {
        self.check_open()?;
        // What ends at once was never there.
        if ttl == Some(Duration::ZERO) {
            return Ok(self.deregister(service));
        }
        let until = ttl.and_then(|ttl| now.checked_add(ttl));
        for claimed in self.own.register(service, until, now, &mut self.say)? {
            self.peers.claim(claimed);
        }
        Ok(self.changed())
    }

    /// Returns the revision in which nobody sees it any more.
    pub(crate) fn deregister(&mut self, service: &Service) -> u64 {
        for node in &service.nodes {
            let (name, version) = (service.name.clone(), service.version.clone());
            self.end(&NodeKey { name, version, id: node.id.clone() });
        }
        self.changed()
    }

    /// Ends everything; the watchers too. Returns the revision in which others have been told.
    pub(crate) fn close(&mut self) -> u64 {
        if !self.closed {
            self.closed = true;
            for key in self.own.keys() {
                self.end(&key);
            }
            self.peers = Peers::new(&self.options);
            self.search = Search::Idle;
            self.again = None;
            self.revision += 1;
        }
        self.revision
    }

    /// Finds out what there is, unless that is known.
    pub(crate) fn search(&mut self, now: Instant) -> Result<()> {
        self.check_open()?;
        if self.search == Search::Idle {
            self.search = Search::Running { since: now, asked: 0 };
        }
        Ok(())
    }

    /// Whether somebody wants to know what there is.
    pub(crate) fn is_searching(&self) -> bool {
        self.search != Search::Idle
    }

    /// The versions of a service, as soon as they are known; none if there is none.
    pub(crate) fn get(&self, name: &ServiceName, now: Instant) -> Found {
        let services = self.peers.get(name.as_str());
        match self.settles(Duration::ZERO, now) {
            Some(_) if self.search == Search::Done => Found::Services(services),
            Some(at) if at <= now && !services.is_empty() => Found::Services(services),
            Some(at) if !services.is_empty() => Found::NotYet(at),
            None if !services.is_empty() && self.peers.news().is_none() => {
                self.alone(services, now)
            }
            _ => Found::NotYet(self.limit(now)),
        }
    }

    /// All services, as soon as they are known.
    pub(crate) fn list(&self, now: Instant) -> Found {
        match self.settles(self.options.quiet * QUIET_OF_LISTS, now) {
            Some(at) if at <= now => Found::Services(self.peers.list()),
            Some(at) => Found::NotYet(at),
            None => Found::NotYet(self.limit(now)),
        }
    }

    pub(crate) fn watch(&mut self, name: Option<ServiceName>) -> Watcher {
        if self.search != Search::Done {
            self.awaited.extend(name.clone());
        }
        self.peers.watch(name)
    }

    /// What an instance says.
    pub(crate) fn hear(&mut self, label: &str, txt: &Strings, now: Instant) {
        if self.own.is_own(label) || self.closed {
            return;
        }
        match record::decode(txt, self.options.namespace_if_any()) {
            Ok(record) => self.peers.hear(label, record, now),
            Err(why) => {
                self.garbage += 1;
                debug!(label, why, "an instance says nothing to us");
            }
        }
    }

    /// What somebody says to everybody.
    pub(crate) fn hear_said(&mut self, answer: Answer, now: Instant) {
        let (Answer::Text(label, _) | Answer::Instance(label) | Answer::Goodbye(label)) = &answer;
        if !self.own.is_own(label) {
            self.heard = Some(now);
        }
        self.hear_answer(answer, now);
    }

    /// What somebody says, asked or not.
    pub(crate) fn hear_answer(&mut self, answer: Answer, now: Instant) {
        match answer {
            Answer::Text(label, txt) => self.hear(&label, &txt, now),
            Answer::Goodbye(label) => self.peers.doubt(&label, now),
            // What it says usually comes with it.
            Answer::Instance(_) => {}
        }
    }

    /// An instance of which nothing else came.
    pub(crate) fn ask_for(&mut self, label: String) {
        if !self.own.is_own(&label) && !self.peers.knows(&label) {
            self.ask(Question::Text(label));
        }
    }

    /// The responder is a new one and knows nothing.
    pub(crate) fn say_all(&mut self, now: Instant) {
        // Who leaves has to be told of all the same.
        self.say.retain(|say| !self.own.tells(say.label()));
        self.own.say_all(now, &mut self.say);
    }

    /// Nobody has listened or answered until now.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.say_all(now);
        if self.search == Search::Done {
            self.search = Search::Running { since: now, asked: 0 };
        }
        self.ask_again();
    }

    /// There are others to ask than before.
    pub(crate) fn ask_again(&mut self) {
        if self.is_searching() {
            self.asks_all = true;
            self.ask(Question::Instances);
        }
    }

    /// Does what is due, and tells the watchers what has changed. Returns when more is due.
    pub(crate) fn advance(&mut self, now: Instant) -> Option<Instant> {
        for key in self.own.due(now, &mut self.say) {
            self.end(&key);
        }
        for question in self.peers.due(now) {
            self.ask(question);
        }
        self.advance_search(now);
        self.ask_if_deaf(now);
        self.peers.publish();
        let again = self.again.map(|(at, _)| at);
        let times = [self.own.next_due(), self.peers.next_due(), self.next_of_search(now), again];
        times.into_iter().flatten().min()
    }

    pub(crate) fn pop_say(&mut self) -> Option<Say> {
        self.say.pop_front()
    }

    /// At most so many; the others have to wait.
    pub(crate) fn take_questions(&mut self, most: usize) -> Vec<Question> {
        self.questions.drain(..most.min(self.questions.len())).collect()
    }

    pub(crate) fn has_questions(&self) -> bool {
        !self.questions.is_empty()
    }

    /// Whether everybody is to be asked.
    pub(crate) fn asks_all(&self) -> bool {
        self.asks_all
    }

    pub(crate) fn has_asked_all(&mut self) {
        self.asks_all = false;
    }

    /// What need not be answered.
    pub(crate) fn known(&self) -> impl Iterator<Item = &str> {
        self.peers.labels()
    }

    fn changed(&mut self) -> u64 {
        self.peers.publish();
        self.revision += 1;
        self.revision
    }

    fn end(&mut self, key: &NodeKey) {
        if self.own.deregister(key, &mut self.say) {
            self.peers.give_up(key);
        }
    }

    fn ask(&mut self, question: Question) {
        let is_asked = question == Question::Instances && self.questions.contains(&question);
        if self.questions.len() < MOST_QUESTIONS && !is_asked {
            self.questions.push_back(question);
        }
    }

    fn ask_if_deaf(&mut self, now: Instant) {
        let Some((at, pause)) = self.again.filter(|(at, _)| *at <= now) else { return };
        if self.heard.is_none_or(|heard| heard + DEAF <= at) {
            self.ask(Question::Instances);
        }
        self.again = Some((now + pause, (pause * 3).min(*ASKED_AGAIN.end())));
    }

    fn advance_search(&mut self, now: Instant) {
        let Search::Running { since, asked } = &mut self.search else { return };
        let since = *since;
        if now >= since + self.options.query_limit {
            self.search = Search::Done;
            let pause = *ASKED_AGAIN.start();
            self.again = Some((now + pause, pause * 3));
            self.awaited.clear();
            self.peers.set_synced(None);
            return;
        }
        if ASKED.get(*asked).is_some_and(|after| now >= since + *after) {
            // Whom nobody hears who asks alone, and who had said it just before, is asked so.
            self.asks_all |= *asked == 0 || *asked + 1 == ASKED.len();
            *asked += 1;
            if self.peers.news().is_none() {
                self.ask(Question::Instances);
            }
        }
        let settled = |at_least| self.settles(at_least, now).is_some_and(|at| at <= now);
        if settled(self.options.quiet * QUIET_OF_LISTS) {
            self.peers.set_synced(None);
        } else if settled(Duration::ZERO) {
            // As a lookup by name is done then.
            let peers = &mut self.peers;
            self.awaited.retain(|name| {
                let known = !peers.get(name.as_str()).is_empty();
                if known {
                    peers.set_synced(Some(name));
                }
                !known
            });
        }
    }

    fn next_of_search(&self, now: Instant) -> Option<Instant> {
        let Search::Running { since, asked } = self.search else { return None };
        let ask = ASKED.get(asked).map(|after| since + *after);
        let settled = [Duration::ZERO, self.options.quiet * QUIET_OF_LISTS]
            .map(|at_least| self.settles(at_least, now).filter(|at| *at > now));
        let limit = Some(since + self.options.query_limit);
        settled.into_iter().chain([ask, limit]).flatten().min()
    }

    /// When what there is will be known if there is no more news, at the earliest so long after
    /// the beginning; `None` while that cannot be said.
    fn settles(&self, at_least: Duration, now: Instant) -> Option<Instant> {
        match self.search {
            Search::Idle => None,
            Search::Done => Some(now),
            Search::Running { since, .. } => {
                let news = self.peers.news().filter(|_| !self.peers.is_incomplete())?;
                Some((since + at_least).max(news + self.options.quiet))
            }
        }
    }

    /// What is registered here, as long as nobody else has been heard of.
    fn alone(&self, services: Vec<Service>, now: Instant) -> Found {
        let Search::Running { since, .. } = self.search else { return Found::Services(services) };
        let at = since + (self.options.quiet * QUIET_OF_LISTS).min(self.options.query_limit);
        if at <= now { Found::Services(services) } else { Found::NotYet(at) }
    }

    fn limit(&self, now: Instant) -> Instant {
        match self.search {
            Search::Running { since, .. } => since + self.options.query_limit,
            Search::Idle | Search::Done => now + self.options.query_limit,
        }
    }
}

#[cfg(test)]
mod tests;
