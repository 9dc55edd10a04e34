//! The one background task of a registry: it carries what is said, heard and asked between its
//! state and multicast DNS.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mdns_sd::{DaemonStatus, Metrics, Receiver, ServiceEvent};
use micro_core::{Error, LogThrottle, Result};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::ask::Asker;
use crate::config::Options;
use crate::daemon::{self, Daemon};
use crate::dns::Answer;
use crate::interfaces;
use crate::names;
use crate::state::State;

/// A sleep without anything to wake for.
const LONG: Duration = Duration::from_secs(3600);
/// Until a thread that had too much to do is asked again.
const AGAIN: Duration = Duration::from_millis(2);
/// Until what could not be done at all is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long answers to a question may come.
const ANSWERS: Duration = Duration::from_secs(2);
/// How often it is looked how much the thread remembers.
pub(crate) const WEIGHED: Duration = Duration::from_secs(5);
/// How many events are taken in before watchers are told of them.
const BATCH: usize = 256;
/// And for how long: whoever looks something up waits meanwhile.
const BATCH_TIME: Duration = Duration::from_millis(5);

/// What the handles and the task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    service_type: String,
    state: Mutex<State>,
    daemon: Mutex<Slot>,
    changed: Notify,
    /// The last revision of the state of which everything was sent.
    done: watch::Sender<u64>,
    /// Counts what was heard, for lookups that wait.
    heard: watch::Sender<u64>,
    dropped: LogThrottle,
}

/// The thread of multicast DNS.
#[derive(Debug)]
enum Slot {
    /// Not yet, or not any more.
    Empty,
    Running(Arc<Daemon>),
    /// Never again.
    Ended,
}

impl Shared {
    pub(crate) fn new(options: Options) -> Self {
        let token = names::token();
        Self {
            service_type: names::service_type(options.namespace_if_any()),
            state: Mutex::new(State::new(options.clone(), token)),
            options,
            daemon: Mutex::new(Slot::Empty),
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

    /// The thread, which the first use starts.
    ///
    /// # Errors
    /// `Unavailable`.
    pub(crate) fn daemon(&self) -> Result<Arc<Daemon>> {
        let mut slot = self.slot();
        match &*slot {
            Slot::Running(daemon) => Ok(daemon.clone()),
            Slot::Ended => Err(Error::unavailable("the registry is closed")),
            Slot::Empty => {
                let daemon = Daemon::start(&self.options, &self.service_type)?;
                let daemon = Arc::new(daemon);
                *slot = Slot::Running(daemon.clone());
                Ok(daemon)
            }
        }
    }

    /// Ends the thread without a word to anybody. Its successor, if there may be one, has to be
    /// told everything.
    pub(crate) fn end_daemon(&self, for_ever: bool) {
        let mut slot = self.slot();
        let is_over = for_ever || matches!(*slot, Slot::Ended);
        let old = std::mem::replace(&mut *slot, if is_over { Slot::Ended } else { Slot::Empty });
        // Not under the lock: it may take a while.
        drop(slot);
        drop(old);
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(crate) async fn drive(shared: Arc<Shared>) {
    let now = Instant::now();
    let mut driver = Driver {
        shared,
        events: None,
        browse_at: now,
        barrier: None,
        asker: None,
        asking_until: now,
        metrics: None,
        weigh_at: now + WEIGHED,
    };
    loop {
        // Somebody may send more than there is time for.
        tokio::task::consume_budget().await;
        driver.step().await;
    }
}

struct Driver {
    shared: Arc<Shared>,
    events: Option<Receiver<ServiceEvent>>,
    /// Not to be browsed before then.
    browse_at: Instant,
    /// What was sent up to this revision.
    barrier: Option<(u64, Receiver<DaemonStatus>)>,
    asker: Option<Asker>,
    asking_until: Instant,
    /// How much the thread remembers, as soon as it says so.
    metrics: Option<Receiver<Metrics>>,
    weigh_at: Instant,
}

impl Driver {
    async fn step(&mut self) {
        let now = Instant::now();
        let next = self.shared.state().advance(now);
        self.shared.heard.send_modify(|heard| *heard += 1);
        let mut wake = next.unwrap_or(now + LONG);
        match self.speak() {
            Ok(true) => {}
            Ok(false) => wake = wake.min(now + AGAIN),
            Err(error) => {
                debug!(%error, "multicast DNS is started again");
                self.start_again(now);
                wake = wake.min(now + RETRY);
            }
        }
        wake = wake.min(self.weigh_at);
        if self.events.is_none() && self.browse_at > now {
            wake = wake.min(self.browse_at);
        }
        self.ask(now);
        if self.asker.is_some() {
            wake = wake.min(self.asking_until);
        }
        let shared = self.shared.clone();
        tokio::select! {
            event = received(self.events.as_ref()) => self.hear(event),
            answers = answers(self.asker.as_mut(), &shared.service_type) => self.hear_answers(answers),
            status = received(self.barrier.as_ref().map(|(_, status)| status)) => self.pass(status),
            metrics = received(self.metrics.as_ref()) => self.weigh(metrics),
            () = shared.changed.notified() => {}
            () = sleep_until(wake) => {}
        }
    }

    /// Sends what there is to say; false if the thread has too much to do.
    fn speak(&mut self) -> Result<bool> {
        let daemon = self.shared.daemon()?;
        let mut state = self.shared.state();
        while let Some(say) = state.pop_say() {
            match daemon.say(&say) {
                Ok(true) => {}
                Ok(false) => {
                    state.push_back_say(say);
                    return Ok(false);
                }
                Err(error) => warn!(%error, "an instance is not told to anybody"),
            }
        }
        let (revision, is_searching) = (state.revision(), state.is_searching());
        drop(state);
        if self.events.is_none() && is_searching && Instant::now() >= self.browse_at {
            self.browse_at = Instant::now() + RETRY;
            self.events = daemon.browse()?;
            if self.events.is_none() {
                return Ok(false);
            }
        }
        if self.metrics.is_none() && Instant::now() >= self.weigh_at {
            self.weigh_at = Instant::now() + WEIGHED;
            self.metrics = daemon.metrics();
        }
        let passed = self.barrier.as_ref().map_or(*self.shared.done.borrow(), |(at, _)| *at);
        if revision > passed {
            let Some(status) = daemon.barrier()? else { return Ok(false) };
            self.barrier = Some((revision, status));
        }
        Ok(true)
    }

    fn pass(&mut self, status: Option<DaemonStatus>) {
        if let (Some((revision, _)), Some(_)) = (self.barrier.take(), status) {
            self.shared.done.send_replace(revision);
        }
    }

    /// The library remembers whatever anybody says, for as long as they say, without a limit.
    fn weigh(&mut self, metrics: Option<Metrics>) {
        self.metrics = None;
        let bytes = metrics.as_ref().map_or(0, daemon::weight);
        if bytes > self.shared.options.max_bytes {
            warn!(bytes, "multicast DNS is started again: it remembers too much");
            self.start_again(Instant::now());
        }
    }

    /// With another thread, which knows nothing.
    fn start_again(&mut self, now: Instant) {
        self.shared.end_daemon(false);
        self.events = None;
        self.browse_at = now + RETRY;
        self.barrier = None;
        self.metrics = None;
        self.shared.state().say_all(now);
    }

    fn ask(&mut self, now: Instant) {
        let questions = self.shared.state().take_questions();
        if questions.is_empty() {
            if now >= self.asking_until {
                self.asker = None;
            }
            return;
        }
        let options = &self.shared.options;
        // Without an interface nobody answers.
        let interfaces = interfaces::present(&options.interfaces).unwrap_or_default();
        if self.asker.is_none() {
            self.asker = Asker::open(options.port)
                .inspect_err(|error| debug!(%error, "nobody can be asked"))
                .ok();
        }
        if let Some(asker) = &self.asker {
            asker.ask(&self.shared.service_type, &questions, &interfaces);
            self.asking_until = now + ANSWERS;
        }
    }

    fn hear(&mut self, first: Option<ServiceEvent>) {
        let (Some(events), Some(first)) = (&self.events, first) else {
            // More came than there was room for: from the beginning, which is bounded too.
            debug!("events of multicast DNS were lost; it is browsed anew");
            self.events = None;
            return;
        };
        let now = Instant::now();
        let Ok(daemon) = self.shared.daemon() else { return };
        let mut state = self.shared.state();
        let dropped = state.dropped();
        let more = || if now.elapsed() < BATCH_TIME { events.try_recv().ok() } else { None };
        let rest = std::iter::from_fn(more).take(BATCH);
        for event in std::iter::once(first).chain(rest) {
            match event {
                ServiceEvent::ServiceResolved(service) => {
                    if let Some(label) = daemon.label(&service.fullname) {
                        state.hear(label, &service.txt_properties, now);
                    }
                }
                ServiceEvent::ServiceRemoved(_, name) => {
                    if let Some(label) = daemon.label(&name) {
                        state.hear_goodbye(label, now);
                    }
                }
                _ => {}
            }
        }
        let dropped = state.dropped() - dropped;
        drop(state);
        self.log(dropped);
    }

    fn hear_answers(&mut self, answers: Vec<Answer>) {
        let now = Instant::now();
        let mut state = self.shared.state();
        let dropped = state.dropped();
        let mut instances = Vec::new();
        for answer in answers {
            if let Answer::Instance(label) = &answer {
                instances.push(label.clone());
            }
            state.hear_answer(answer, now);
        }
        for label in instances {
            state.ask_for(label);
        }
        let dropped = state.dropped() - dropped;
        drop(state);
        self.log(dropped);
    }

    fn log(&self, dropped: u64) {
        if let Some(count) = self.shared.dropped.count_many(dropped) {
            warn!(count, "records of others were dropped: they mean nothing, or there is no room");
        }
    }
}

/// The next of what comes; `None` at its end. Nothing, for ever, if nothing is to come.
async fn received<T>(receiver: Option<&Receiver<T>>) -> Option<T> {
    match receiver {
        Some(receiver) => receiver.recv_async().await.ok(),
        None => std::future::pending().await,
    }
}

async fn answers(asker: Option<&mut Asker>, service_type: &str) -> Vec<Answer> {
    match asker {
        Some(asker) => asker.answers(service_type).await,
        None => std::future::pending().await,
    }
}
