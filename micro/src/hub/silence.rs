//! How long a peer has been silent while calls wait, and when to ask whether it lives.

use std::time::Duration;

use tokio::time::Instant;

/// A peer that was silent for so long is asked, however near it is.
const SHORTEST: Duration = Duration::from_millis(100);
/// Where calls take long, it is asked a hundred times in the time that they have taken so far…
const OFTEN: u32 = 100;
/// … but at least so often: so much later than usual is its death known then. go-micro forgets a
/// socket that was silent for 60 s, with all that runs on it.
const LONGEST: Duration = Duration::from_secs(1);
/// Where many peers are silent at once, one is asked in this time.
const PACE: Duration = Duration::from_millis(10);

/// How long a peer has been silent while calls wait for it.
pub(super) struct Silence {
    /// Since when no call was answered, while there is one that waits.
    waits_since: Instant,
    /// When it was last heard or asked.
    since: Instant,
    /// How much longer it may be silent.
    interval: Duration,
    /// About the shortest time from a call to its answer.
    round_trip: Duration,
}

impl Silence {
    pub(super) fn new(now: Instant) -> Self {
        Self { waits_since: now, since: now, interval: SHORTEST, round_trip: Duration::ZERO }
    }

    /// Nothing was waited for until now.
    pub(super) fn begin(&mut self, now: Instant) {
        self.waits_since = now;
        self.since = now;
        self.interval = self.shortest();
    }

    /// It said something.
    pub(super) fn heard(&mut self, now: Instant) {
        self.since = now;
    }

    /// It answered a call that was made so long ago.
    pub(super) fn answered(&mut self, now: Instant, after: Duration) {
        if self.round_trip.is_zero() || after < self.round_trip {
            self.round_trip = after;
        } else {
            // The way may have become longer; a slow handler is not the way.
            self.round_trip += (after - self.round_trip).min(self.round_trip) / 64;
        }
        self.waits_since = now;
        self.interval = self.shortest();
    }

    /// When it is to be asked.
    pub(super) fn due(&self) -> Instant {
        self.since + self.interval
    }

    /// It is asked now, one of so many that calls wait for.
    pub(super) fn asked(&mut self, now: Instant, peers: usize) {
        let waited = now.saturating_duration_since(self.waits_since);
        let crowd = PACE.saturating_mul(u32::try_from(peers).unwrap_or(u32::MAX));
        self.since = now;
        self.interval = self.shortest().max((waited / OFTEN).min(LONGEST)).max(crowd);
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
    fn a_near_peer_is_asked_after_the_shortest_time_and_more_rarely_the_longer_calls_take() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.answered(start, MS);
        assert_eq!(silence.due(), start + SHORTEST);
        for (waited, interval) in [(100, 100), (9_000, 100), (30_000, 300), (500_000, 1_000)] {
            silence.asked(start + waited * MS, 1);
            assert_eq!(silence.due(), start + (waited + interval) * MS);
        }
        silence.answered(start + 500_000 * MS, MS);
        assert_eq!(silence.interval, SHORTEST);
    }

    #[test]
    fn of_many_peers_one_is_asked_each_time() {
        let start = Instant::now();
        let mut silence = Silence::new(start);
        silence.asked(start, 10);
        assert_eq!(silence.due(), start + SHORTEST);
        silence.asked(start, 1_000);
        assert_eq!(silence.due(), start + 1_000 * PACE);
    }

    #[test]
    fn a_far_peer_is_given_four_times_its_way_and_slow_handlers_are_no_way() {
        let start = Instant::now();
        let mut far = Silence::new(start);
        far.answered(start, 50 * MS);
        assert_eq!(far.due(), start + 200 * MS);
        let mut farther = Silence::new(start);
        farther.answered(start, 2000 * MS);
        assert_eq!(farther.due(), start + LONGEST);
        let mut slow = Silence::new(start);
        for _ in 0..20 {
            slow.answered(start, MS);
            slow.answered(start, 2000 * MS);
        }
        assert_eq!(slow.due(), start + SHORTEST);
    }
}
