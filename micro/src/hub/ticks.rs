//! One timer for all sessions of a port, instead of one for each call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock::NEVER;

/// When the sessions of a port are to be looked at again: the earliest of what they wait for.
pub(crate) struct Ticks {
    start: Instant,
    /// In microseconds after `start`.
    next: AtomicU64,
    /// Whoever waits for the [`Timer`].
    waits: AtomicWaker,
}

/// The one timer.
pub(crate) struct Timer {
    ticks: Arc<Ticks>,
    sleep: Pin<Box<Sleep>>,
    /// For which of the ticks it is set.
    set: u64,
    /// It rests until then.
    earliest: Instant,
}

const NONE: u64 = u64::MAX;

impl Default for Ticks {
    fn default() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(NONE), waits: AtomicWaker::new() }
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
            self.waits.wake();
        }
    }

    /// Of what is said from here on, the earliest counts: whoever looks begins so, and then says
    /// for all that it sees when it is to be looked at again.
    pub(crate) fn begin(&self) {
        self.next.store(NONE, Ordering::Release);
    }

    pub(crate) fn timer(self: &Arc<Self>) -> Timer {
        let (sleep, earliest) = (Box::pin(sleep_until(self.start)), self.start);
        Timer { ticks: self.clone(), sleep, set: NONE, earliest }
    }

    fn micros(&self, when: Instant) -> u64 {
        // Rounded up, so that nobody looks too early.
        let micros = when.saturating_duration_since(self.start).as_nanos().div_ceil(1000);
        u64::try_from(micros).unwrap_or(NONE - 1).min(NONE - 1)
    }
}

impl Timer {
    /// Is not ready before that.
    pub(crate) fn rest(&mut self, until: Instant) {
        self.earliest = until;
        self.set = NONE;
    }

    /// Ready when something is to be looked at.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // Before looking: what is said after that wakes.
        self.ticks.waits.register(cx.waker());
        let next = self.ticks.next.load(Ordering::Acquire);
        if next == NONE {
            return Poll::Pending;
        }
        if next != self.set {
            let when = self.ticks.start + Duration::from_micros(next).min(NEVER);
            self.sleep.as_mut().reset(when.max(self.earliest));
            self.set = next;
        }
        self.sleep.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    async fn due(ticks: &Arc<Ticks>) {
        let mut timer = ticks.timer();
        poll_fn(|cx| timer.poll(cx)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_counts_also_when_it_is_said_last() {
        let ticks = Arc::<Ticks>::default();
        let start = Instant::now();
        ticks.at(start + Duration::from_secs(2));
        ticks.at(start + Duration::from_secs(3));
        let sooner = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            ticks.at(start + Duration::from_secs(1));
        };
        tokio::join!(due(&ticks), sooner);
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_forgotten_that_is_said_while_others_look() {
        let ticks = Arc::<Ticks>::default();
        let start = Instant::now();
        ticks.at(start);
        due(&ticks).await;
        ticks.begin();
        ticks.at(start + Duration::from_millis(7));
        due(&ticks).await;
        assert_eq!(start.elapsed().as_millis(), 7);
    }
}
