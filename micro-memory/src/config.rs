//! Capacities.

/// How much a world holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// The nodes that can be registered at once; 65,536.
    pub max_nodes: usize,
    /// The packets that wait for one port's receiver before `try_send` is `Full`; 4,096.
    pub port_packets: usize,
    /// The bytes of those packets, but for a single one that is larger; 64 MiB.
    pub port_bytes: usize,
    /// The largest packet in bytes; 1 GiB.
    pub max_packet: usize,
    /// The events that wait for one subscriber before it loses some; 4,096.
    pub subscription_events: usize,
    /// The bytes of the bodies of those events, but for a single one that is larger; 64 MiB.
    pub subscription_bytes: usize,
    /// The largest body of an event in bytes; 1 GiB.
    pub max_body: usize,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            max_nodes: 65_536,
            port_packets: 4_096,
            port_bytes: 64 << 20,
            max_packet: 1 << 30,
            subscription_events: 4_096,
            subscription_bytes: 64 << 20,
            max_body: 1 << 30,
        }
    }
}

impl MemoryOptions {
    /// Sets [`max_nodes`](Self::max_nodes).
    #[must_use]
    pub fn with_max_nodes(mut self, nodes: usize) -> Self {
        self.max_nodes = nodes;
        self
    }

    /// Sets [`port_packets`](Self::port_packets); at least one.
    #[must_use]
    pub fn with_port_packets(mut self, packets: usize) -> Self {
        self.port_packets = packets.max(1);
        self
    }

    /// Sets [`port_bytes`](Self::port_bytes).
    #[must_use]
    pub fn with_port_bytes(mut self, bytes: usize) -> Self {
        self.port_bytes = bytes;
        self
    }

    /// Sets [`max_packet`](Self::max_packet).
    #[must_use]
    pub fn with_max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = bytes;
        self
    }

    /// Sets [`subscription_events`](Self::subscription_events); at least one.
    #[must_use]
    pub fn with_subscription_events(mut self, events: usize) -> Self {
        self.subscription_events = events.max(1);
        self
    }

    /// Sets [`subscription_bytes`](Self::subscription_bytes).
    #[must_use]
    pub fn with_subscription_bytes(mut self, bytes: usize) -> Self {
        self.subscription_bytes = bytes;
        self
    }

    /// Sets [`max_body`](Self::max_body).
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}
