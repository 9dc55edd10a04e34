//! How the registry behaves.

use std::time::Duration;

use micro_core::registry::ServiceName;
use micro_core::{Error, PluginConfig, Result};

use crate::interfaces::Interface;
use crate::record::LONGEST_LEASE;

/// The port of multicast DNS (RFC 6762).
const MDNS_PORT: u16 = 5353;
/// A namespace goes into every record, in one string of at most 255 bytes.
const LONGEST_NAMESPACE: usize = 200;

/// The options of an [`MdnsRegistry`](crate::MdnsRegistry).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// Keeps two fleets on one network apart: they use service types of their own.
    pub namespace: Option<String>,
    /// On which interfaces to speak and to listen; empty: on all that are up, loopback included.
    pub interfaces: Vec<Interface>,
    /// How long others believe a node of ours without hearing of it. 20 s.
    pub lease: Duration,
    /// How often in this time it is renewed, each time by a multicast packet to everybody. 3.
    pub renewals: u32,
    /// How long the first lookup waits for what may not be there: afterwards a name that was not
    /// heard of is not found. 1.5 s, in which everybody is asked twice: who has just said something
    /// must not say it again within a second.
    pub query_limit: Duration,
    /// The time without news after which the first lookup of a name that was found is done. 100 ms.
    pub quiet: Duration,
    /// The UDP port, another one than 5353 only where nobody else is to hear it: in tests.
    pub port: u16,
    /// How many nodes of others are remembered, those who have just left included. 10,000.
    pub max_nodes: usize,
    /// How many bytes of what they say are remembered. 64 MiB.
    pub max_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: None,
            interfaces: Vec::new(),
            lease: Duration::from_secs(20),
            renewals: 3,
            query_limit: Duration::from_millis(1500),
            quiet: Duration::from_millis(100),
            port: MDNS_PORT,
            max_nodes: 10_000,
            max_bytes: 64 << 20,
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

    /// Sets [`interfaces`](Self::interfaces).
    #[must_use]
    pub fn with_interfaces(mut self, interfaces: impl IntoIterator<Item = Interface>) -> Self {
        self.interfaces = interfaces.into_iter().collect();
        self
    }

    /// Sets [`lease`](Self::lease).
    #[must_use]
    pub fn with_lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets [`renewals`](Self::renewals).
    #[must_use]
    pub fn with_renewals(mut self, renewals: u32) -> Self {
        self.renewals = renewals;
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

    /// Sets [`port`](Self::port).
    #[must_use]
    pub fn with_port(mut self, port: u16) -> Self {
        self.port = port;
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

    /// The namespace, if there is one.
    pub(crate) fn namespace_if_any(&self) -> Option<&str> {
        self.namespace.as_deref().filter(|namespace| !namespace.is_empty())
    }

    /// What flags say, everything else by default. Each address is an interface, or a
    /// comma-separated list of them.
    pub(crate) fn from_config(config: &PluginConfig) -> Result<Self> {
        let mut options = Self::default();
        options.namespace.clone_from(&config.namespace);
        options.interfaces = Interface::parse_list(&config.addresses)?;
        Ok(options)
    }

    /// Whether the options can be kept. A lease is long enough that three renewals in it are not
    /// held back by what RFC 6762 allows to be said in a second, and short enough for the clock.
    pub(crate) fn check(&self) -> Result<()> {
        let year = Duration::from_secs(365 * 24 * 3600);
        let times = [
            ("lease", self.lease, Duration::from_millis(500), LONGEST_LEASE),
            ("query_limit", self.query_limit, Duration::from_millis(1), year),
            ("quiet", self.quiet, Duration::ZERO, year),
        ];
        for (name, time, least, most) in times {
            if time < least || time > most {
                return Err(Error::invalid_input(format!(
                    "registry option {name} is {time:?}, but must be from {least:?} to {most:?}"
                )));
            }
        }
        if !(2..=10).contains(&self.renewals) {
            return Err(Error::invalid_input(format!(
                "registry option renewals is {}, but must be from 2 to 10",
                self.renewals
            )));
        }
        if self.port == 0 {
            return Err(Error::invalid_input("registry option port is 0, which is no port"));
        }
        let Some(namespace) = self.namespace_if_any() else { return Ok(()) };
        // What is a namespace for one registry is one for every other.
        if namespace.len() > LONGEST_NAMESPACE || ServiceName::new(namespace).is_err() {
            return Err(Error::invalid_input(format!(
                "{namespace:?} is no namespace: it must have 1 to {LONGEST_NAMESPACE} bytes, no \
                 white space, no wildcards, and no empty part between dots"
            )));
        }
        Ok(())
    }
}
