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
}

impl Default for Options {
    fn default() -> Self {
        Self { max_accepted: 65_536, fence_interval: Duration::from_millis(100) }
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
}
