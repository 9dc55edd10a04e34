//! Those who call all the time, and what they were told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::{Client, Error, ErrorKind, RequestState};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::world::LIMIT;

/// How long each call may take.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How much later its end may be seen here, on a busy machine.
const SLACK: Duration = Duration::from_secs(3);
/// How long a handler works for the callers: some are in flight when something happens.
const WORK: [u64; 8] = [0, 0, 1, 5, 20, 50, 100, 200];

/// So many loops, each of which makes a call as soon as its last one has ended. Every second one's
/// calls are idempotent.
pub(crate) struct Callers {
    loops: JoinSet<()>,
    told: Arc<Mutex<Vec<Told>>>,
    stop: Arc<AtomicBool>,
}

/// What became of a call.
struct Told {
    caller: usize,
    began: Instant,
    ended: Instant,
    error: Option<Error>,
}

impl Callers {
    pub(crate) fn start(client: &Client) -> Self {
        let (told, stop) = (Arc::<Mutex<Vec<Told>>>::default(), Arc::new(AtomicBool::new(false)));
        let mut loops = JoinSet::new();
        for (caller, work) in WORK.into_iter().enumerate() {
            let (client, told, stop) = (client.clone(), told.clone(), stop.clone());
            loops.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let began = Instant::now();
                    let mut call = client.call::<_, u64>("steady", "Steady.Wait", &work);
                    if caller % 2 == 1 {
                        call = call.idempotent();
                    }
                    let error = call.timeout(TIMEOUT).await.err();
                    let ended = Instant::now();
                    told.lock().unwrap().push(Told { caller, began, ended, error });
                    // Not for want of a condition: a machine with two cores does other things too.
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        Self { loops, told, stop }
    }

    /// Each of them was answered several times in a row since then.
    pub(crate) async fn all_answered_since(&self, since: Instant) {
        let answered = async {
            while !(0..WORK.len()).all(|caller| self.answered_in_a_row(caller, since) >= 3) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let answered = timeout(LIMIT, answered).await;
        assert!(answered.is_ok(), "not all who call are answered: {:#?}", self.last_told());
    }

    /// How long ago the last call of each ended, and with what.
    fn last_told(&self) -> Vec<(Duration, Option<Error>)> {
        let mut told = self.told.lock().unwrap();
        let last = |caller| told.iter().rposition(|told| told.caller == caller);
        let last: Vec<usize> = (0..WORK.len()).filter_map(last).collect();
        last.into_iter().map(|at| (told[at].ended.elapsed(), told[at].error.take())).collect()
    }

    fn answered_in_a_row(&self, caller: usize, since: Instant) -> usize {
        let told = self.told.lock().unwrap();
        let mine = told.iter().rev().filter(|told| told.caller == caller);
        mine.take_while(|told| told.began >= since && told.error.is_none()).count()
    }

    /// Returns when a call has failed.
    pub(crate) async fn one_failed_since(&self, since: Instant) {
        let failed = async {
            let failed = |told: &Told| told.began >= since && told.error.is_some();
            while !self.told.lock().unwrap().iter().any(failed) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, failed).await.expect("calls go on without NATS");
    }

    pub(crate) fn failures(&self) -> usize {
        self.told.lock().unwrap().iter().filter(|told| told.error.is_some()).count()
    }

    /// How long after this the last call began that failed.
    pub(crate) fn last_failure_after(&self, since: Instant) -> Duration {
        let told = self.told.lock().unwrap();
        let last = told.iter().filter(|told| told.error.is_some()).map(|told| told.began).max();
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(since))
    }

    /// Ends them: each call ended in its time, and whichever failed was told the truth in a form
    /// that a program can act on. Returns how many idempotent calls failed.
    pub(crate) async fn were_told_the_truth(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let ended = async { while self.loops.join_next().await.transpose().unwrap().is_some() {} };
        timeout(TIMEOUT + SLACK, ended).await.expect("a call hangs");
        let told = self.told.lock().unwrap();
        let mut idempotent = 0;
        // Until then it is the truth that nobody of that name is there.
        let found = told.iter().filter(|told| told.error.is_none()).map(|told| told.ended).min();
        for Told { caller, began, ended, error } in &*told {
            let took = *ended - *began;
            assert!(took < TIMEOUT + SLACK, "a call took {took:?}: {error:?}");
            let Some(error) = error else { continue };
            idempotent += caller % 2;
            let kind = match error.kind() {
                ErrorKind::Unavailable | ErrorKind::Timeout => true,
                ErrorKind::NotFound => found.is_none_or(|found| *began < found),
                _ => false,
            };
            let known =
                matches!(error.request(), Some(RequestState::NotSent | RequestState::Unknown));
            assert!(kind && known, "after {took:?}: {error:?}");
        }
        idempotent
    }
}
