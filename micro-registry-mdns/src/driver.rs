//! The one background task of a registry: it carries what is said, heard and asked between its
//! state and the network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::LogThrottle;
use simple_dns::Name;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::allowance::Allowance;
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
/// How much is said before others are heard.
const SAID: usize = 64;
/// With so many answers to send, no more questions are heard: many come as one packet.
const ANSWERED: usize = 1024;

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
        responder: Responder::new(&service_type, &host, shared.options.port),
        service_type: dns::name(&service_type),
        net,
        asker: None,
        asking_until: now,
        ask_all_at: now,
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
    asker: Option<Asker>,
    asking_until: Instant,
    ask_all_at: Instant,
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
        let said_all = self.speak(now);
        self.ask(now);
        let reads_at = self.allowance.ready(now);
        let more = (!said_all).then_some(now);
        let asking = self.asker.is_some().then_some(self.asking_until);
        let reading = (reads_at > now).then_some(reads_at);
        let times = [next, more, asking, reading, self.responder.next_due()];
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

    /// Sends what there is to say; false if there is more.
    fn speak(&mut self, now: Instant) -> bool {
        let due = self.responder.due(self.net.links(), now);
        self.send(&due);
        for _ in 0..SAID {
            let (say, revision) = {
                let mut state = self.shared.state();
                (state.pop_say(), state.revision())
            };
            let outgoing = match say {
                Some(Say::Announce(told)) => self.responder.announce(&told, self.net.links(), now),
                Some(Say::Withdraw(label)) => self.responder.withdraw(&label, self.net.links()),
                None => {
                    let is_new = |done: &mut u64| std::mem::replace(done, revision) != revision;
                    self.shared.done.send_if_modified(is_new);
                    return true;
                }
            };
            self.send(&outgoing);
        }
        false
    }

    fn send(&mut self, outgoing: &[Outgoing]) {
        for outgoing in outgoing {
            self.is_missing_one |= !self.net.send(outgoing);
        }
    }

    fn ask(&mut self, now: Instant) {
        let questions = self.shared.state().take_questions();
        if questions.is_empty() {
            if now >= self.asking_until {
                self.asker = None;
            }
            return;
        }
        if self.asker.is_none() {
            self.asker = Asker::open(self.shared.options.port)
                .inspect_err(|error| debug!(%error, "nobody can be asked"))
                .ok();
        }
        if let Some(asker) = &self.asker {
            asker.ask(&self.service_type, &questions, self.net.links());
            self.asking_until = now + ANSWERS;
        }
        if questions.contains(&Question::Instances) && now >= self.ask_all_at {
            // Where a firewall keeps away what comes to a port of its own.
            self.ask_all_at = now + ASKED_ONCE_IN;
            let message = dns::query(0, &self.service_type, &[Question::Instances]);
            let everybody =
                |link: &Link| Outgoing { to: To::Everybody(link.id), message: message.clone() };
            let queries: Vec<_> = self.net.links().iter().map(everybody).collect();
            self.send(&queries);
        }
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
        let Self { net, responder, service_type, shared, .. } = &mut *self;
        let mut answers = Vec::new();
        let is_more = net.read(|incoming| {
            let Some(packet) = dns::read(incoming.message) else { return };
            if !dns::is_response(&packet) {
                if answers.len() >= ANSWERED || begin.elapsed() >= READING {
                    return;
                }
                answers.extend(responder.hear(&packet, incoming.from, incoming.link, now));
            } else if incoming.from.port() == shared.options.port && state.is_searching() {
                // Whoever speaks from another port is no responder (RFC 6762, 6).
                for answer in dns::answers(&packet, service_type) {
                    state.hear_answer(answer, now);
                }
            }
        });
        self.send(&answers);
        is_more
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
