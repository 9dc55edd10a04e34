//! How the registry behaves; every default is go-micro's where go-micro has one.

use std::time::Duration;

use micro_core::{Error, Result};

/// The options of a [`NatsRegistry`](crate::NatsRegistry).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Goes before every subject of discovery (`NAME.micro.nats.query`), so that two fleets on one
    /// NATS do not see each other. `None`: go-micro's own subjects.
    pub namespace: Option<String>,
    /// Which generations of go-micro find us and are found.
    pub generations: Generations,
    /// What an announcement says.
    pub action: RegisterAction,
    /// How long a query waits for a first answer, and how long answers are collected. 100 ms.
    pub query_limit: Duration,
    /// The least time without a further answer after which a query is done; the time is otherwise
    /// twice the longest that there was to wait for an answer, in this query or lately. 2 ms. A list
    /// of all services is not done before [`query_limit`](Self::query_limit).
    pub quiet: Duration,
    /// A query is done when it knows this many nodes of one name and version; 0: no such number.
    pub quorum: usize,
    /// How long others believe a node of ours without hearing of it; renewed three times in it.
    /// Stretched where a service has more than 200 nodes. 6 s.
    pub lease: Duration,
    /// How often a registration is announced in full. 30 s.
    pub register_interval: Duration,
    /// How long a node without a lease, such as go-micro's, is believed before it is asked. 90 s.
    pub unleased: Duration,
    /// How many nodes of others are remembered for watchers. 100,000.
    pub max_nodes: usize,
    /// How many bytes of their descriptions, as received. 256 MiB.
    pub max_bytes: usize,
    /// A larger message is dropped unread. 1 MiB.
    pub max_message: usize,
}

/// Which generations of go-micro find us and are found: they use different subjects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Generations {
    /// Both at once.
    #[default]
    Both,
    /// v2, v3 and v4: `micro.registry.nats.query` and `micro.registry.nats.watch`.
    Older,
    /// v5 and v6: `micro.nats.query` and `micro.nats.watch`.
    Newer,
}

/// What an announcement says. All mean the same to us; go-micro's cache knows no `put`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegisterAction {
    /// `create`.
    #[default]
    Create,
    /// `update`.
    Update,
    /// `put`.
    Put,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: None,
            generations: Generations::Both,
            action: RegisterAction::Create,
            query_limit: Duration::from_millis(100),
            quiet: Duration::from_millis(2),
            quorum: 0,
            lease: Duration::from_secs(6),
            register_interval: Duration::from_secs(30),
            unleased: Duration::from_secs(90),
            max_nodes: 100_000,
            max_bytes: 256 << 20,
            max_message: 1 << 20,
        }
    }
}

impl Options {
    /// Sets [`namespace`](Self::namespace).
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets [`generations`](Self::generations).
    #[must_use]
    pub fn with_generations(mut self, generations: Generations) -> Self {
        self.generations = generations;
        self
    }

    /// Sets [`action`](Self::action).
    #[must_use]
    pub fn with_action(mut self, action: RegisterAction) -> Self {
        self.action = action;
        self
    }

    /// Sets [`query_limit`](Self::query_limit).
    #[must_use]
    pub fn with_query_limit(mut self, limit: Duration) -> Self {
        self.query_limit = limit;
        self
    }

    /// Sets [`quiet`](Self::quiet).
    #[must_use]
    pub fn with_quiet(mut self, quiet: Duration) -> Self {
        self.quiet = quiet;
        self
    }

    /// Sets [`quorum`](Self::quorum).
    #[must_use]
    pub fn with_quorum(mut self, nodes: usize) -> Self {
        self.quorum = nodes;
        self
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets [`register_interval`](Self::register_interval).
    #[must_use]
    pub fn with_register_interval(mut self, interval: Duration) -> Self {
        self.register_interval = interval;
        self
    }

    /// Sets [`unleased`](Self::unleased).
    #[must_use]
    pub fn with_unleased(mut self, time: Duration) -> Self {
        self.unleased = time;
        self
    }

    /// Sets [`max_nodes`](Self::max_nodes).
    #[must_use]
    pub fn with_max_nodes(mut self, nodes: usize) -> Self {
        self.max_nodes = nodes;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets [`max_message`](Self::max_message).
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Whether the times can be kept: timers finer than 10 ms would only burn the processor, and
    /// longer than a year would overflow the clock.
    pub(crate) fn check(&self) -> Result<()> {
        let year = Duration::from_secs(365 * 24 * 3600);
        let times = [
            ("query_limit", self.query_limit, Duration::from_millis(1)),
            ("quiet", self.quiet, Duration::ZERO),
            ("lease", self.lease, Duration::from_millis(10)),
            ("register_interval", self.register_interval, Duration::from_millis(10)),
            ("unleased", self.unleased, Duration::from_millis(10)),
        ];
        for (name, time, least) in times {
            if time < least || time > year {
                return Err(Error::invalid_input(format!(
                    "registry option {name} is {time:?}, but must be from {least:?} to a year"
                )));
            }
        }
        Ok(())
    }
}

impl RegisterAction {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Put => "put",
        }
    }
}
