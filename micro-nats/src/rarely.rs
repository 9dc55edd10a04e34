//! Things that happen often and are logged once in a while.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(10);

/// Counts what happens and says when to log it: the first time, then at most every 10 s.
#[derive(Debug, Default)]
pub(crate) struct Rarely {
    count: AtomicU64,
    logged: Mutex<Option<Instant>>,
}

impl Rarely {
    /// Counts one; the count so far if it is time to log.
    pub(crate) fn count(&self) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.is_some_and(|at| at.elapsed() < PAUSE) {
            return None;
        }
        *logged = Some(Instant::now());
        Some(count)
    }

    pub(crate) fn total(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_of_many_is_logged_and_all_are_counted() {
        let rarely = Rarely::default();
        assert_eq!(rarely.count(), Some(1));
        assert_eq!(rarely.count(), None);
        assert_eq!(rarely.count(), None);
        assert_eq!(rarely.total(), 3);
    }
}
