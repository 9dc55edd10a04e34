//! One timer for all sessions of a port, instead of one for each call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::NEVER;

/// When the sessions of a port are to be looked at again: the earliest of what they wait for.
pub(crate) struct Ticks {
    start: Instant,
    /// In microseconds after `start`.
    next: AtomicU64,
    sooner: Notify,
}

impl Default for Ticks {
    fn default() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(u64::MAX), sooner: Notify::new() }
    }
}

impl Ticks {
    /// Something is to be looked at then.
    pub(crate) fn at(&self, when: Instant) {
        let when = self.micros(when);
        // Usually there is an earlier one already.
        if when < self.next.load(Ordering::Acquire)
            && when < self.next.fetch_min(when, Ordering::AcqRel)
        {
            self.sooner.notify_one();
        }
    }

    /// Returns when something is to be looked at, but not before `earliest`. Whoever looks first
    /// [begins](Self::begin), and then says for all that it saw when it is to be looked at again.
    /// Cancel safe.
    pub(crate) async fn next(&self, earliest: Instant) {
        loop {
            let next = self.next.load(Ordering::Acquire);
            let when = (self.start + Duration::from_micros(next).min(NEVER)).max(earliest);
            tokio::select! {
                biased;
                () = sleep_until(when), if next != u64::MAX => return,
                () = self.sooner.notified() => {}
            }
        }
    }

    /// From here on what is said counts for the next time.
    pub(crate) fn begin(&self) {
        self.next.store(u64::MAX, Ordering::Release);
    }

    fn micros(&self, when: Instant) -> u64 {
        // Rounded up, so that nobody looks too early.
        let micros = when.saturating_duration_since(self.start).as_nanos().div_ceil(1000);
        u64::try_from(micros).unwrap_or(u64::MAX - 1).min(u64::MAX - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_earliest_counts_also_when_it_is_said_last() {
        let ticks = Ticks::default();
        let start = Instant::now();
        ticks.at(start + Duration::from_secs(2));
        ticks.at(start + Duration::from_secs(3));
        let sooner = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ticks.at(start + Duration::from_secs(1));
        };
        tokio::join!(ticks.next(start), sooner);
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forgotten_that_is_said_while_others_look() {
        let ticks = Ticks::default();
        let start = Instant::now();
        ticks.at(start);
        ticks.next(start).await;
        ticks.begin();
        ticks.at(start + Duration::from_millis(7));
        ticks.next(start).await;
        assert_eq!(start.elapsed().as_millis(), 7);
        ticks.next(start + Duration::from_millis(9)).await;
        assert_eq!(start.elapsed().as_millis(), 9);
    }
}
