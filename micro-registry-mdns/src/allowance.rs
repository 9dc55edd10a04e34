//! How much may be done for others: in time, and in packets.

use std::time::Duration;

use tokio::time::Instant;

/// A part of the time that passes; what is not spent is saved up to a limit.
#[derive(Clone, Debug)]
pub(crate) struct Allowance {
    /// When what was spent will have been earned.
    earned: Instant,
}

/// One in so many: a quarter of a core.
const PART: u32 = 4;
/// As much may be spent at once: more than a thousand announcements take.
const SAVED: Duration = Duration::from_millis(50);

impl Allowance {
    pub(crate) fn new(now: Instant) -> Self {
        Self { earned: now }
    }

    /// From when on there is something to spend.
    pub(crate) fn ready(&self, now: Instant) -> Instant {
        let ahead = self.earned.saturating_duration_since(now);
        now + ahead.saturating_sub(SAVED * PART)
    }

    pub(crate) fn spend(&mut self, time: Duration, now: Instant) {
        self.earned = self.earned.max(now) + time * PART;
    }
}

/// So many of something in a time.
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    most: usize,
    within: Duration,
    /// What was used since then.
    used: usize,
    since: Instant,
}

impl Rate {
    pub(crate) fn new(most: usize, within: Duration, now: Instant) -> Self {
        Self { most, within, used: 0, since: now }
    }

    /// How many are left of this time.
    pub(crate) fn left(&mut self, now: Instant) -> usize {
        if now >= self.next() {
            (self.used, self.since) = (0, now);
        }
        self.most.saturating_sub(self.used)
    }

    /// Also of more than are left: what is begun is done.
    pub(crate) fn take(&mut self, count: usize) {
        self.used = self.used.saturating_add(count);
    }

    /// When there are some again.
    pub(crate) fn next(&self) -> Instant {
        self.since + self.within
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_always_works_works_a_quarter_of_the_time() {
        let start = Instant::now();
        let (mut now, mut worked) = (start, Duration::ZERO);
        let mut allowance = Allowance::new(now);
        while now < start + Duration::from_secs(100) {
            let ready = allowance.ready(now);
            if ready > now {
                now = ready;
                continue;
            }
            let work = Duration::from_micros(700);
            worked += work;
            now += work;
            allowance.spend(work, now);
        }
        assert!(worked > Duration::from_secs(24), "{worked:?}");
        assert!(worked < Duration::from_secs(26), "{worked:?}");
    }

    #[test]
    fn so_many_are_left_of_a_time_and_all_of_the_next() {
        let start = Instant::now();
        let mut few = Rate::new(3, Duration::from_secs(1), start);
        few.take(2);
        assert_eq!(few.left(start + Duration::from_millis(999)), 1);
        few.take(2);
        assert_eq!((few.left(start), few.next()), (0, start + Duration::from_secs(1)));
        assert_eq!(few.left(few.next()), 3);
    }
}
