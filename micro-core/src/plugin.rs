//! What every plugin is made of, and how far it reaches.

use std::fmt;

/// What flags say of a backend; each plugin crate's `from_config` reads it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PluginConfig {
    /// Where it is; empty for the backend's own default. What an address is, the backend says:
    /// servers for NATS, network interfaces for mDNS, where to listen for TCP, nothing for memory.
    pub addresses: Vec<String>,
    /// Keeps fleets apart that share a network; what carries no names of its own ignores it.
    pub namespace: Option<String>,
}

impl PluginConfig {
    /// Sets [`addresses`](Self::addresses).
    #[must_use]
    pub fn with_addresses(
        mut self,
        addresses: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.addresses = addresses.into_iter().map(Into::into).collect();
        self
    }

    /// Sets [`namespace`](Self::namespace).
    #[must_use]
    pub fn with_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }
}

/// Without addresses: there may be passwords in them.
impl fmt::Debug for PluginConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginConfig")
            .field("addresses", &self.addresses.len())
            .field("namespace", &self.namespace)
            .finish()
    }
}

/// From where a backend is reached: the capability by which a program sees that two backends do
/// not go together, such as a registry that other machines read and a transport that they cannot
/// reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reach {
    /// From this process alone.
    Process,
    /// From every process on this machine.
    Machine,
    /// From other machines too.
    #[default]
    Network,
}

impl fmt::Display for Reach {
    /// In words after "reaches …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Process => "this process alone",
            Self::Machine => "this machine alone",
            Self::Network => "other machines",
        })
    }
}
