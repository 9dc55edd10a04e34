//! How much time may go into what others send.

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
}
