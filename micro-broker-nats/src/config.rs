//! What can be set.

/// Options of a [`NatsBroker`](crate::NatsBroker). What concerns the connection is in
/// [`NatsOptions`](micro_nats::NatsOptions).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Goes before every topic on the wire (`NAME.orders.paid`), so that two fleets on one NATS
    /// do not hear each other. `None`: the topic is the subject, as in go-micro.
    pub namespace: Option<String>,
    /// How many events a subscription holds that nobody has read yet; further ones are lost and
    /// counted. 65,536.
    pub max_events: usize,
    /// How many bytes they may have, as they came. 64 MiB.
    pub max_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { namespace: None, max_events: 65_536, max_bytes: 64 << 20 }
    }
}

impl Options {
    /// Sets [`namespace`](Self::namespace).
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Sets [`max_events`](Self::max_events).
    #[must_use]
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events;
        self
    }

    /// Sets [`max_bytes`](Self::max_bytes).
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
}
