//! Connections that were closed because of the other side: counted, and told once in a while.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use micro_core::{Error, ErrorKind, LogThrottle};

/// How many connections a transport's ports closed because of what the other side did, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// They began with something else than a greeting, or TLS was not agreed on.
    pub strangers: u64,
    /// Beyond [`max_connections`](crate::Options::max_connections).
    pub too_many: u64,
    /// Without a first packet in time, or the oldest such beyond
    /// [`max_half_open`](crate::Options::max_half_open).
    pub half_open: u64,
    /// They sent a frame longer than [`max_packet`](crate::Options::max_packet).
    pub too_long: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.strangers + self.too_many + self.half_open + self.too_long
    }
}

/// Why a connection was closed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    Stranger,
    TooMany,
    HalfOpen,
    TooLong,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; 4],
    warnings: LogThrottle,
    accept_failures: LogThrottle,
    misunderstandings: LogThrottle,
}

impl Counters {
    pub(crate) fn count(&self, reason: Reason, remote: &str, why: &dyn fmt::Display) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        if self.warnings.count().is_some() {
            let dropped = self.dropped();
            tracing::warn!(?reason, remote, %why, ?dropped, "a connection was dropped");
        }
    }

    /// No connection could be taken.
    pub(crate) fn accept_failed(&self, error: &std::io::Error) {
        if let Some(failures) = self.accept_failures.count() {
            tracing::error!(%error, failures, "no connection can be accepted; trying on");
        }
    }

    /// A dial ended. That nobody is there is everyday life; what somebody has to put right is not.
    pub(crate) fn not_reached(&self, remote: &str, packets: u64, error: &Error) {
        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout) {
            tracing::debug!(remote, packets, %error, "nobody was reached");
        } else if let Some(failures) = self.misunderstandings.count() {
            tracing::warn!(remote, packets, %error, failures, "somebody is there and of no use");
        }
    }

    pub(crate) fn dropped(&self) -> Dropped {
        let count = |reason: Reason| self.counts[reason as usize].load(Ordering::Relaxed);
        Dropped {
            strangers: count(Reason::Stranger),
            too_many: count(Reason::TooMany),
            half_open: count(Reason::HalfOpen),
            too_long: count(Reason::TooLong),
        }
    }
}
