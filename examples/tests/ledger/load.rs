//! Calls without a pause, and what became of each.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::{Client, Error, ErrorKind, RequestState};
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// For what must come sooner or later, also on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// Loops that call one after the other; each entry is unique.
pub(crate) struct Load {
    loops: JoinSet<()>,
    stop: Arc<AtomicBool>,
    told: Arc<Mutex<Vec<Told>>>,
    /// The processes that answered.
    answered: Arc<Mutex<HashSet<u32>>>,
}

/// How a call may be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// If it was not sent.
    Plain,
    /// Never: what was not sent is told.
    Once,
    Idempotent,
}

/// What became of a call.
pub(crate) struct Told {
    pub(crate) entry: String,
    pub(crate) kind: Kind,
    pub(crate) began: Instant,
    pub(crate) ended: Instant,
    pub(crate) error: Option<Error>,
}

impl Load {
    /// One loop for each of these; a handler works for one of these times.
    pub(crate) fn start(client: &Client, loops: &[(usize, Kind)], work: &[u64]) -> Self {
        let (stop, told, answered) = Default::default();
        let mut load = Self { loops: JoinSet::new(), stop, told, answered };
        let kinds = loops.iter().flat_map(|&(count, kind)| std::iter::repeat_n(kind, count));
        for (number, kind) in kinds.enumerate() {
            let (stop, told) = (load.stop.clone(), load.told.clone());
            let (client, answered) = (client.clone(), load.answered.clone());
            let work = work[number % work.len()];
            load.loops.spawn(async move {
                for call in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let entry = format!("{number}-{call}");
                    let request = json!({ "entry": entry, "work_ms": work });
                    let mut calling = client.call::<_, u32>("ledger", "Ledger.Write", &request);
                    match kind {
                        Kind::Plain => {}
                        Kind::Once => calling = calling.retries(0),
                        Kind::Idempotent => calling = calling.idempotent(),
                    }
                    let began = Instant::now();
                    let reply = calling.timeout(LIMIT).await;
                    let ended = Instant::now();
                    let error = match reply {
                        Ok(pid) => {
                            answered.lock().unwrap().insert(pid);
                            None
                        }
                        Err(error) => Some(error),
                    };
                    let lost = error.is_some();
                    told.lock().unwrap().push(Told { entry, kind, began, ended, error });
                    if lost {
                        // One that found nobody at all would find nobody a thousand times.
                        sleep(Duration::from_millis(10)).await;
                    }
                }
            });
        }
        load
    }

    /// Returns when this process has answered a call.
    pub(crate) async fn answered_by(&self, pid: u32) {
        let answered = async {
            while !self.answered.lock().unwrap().contains(&pid) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, answered).await.expect("a node is not called");
    }

    /// Returns when so many more calls were answered.
    pub(crate) async fn goes_on(&self, calls: usize) {
        let before = self.told.lock().unwrap().len();
        let more = async {
            while self.told.lock().unwrap().len() < before + calls {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, more).await.expect("no call is answered");
    }

    /// Ends it when all that was called has ended.
    pub(crate) async fn end(mut self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = async { while self.loops.join_next().await.transpose().unwrap().is_some() {} };
        timeout(LIMIT + LIMIT / 4, ended).await.expect("a call hangs");
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

/// Holds what the callers were told against what was written: what was not sent did not run, what
/// was answered ran, what is unknown may have, and nothing that is not idempotent ran twice.
pub(crate) fn was_the_truth(told: &[Told], written: &HashMap<String, usize>) {
    for Told { entry, kind, error, .. } in told {
        let runs = written.get(entry).copied().unwrap_or(0);
        let Some(error) = error else {
            let again = *kind == Kind::Idempotent && runs > 1;
            assert!(runs == 1 || again, "{entry} ran {runs} times");
            continue;
        };
        assert_ne!(*kind, Kind::Idempotent, "a call failed: {error:?}");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{entry}: {error:?}");
        match error.request() {
            Some(RequestState::NotSent) => assert_eq!(runs, 0, "{entry} ran: {error:?}"),
            Some(RequestState::Unknown) => assert!(runs <= 1, "{entry} ran {runs} times"),
            _ => panic!("{entry} ran {runs} times: {error:?}"),
        }
    }
}
