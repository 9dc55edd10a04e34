//! How a client calls, and how one call differs.

use std::borrow::Cow;
use std::time::Duration;

use micro_core::Header;
use micro_core::wire::Limits;

use super::filter::Filter;
use super::select::Strategy;
use crate::stream::StreamLimits;

/// How a client calls.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientOptions {
    /// How long a call may take; 30 s, as in go-micro.
    pub request_timeout: Duration,
    /// How long one attempt of an idempotent call may take; by default a third of the call's time,
    /// at most 1 s; the last attempt has all the time that is left. A call that is not
    /// idempotent has one attempt, as long as the call.
    pub attempt_timeout: Option<Duration>,
    /// How often a call is tried again, where that is safe; 5, as in go-micro. A node at which
    /// nobody listens counts only the second time, unless this is 0.
    pub retries: usize,
    /// How long a call waits for the network to be there; 5 s, never beyond its own time.
    pub connect_wait: Duration,
    /// Which of several nodes is called.
    pub strategy: Strategy,
    /// How many calls wait for one node at once, and how many bytes for being sent to it; more are
    /// refused as `Overloaded`, not sent. 65,536 calls and 64 MiB.
    pub node_limits: Limits,
    /// How many services are watched at once; of more, the one that was not called for longest is
    /// forgotten and found anew when it is. 1,000.
    pub max_services: usize,
    /// Only nodes that pass are called; all of them by default.
    pub filter: Option<Filter>,
    /// Nodes whose metadata has this `zone` are called first; the client of a service has the
    /// service's own `zone` metadata.
    pub zone: Option<String>,
    /// How much of a stream is held for whoever reads it.
    pub stream_limits: StreamLimits,
    /// How long a stream may be without a message, either way, unless it says so itself; then it
    /// ends as `Timeout`. No limit by default.
    pub stream_idle: Option<Duration>,
    /// After so long a silence of either side the service of a stream is asked whether it lives.
    /// 25 s, and at most that, whatever is set: go-micro forgets a socket that was silent for 60 s,
    /// and our servers a caller that has asked and does so no more.
    pub stream_keepalive: Duration,
}

/// The longest, and usual, time after which the service of a stream is asked whether it lives.
const KEEPALIVE: Duration = Duration::from_secs(25);

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            attempt_timeout: None,
            retries: 5,
            connect_wait: Duration::from_secs(5),
            strategy: Strategy::default(),
            node_limits: Limits::default(),
            max_services: 1_000,
            filter: None,
            zone: None,
            stream_limits: StreamLimits::default(),
            stream_idle: None,
            stream_keepalive: KEEPALIVE,
        }
    }
}

impl ClientOptions {
    /// Sets [`request_timeout`](Self::request_timeout).
    #[must_use]
    pub fn with_request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Sets [`attempt_timeout`](Self::attempt_timeout).
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets [`retries`](Self::retries).
    #[must_use]
    pub fn with_retries(mut self, retries: usize) -> Self {
        self.retries = retries;
        self
    }

    /// Sets [`connect_wait`](Self::connect_wait).
    #[must_use]
    pub fn with_connect_wait(mut self, wait: Duration) -> Self {
        self.connect_wait = wait;
        self
    }

    /// Sets [`strategy`](Self::strategy).
    #[must_use]
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Sets [`node_limits`](Self::node_limits).
    #[must_use]
    pub fn with_node_limits(mut self, limits: Limits) -> Self {
        self.node_limits = limits;
        self
    }

    /// Sets [`max_services`](Self::max_services).
    #[must_use]
    pub fn with_max_services(mut self, services: usize) -> Self {
        self.max_services = services;
        self
    }

    /// Sets [`filter`](Self::filter).
    #[must_use]
    pub fn with_filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Sets [`zone`](Self::zone).
    #[must_use]
    pub fn with_zone(mut self, zone: impl Into<String>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// Sets [`stream_limits`](Self::stream_limits).
    #[must_use]
    pub fn with_stream_limits(mut self, limits: StreamLimits) -> Self {
        self.stream_limits = limits;
        self
    }

    /// Sets [`stream_idle`](Self::stream_idle).
    #[must_use]
    pub fn with_stream_idle(mut self, idle: Duration) -> Self {
        self.stream_idle = Some(idle);
        self
    }

    /// Sets [`stream_keepalive`](Self::stream_keepalive).
    #[must_use]
    pub fn with_stream_keepalive(mut self, interval: Duration) -> Self {
        self.stream_keepalive = interval;
        self
    }

    pub(super) fn keepalive(&self) -> Duration {
        self.stream_keepalive.clamp(Duration::from_millis(1), KEEPALIVE)
    }
}

/// What one call says for itself.
#[derive(Debug)]
pub(super) struct CallOptions {
    pub(super) timeout: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) retries: Option<usize>,
    pub(super) idempotent: bool,
    pub(super) address: Option<String>,
    pub(super) filter: Option<Filter>,
    pub(super) content_type: Cow<'static, str>,
    pub(super) metadata: Header,
}

impl CallOptions {
    pub(super) fn new(content_type: &'static str) -> Self {
        Self {
            timeout: None,
            attempt_timeout: None,
            retries: None,
            idempotent: false,
            address: None,
            filter: None,
            content_type: content_type.into(),
            metadata: Header::new(),
        }
    }
}
