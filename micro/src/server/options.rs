//! How a server answers.

use std::time::Duration;

use micro_core::wire::Limits;

use crate::stream::StreamLimits;

/// How a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerOptions {
    /// How many calls are served at once; more are refused as `Overloaded`. 10,000.
    pub max_calls: usize,
    /// How many callers are known at once; more are refused as `Overloaded`. 10,000.
    pub max_callers: usize,
    /// How many calls of one caller are open at once, and how many bytes of replies wait for being
    /// sent to it; more calls are refused as `Overloaded`. 65,536 calls and 64 MiB.
    pub caller_limits: Limits,
    /// How long a caller that is silent is remembered; 60 s, as in go-micro.
    pub caller_idle: Duration,
    /// How large the body of a call may be, in bytes; larger ones are refused as `TooLarge`. What
    /// the transport carries is a limit too. 64 MiB.
    pub max_body: usize,
    /// How many events of one subscription are handled at once, unless
    /// [it says so itself](super::SubscriberOptions); more wait. 64.
    pub max_events: usize,
    /// How many streams are open at once; more are refused as `Overloaded`. 10,000.
    pub max_streams: usize,
    /// How much of a stream is held for a handler that reads it.
    pub stream_limits: StreamLimits,
    /// How long a stream's caller may say nothing, not even that it lives, while nothing is sent to
    /// it; then the stream ends as `Timeout`. Callers of ours say so every 25 s at the latest, those
    /// of go-micro never: one that has died is known only when something is sent to it. 1 hour;
    /// `None`: for ever.
    pub stream_idle: Option<Duration>,
    /// How long streams go on once the service [stops](crate::Running::stop): some have no end of
    /// their own. Then their callers are told `Unavailable`. 5 s, and less than the time to stop.
    pub stream_grace: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            max_calls: 10_000,
            max_callers: 10_000,
            caller_limits: Limits::default(),
            caller_idle: Duration::from_secs(60),
            max_body: 64 << 20,
            max_events: 64,
            max_streams: 10_000,
            stream_limits: StreamLimits::default(),
            stream_idle: Some(Duration::from_secs(60 * 60)),
            stream_grace: Duration::from_secs(5),
        }
    }
}

impl ServerOptions {
    /// Sets [`max_calls`](Self::max_calls).
    #[must_use]
    pub fn with_max_calls(mut self, calls: usize) -> Self {
        self.max_calls = calls;
        self
    }

    /// Sets [`max_callers`](Self::max_callers).
    #[must_use]
    pub fn with_max_callers(mut self, callers: usize) -> Self {
        self.max_callers = callers;
        self
    }

    /// Sets [`caller_limits`](Self::caller_limits).
    #[must_use]
    pub fn with_caller_limits(mut self, limits: Limits) -> Self {
        self.caller_limits = limits;
        self
    }

    /// Sets [`caller_idle`](Self::caller_idle).
    #[must_use]
    pub fn with_caller_idle(mut self, idle: Duration) -> Self {
        self.caller_idle = idle;
        self
    }

    /// Sets [`max_body`](Self::max_body).
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// Sets [`max_streams`](Self::max_streams).
    #[must_use]
    pub fn with_max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
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
    pub fn with_stream_idle(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.stream_idle = idle.into();
        self
    }

    /// Sets [`stream_grace`](Self::stream_grace).
    #[must_use]
    pub fn with_stream_grace(mut self, grace: Duration) -> Self {
        self.stream_grace = grace;
        self
    }
}

/// How the events of one topic are received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscriberOptions {
    /// The queue that it is a member of: one member gets each event. Without one, every
    /// subscriber gets each.
    pub queue: Option<String>,
    /// How many events are handled at once; the server's
    /// [`max_events`](ServerOptions::max_events) by default.
    pub max_events: Option<usize>,
}

impl SubscriberOptions {
    /// Sets [`queue`](Self::queue).
    #[must_use]
    pub fn with_queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = Some(events);
        self
    }

    /// One event after the other, in the order in which they arrive: the next is handled when
    /// the handler is done with the one before.
    #[must_use]
    pub fn in_order(self) -> Self {
        self.with_max_events(1)
    }
}
