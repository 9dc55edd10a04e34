//! What can be set.

use std::time::Duration;

/// Options of a [`NatsTransport`](crate::NatsTransport). What concerns the connection is in
/// [`NatsOptions`](micro_nats::NatsOptions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How many accepted peers one port holds at most; packets of further ones are dropped and
    /// counted. 65,536.
    pub max_accepted: usize,
    /// After how long a fence that did not come back is sent again. 100 ms.
    pub fence_interval: Duration,
    /// How long after an `Undelivered` a peer from which no reply ever came is `Closed`; a reply
    /// within this time begins it anew. 100 ms.
    pub no_reply_wait: Duration,
    /// How long after our own connection was lost and is back a node may take to be back, too,
    /// before it is held to be gone. 5 s: more than go-micro's and our own clients pause between
    /// two attempts to connect.
    pub reconnect_grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_accepted: 65_536,
            fence_interval: Duration::from_millis(100),
            no_reply_wait: Duration::from_millis(100),
            reconnect_grace: Duration::from_secs(5),
        }
    }
}

impl Options {
    /// Sets [`max_accepted`](Self::max_accepted).
    #[must_use]
    pub fn with_max_accepted(mut self, peers: usize) -> Self {
        self.max_accepted = peers;
        self
    }

    /// Sets [`fence_interval`](Self::fence_interval).
    #[must_use]
    pub fn with_fence_interval(mut self, interval: Duration) -> Self {
        self.fence_interval = interval;
        self
    }

    /// Sets [`no_reply_wait`](Self::no_reply_wait).
    #[must_use]
    pub fn with_no_reply_wait(mut self, wait: Duration) -> Self {
        self.no_reply_wait = wait;
        self
    }

    /// Sets [`reconnect_grace`](Self::reconnect_grace).
    #[must_use]
    pub fn with_reconnect_grace(mut self, grace: Duration) -> Self {
        self.reconnect_grace = grace;
        self
    }
}
