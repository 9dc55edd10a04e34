//! Things that happen often and are logged once in a while.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing is logged after something was.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts what happens and says when to log it: the first time, then at most every 10 s. For what
/// whoever is outside could make happen as often as they like.
///
/// ```
/// # use micro_core::LogThrottle;
/// let garbage = LogThrottle::default();
/// assert_eq!(garbage.count(), Some(1));
/// assert_eq!(garbage.count(), None);
/// assert_eq!(garbage.total(), 2);
/// ```
#[derive(Debug, Default)]
pub struct LogThrottle {
    count: AtomicU64,
    logged: Mutex<Option<Instant>>,
}

impl LogThrottle {
    /// Counts one; the count so far if it is time to log.
    pub fn count(&self) -> Option<u64> {
        self.count_many(1)
    }

    /// Counts several at once; the count so far if it is time to log. None at all is never.
    pub fn count_many(&self, several: u64) -> Option<u64> {
        if several == 0 {
            return None;
        }
        let count = self.count.fetch_add(several, Ordering::Relaxed) + several;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *logged = Some(Instant::now());
        Some(count)
    }

    /// The count so far.
    pub fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}
