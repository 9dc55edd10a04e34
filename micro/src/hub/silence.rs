//! How long a peer has been silent while calls wait, and when to ask whether it lives.

use std::time::Duration;

use tokio::time::Instant;

/// A peer that was silent for so long is asked, however near it is.
const SHORTEST: Duration = Duration::from_millis(100);
/// A peer with calls that take long is asked at growing intervals, up to this: so much later than
/// usual is its death known then. go-micro forgets a socket that was silent for 60 s, with all that
/// runs on it.
const LONGEST: Duration = Duration::from_secs(1);

/// How long a peer has been silent while calls wait for it.
pub(super) struct Silence {
    /// When it was last heard, or the first of the calls that wait was made.
    since: Instant,
    /// How much longer it may be silent.
    interval: Duration,
    /// About the shortest time from a call to its answer.
    round_trip: Duration,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, interval: SHORTEST, round_trip: Duration::ZERO }
    }

    /// Nothing was waited for until now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = now;
        self.interval = self.shortest();
    }

    /// It said something.
    pub(super) fn heard(&mut self, now: Instant) {
        self.since = now;
    }

    /// It answered a call that was made so long ago.
    pub(super) fn answered(&mut self, after: Duration) {
        if self.round_trip.is_zero() || after < self.round_trip {
            self.round_trip = after;
        } else {
            // The way may have become longer; a slow handler is not the way.
            self.round_trip += (after - self.round_trip).min(self.round_trip) / 64;
        }
        self.interval = self.shortest();
    }

    /// When it is to be asked.
    pub(super) fn due(&self) -> Instant {
        self.since + self.interval
    }

    /// It is asked now; the next time only after twice as long.
    pub(super) fn asked(&mut self, now: Instant) {
        self.since = now;
        self.interval = (self.interval * 2).min(LONGEST);
    }

    fn shortest(&self) -> Duration {
        (self.round_trip * 4).clamp(SHORTEST, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_near_peer_is_asked_after_the_shortest_time_and_then_ever_more_rarely() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.answered(MS);
        silence.heard(start + MS);
        assert_eq!(silence.due(), start + MS + SHORTEST);
        let mut last = SHORTEST;
        for _ in 0..10 {
            let now = silence.due();
            silence.asked(now);
            assert_eq!(silence.due() - now, (last * 2).min(LONGEST));
            last = silence.due() - now;
        }
        silence.answered(MS);
        assert_eq!(silence.interval, SHORTEST);
    }

    #[test]
    fn a_far_peer_is_given_four_times_its_way_and_slow_handlers_are_no_way() {
        let start = Instant::now();
        let mut far = Silence::new(start);
        far.answered(50 * MS);
        assert_eq!(far.due(), start + 200 * MS);
        let mut farther = Silence::new(start);
        farther.answered(2000 * MS);
        assert_eq!(farther.due(), start + LONGEST);
        let mut slow = Silence::new(start);
        for _ in 0..20 {
            slow.answered(MS);
            slow.answered(2000 * MS);
        }
        assert_eq!(slow.due(), start + SHORTEST);
    }
}
