//! Fences: messages to ourselves behind which everything before them has been dealt with.
//!
//! NATS handles what one connection publishes in order, and answers "nobody listens" on the same
//! connection. So when a message that we publish to ourselves arrives, the server has handled
//! every packet before it, and every "nobody listens" that it caused has arrived before. Fences
//! are numbered; one that returns stands for all earlier ones. Each also carries the number of the
//! connection that it was meant for, so that what arrives behind it is known not to be older.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_nats::Nats;
use micro_nats::async_nats::{Statistics, Subject};

/// More often would be a flood, more rarely a wait without an end.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(60);

/// The fences of one port.
#[derive(Debug)]
pub(crate) struct Fences {
    /// `f<secret>-`: those who know our return addresses cannot forge what is behind it.
    marker: String,
    /// `<inbox>.`
    inbox: String,
    interval: Duration,
    statistics: Arc<Statistics>,
    started: Instant,
    sent: AtomicU64,
    /// When the last one was sent, in milliseconds after `started`.
    sent_at: AtomicU64,
    returned: AtomicU64,
    /// The latest connection over which one came back for sure.
    returned_over: AtomicU64,
    wanted: AtomicBool,
}

impl Fences {
    pub(crate) fn new(
        inbox: &str,
        secret: &str,
        interval: Duration,
        statistics: Arc<Statistics>,
    ) -> Self {
        Self {
            marker: format!("f{secret}-"),
            inbox: inbox.to_owned(),
            interval: interval.clamp(SHORTEST, LONGEST),
            statistics,
            started: Instant::now(),
            sent: AtomicU64::new(0),
            sent_at: AtomicU64::new(0),
            returned: AtomicU64::new(0),
            returned_over: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
        }
    }

    /// Which connection to the server this is, counted by the NATS client itself before it uses
    /// a new one: whoever reads the same number before a send and after an answer knows that no
    /// other connection was between.
    pub(crate) fn epoch(&self) -> u64 {
        self.statistics.connects.load(Ordering::SeqCst)
    }

    /// What is read now among the messages to ourselves came over this connection or a later one.
    pub(crate) fn returned_over(&self) -> u64 {
        self.returned_over.load(Ordering::SeqCst)
    }

    /// When one that has not come back is sent again.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// The first fence that is sure to stand behind what was published before this call.
    pub(crate) fn next(&self) -> u64 {
        self.sent.load(Ordering::SeqCst) + 1
    }

    /// The last fence that came back.
    pub(crate) fn returned(&self) -> u64 {
        self.returned.load(Ordering::SeqCst)
    }

    /// Sends one. If it is not taken now, nothing is lost but time.
    pub(crate) fn send(&self, nats: &Nats) {
        // The number is taken before the message goes: `next` counts on it.
        let number = self.sent.fetch_add(1, Ordering::SeqCst) + 1;
        self.sent_at.store(self.now(), Ordering::SeqCst);
        let (inbox, marker, epoch) = (&self.inbox, &self.marker, self.epoch());
        let subject = Subject::from(format!("{inbox}{marker}{epoch}-{number}"));
        let _ = nats.try_publish(subject, None, Bytes::new());
    }

    /// Has one sent soon: now, or by whoever receives the one that is on its way. So a crowd of
    /// new peers costs one fence a round trip.
    pub(crate) fn want(&self, nats: &Nats) {
        let on_its_way = self.returned() < self.sent.load(Ordering::SeqCst);
        if on_its_way && self.age() < self.interval {
            self.wanted.store(true, Ordering::SeqCst);
        } else {
            self.send(nats);
        }
    }

    /// How long ago the last one was sent.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.sent_at.load(Ordering::SeqCst)))
    }

    /// Notes a fence that came back, named by the last part of its subject; false if it is none.
    pub(crate) fn on_token(&self, token: &str, nats: &Nats) -> bool {
        let Some((epoch, number)) = token
            .strip_prefix(&self.marker)
            .and_then(|numbers| numbers.split_once('-'))
            .and_then(|(epoch, number)| Some((epoch.parse().ok()?, number.parse().ok()?)))
        else {
            return false;
        };
        self.returned_over.fetch_max(epoch, Ordering::SeqCst);
        self.returned.fetch_max(number, Ordering::SeqCst);
        if self.wanted.swap(false, Ordering::SeqCst) {
            self.send(nats);
        }
        true
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
