//! The one background task of a registry: it carries what is said, heard and asked between its
//! state and the network.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::LogThrottle;
use simple_dns::Name;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::allowance::{Allowance, Rate};
use crate::ask::Asker;
use crate::config::Options;
use crate::dns::{self, Answer, Question};
use crate::links::Link;
use crate::names;
use crate::net::Net;
use crate::own::Say;
use crate::responder::{Outgoing, Responder, To};
use crate::state::State;

/// A sleep without anything to wake for.
const LONG: Duration = Duration::from_secs(3600);
/// How long answers to a question may come.
const ANSWERS: Duration = Duration::from_secs(2);
/// How often it is looked which networks there are,
const REFRESHED: Duration = Duration::from_secs(5);
/// and no sooner than this where one of them seems to be gone.
const REFRESHED_AT_MOST: Duration = Duration::from_millis(500);
/// Nobody asks everybody again within this time (RFC 6762, 5.2).
const ASKED_ONCE_IN: Duration = Duration::from_secs(1);
/// How long is read before watchers are told: whoever looks something up waits meanwhile.
const READING: Duration = Duration::from_millis(5);
/// So many packets are sent
const SENT: usize = 64;
/// within this time: others have to read them.
const PACE: Duration = Duration::from_millis(2);
/// With so many packets to send, no more questions are heard.
const WAITING: usize = 1024;
/// More than whoever has a thousand nodes ends at once need be asked for: of what somebody else
/// says, no more questions go out in a second.
const QUESTIONS: usize = 1_200;

/// What the handles and the task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    token: String,
    state: Mutex<State>,
    changed: Notify,
    /// The last revision of the state of which everything was sent.
    done: watch::Sender<u64>,
    /// Counts what was heard, for lookups that wait.
    heard: watch::Sender<u64>,
    dropped: LogThrottle,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let token = names::token();
        Self {
            state: Mutex::new(State::new(options.clone(), token.clone())),
            options,
            token,
            changed: Notify::new(),
            done: watch::Sender::new(0),
            heard: watch::Sender::new(0),
            dropped: LogThrottle::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // What panicked was not the state: it has no step that leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state has changed: the task has to look.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Until everything up to this revision was sent; not bounded.
    pub(crate) async fn done(&self, revision: u64) {
        // The sender lives as long as this does.
        let _ = self.done.subscribe().wait_for(|done| *done >= revision).await;
    }

    /// What has been heard from now on.
    pub(crate) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.subscribe()
    }
}

/// Works until it is aborted. Cancel safe: whoever starts another one goes on with the same state.
pub(crate) async fn drive(shared: Arc<Shared>, net: Net) {
    let now = Instant::now();
    let service_type = names::service_type(shared.options.namespace_if_any());
    let host = names::host(&shared.token);
    let mut driver = Driver {
        responder: Responder::new(&service_type, &host, shared.options.port, now),
        service_type: dns::name(&service_type),
        net,
        outbox: VecDeque::new(),
        pace: Rate::new(SENT, PACE, now),
        asker: None,
        asking_until: now,
        ask_all_at: now,
        questions: Rate::new(QUESTIONS, Duration::from_secs(1), now),
        refreshed: now,
        is_missing_one: false,
        allowance: Allowance::new(now),
        shared,
    };
    loop {
        // There may be more to do than there is time for.
        tokio::task::consume_budget().await;
        driver.step().await;
    }
}

struct Driver {
    shared: Arc<Shared>,
    service_type: Name<'static>,
    net: Net,
    responder: Responder,
    outbox: VecDeque<Outgoing>,
    /// Of what is sent.
    pace: Rate,
    asker: Option<Asker>,
    asking_until: Instant,
    ask_all_at: Instant,
    questions: Rate,
    refreshed: Instant,
    /// Whether one of the networks seems to be gone.
    is_missing_one: bool,
    /// For what others send.
    allowance: Allowance,
}

impl Driver {
    async fn step(&mut self) {
        let now = Instant::now();
        self.refresh(now);
        let next = self.shared.state().advance(now);
        self.shared.heard.send_modify(|heard| *heard += 1);
        self.ask(now);
        self.speak(now);
        let reads_at = self.allowance.ready(now);
        let reading = (reads_at > now).then_some(reads_at);
        let sending = (!self.outbox.is_empty()).then(|| self.pace.next());
        let times = [next, self.asks_at(), reading, sending, self.responder.next_due()];
        let wake = times.into_iter().flatten().min().unwrap_or(now + LONG).min(self.refresh_at());
        self.net.listen(reading.is_none());
        let shared = self.shared.clone();
        tokio::select! {
            () = readable(&self.net, self.asker.as_ref()), if reading.is_none() => self.hear(),
            () = shared.changed.notified() => {}
            () = sleep_until(wake) => {}
        }
    }

    fn refresh_at(&self) -> Instant {
        self.refreshed + if self.is_missing_one { REFRESHED_AT_MOST } else { REFRESHED }
    }

    /// Networks come and go, and change their addresses.
    fn refresh(&mut self, now: Instant) {
        if now < self.refresh_at() {
            return;
        }
        (self.refreshed, self.is_missing_one) = (now, false);
        if self.net.refresh(&self.shared.options) {
            debug!(links = self.net.links().len(), "the networks are others than before");
            let mut state = self.shared.state();
            state.say_all(now);
            state.ask_again();
        }
    }

    /// Sends what there is to say, not too much at once.
    fn speak(&mut self, now: Instant) {
        self.outbox.extend(self.responder.due(self.net.links(), now));
        let mut said = None;
        while self.outbox.len() < SENT && said.is_none() {
            let mut state = self.shared.state();
            let links = self.net.links();
            match state.pop_say() {
                Some(Say::Announce(told)) => {
                    self.outbox.extend(self.responder.announce(&told, links, now));
                }
                Some(Say::Withdraw(label)) => {
                    self.outbox.extend(self.responder.withdraw(&label, links, now));
                }
                None => said = Some(state.revision()),
            }
        }
        let sent = self.pace.left(now).min(self.outbox.len());
        self.pace.take(sent);
        for outgoing in self.outbox.drain(..sent) {
            self.is_missing_one |= !self.net.send(&outgoing);
        }
        if let Some(revision) = said.filter(|_| self.outbox.is_empty()) {
            let is_new = |done: &mut u64| std::mem::replace(done, revision) != revision;
            self.shared.done.send_if_modified(is_new);
        }
    }

    fn ask(&mut self, now: Instant) {
        let shared = self.shared.clone();
        let mut state = shared.state();
        if state.asks_all() && now >= self.ask_all_at {
            state.has_asked_all();
            self.ask_all_at = now + ASKED_ONCE_IN;
            let message = dns::query(0, &self.service_type, &[Question::Instances], state.known());
            let everybody =
                |link: &Link| Outgoing { to: To::Everybody(link.id), message: message.clone() };
            self.outbox.extend(self.net.links().iter().map(everybody));
        }
        let questions = state.take_questions(self.questions.left(now));
        if questions.is_empty() {
            if now >= self.asking_until {
                self.asker = None;
            }
            return;
        }
        self.questions.take(questions.len());
        if self.asker.is_none() {
            self.asker = Asker::open(shared.options.port)
                .inspect_err(|error| debug!(%error, "nobody can be asked"))
                .ok();
        }
        if let Some(asker) = &self.asker {
            asker.ask(&self.service_type, &questions, &state, self.net.links());
            self.asking_until = now + ANSWERS;
        }
    }

    /// When there is something to ask, or nothing any more.
    fn asks_at(&self) -> Option<Instant> {
        let state = self.shared.state();
        let all = state.asks_all().then_some(self.ask_all_at);
        let more = state.has_questions().then(|| self.questions.next());
        let over = self.asker.is_some().then_some(self.asking_until);
        [all, more, over].into_iter().flatten().min()
    }

    /// Reads what has come, for a while.
    fn hear(&mut self) {
        let (now, begin) = (Instant::now(), std::time::Instant::now());
        let shared = self.shared.clone();
        let mut state = shared.state();
        let dropped = state.dropped();
        let mut is_more = true;
        while is_more && begin.elapsed() < READING {
            is_more = self.read_all(&mut state, begin, now) | self.read_answers(&mut state, now);
        }
        self.allowance.spend(begin.elapsed(), now);
        let dropped = state.dropped() - dropped;
        drop(state);
        if let Some(count) = shared.dropped.count_many(dropped) {
            warn!(count, "records of others were dropped: they mean nothing, or there is no room");
        }
    }

    /// What is said to everybody; false if that was all.
    fn read_all(&mut self, state: &mut State, begin: std::time::Instant, now: Instant) -> bool {
        let Self { net, responder, outbox, service_type, shared, .. } = self;
        net.read(|incoming| {
            let Some(packet) = dns::read(incoming.message) else { return };
            if !dns::is_response(&packet) {
                // Many may come as one.
                if outbox.len() < WAITING && begin.elapsed() < READING {
                    outbox.extend(responder.hear(&packet, incoming.from, incoming.link, now));
                }
            } else if incoming.from.port() == shared.options.port && state.is_searching() {
                // Whoever speaks from another port is no responder (RFC 6762, 6).
                for answer in dns::answers(&packet, service_type) {
                    state.hear_said(answer, now);
                }
            }
        })
    }

    /// What is answered to us alone; false if that was all.
    fn read_answers(&mut self, state: &mut State, now: Instant) -> bool {
        let Some(asker) = &mut self.asker else { return false };
        asker.read(&self.service_type, |answers| {
            let is_instance = |answer: &Answer| match answer {
                Answer::Instance(label) => Some(label.clone()),
                _ => None,
            };
            let instances: Vec<_> = answers.iter().filter_map(is_instance).collect();
            answers.into_iter().for_each(|answer| state.hear_answer(answer, now));
            instances.into_iter().for_each(|label| state.ask_for(label));
        })
    }
}

async fn readable(net: &Net, asker: Option<&Asker>) {
    let asker = async {
        match asker {
            Some(asker) => asker.readable().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = net.readable() => {}
        () = asker => {}
    }
}
