//! What arrived and was no packet: counted, and told once in a while.

use std::sync::atomic::{AtomicU64, Ordering};

use micro_core::LogThrottle;

/// How many messages a transport's ports dropped, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// Without a reply subject: nobody could be answered.
    pub no_reply: u64,
    /// With a reply subject that must never be answered: a registry's, the NATS server's, one of
    /// our own addresses, or no subject at all.
    pub bad_reply: u64,
    /// From new peers, beyond [`max_accepted`](crate::Options::max_accepted).
    pub too_many_peers: u64,
    /// To a return address that nobody holds any more.
    pub unknown_peer: u64,
    /// To the return address of an accepted peer, to which nobody sends anything but empty
    /// messages, which ask whether we are there.
    pub unsolicited: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.no_reply + self.bad_reply + self.too_many_peers + self.unknown_peer + self.unsolicited
    }
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reason {
    NoReply,
    BadReply,
    TooManyPeers,
    UnknownPeer,
    Unsolicited,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    counts: [AtomicU64; 5],
    warnings: LogThrottle,
}

impl Counters {
    pub(crate) fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Ordering::Relaxed);
        // A late reply to a peer that was closed is everyday life.
        if !matches!(reason, Reason::UnknownPeer) {
            self.warn(reason);
        }
    }

    pub(crate) fn dropped(&self) -> Dropped {
        let count = |reason: Reason| self.counts[reason as usize].load(Ordering::Relaxed);
        Dropped {
            no_reply: count(Reason::NoReply),
            bad_reply: count(Reason::BadReply),
            too_many_peers: count(Reason::TooManyPeers),
            unknown_peer: count(Reason::UnknownPeer),
            unsolicited: count(Reason::Unsolicited),
        }
    }

    fn warn(&self, reason: Reason) {
        if self.warnings.count().is_none() {
            return;
        }
        tracing::warn!(?reason, dropped = ?self.dropped(), "messages that are no packets were dropped");
    }
}
