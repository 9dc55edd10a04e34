//! The three backends that a service or client works with, and how they are chosen.

use std::fmt;
use std::sync::Arc;

use micro_core::{Broker, Error, PluginConfig, Reach, Registry, Result, Transport};

use crate::plugins::Plugins;

/// The three backends that a service or client works with.
#[derive(Clone)]
#[non_exhaustive]
pub struct Backends {
    /// Finds.
    pub registry: Arc<dyn Registry>,
    /// Calls.
    pub transport: Arc<dyn Transport>,
    /// Sends events.
    pub broker: Arc<dyn Broker>,
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backends")
            .field("registry", &self.registry.name())
            .field("transport", &self.transport.name())
            .field("broker", &self.broker.name())
            .finish()
    }
}

/// What was said so far about the backends; what is said later counts.
#[derive(Clone, Default)]
pub(crate) struct Selection {
    pub(crate) plugins: Option<Plugins>,
    pub(crate) registry: Choice<dyn Registry>,
    pub(crate) transport: Choice<dyn Transport>,
    pub(crate) broker: Choice<dyn Broker>,
    pub(crate) namespace: Option<String>,
}

/// What is chosen where nobody says anything.
const DEFAULT: &str = "memory";

/// How one backend was chosen.
pub(crate) struct Choice<T: ?Sized> {
    name: Option<String>,
    addresses: Vec<String>,
    value: Option<Arc<T>>,
}

impl<T: ?Sized> Choice<T> {
    #[cfg(feature = "flags")]
    pub(crate) fn set_name(&mut self, name: &str) {
        self.name = Some(name.to_owned());
        self.value = None;
    }

    #[cfg(feature = "flags")]
    pub(crate) fn set_addresses(&mut self, addresses: Vec<String>) {
        self.addresses = addresses;
    }

    pub(crate) fn set_value(&mut self, value: Arc<T>) {
        self.value = Some(value);
    }

    fn make(
        self,
        what: &str,
        known: &[&str],
        namespace: Option<&str>,
        make: impl FnOnce(&str, &PluginConfig) -> Result<Arc<T>>,
    ) -> Result<Arc<T>> {
        if let Some(value) = self.value {
            return Ok(value);
        }
        let name = match &self.name {
            Some(name) => name.as_str(),
            None if known.contains(&DEFAULT) => DEFAULT,
            None => {
                return Err(Error::invalid_input(format!(
                    "no {what} was chosen; there are: {}",
                    known.join(", ")
                )));
            }
        };
        if name == DEFAULT && !self.addresses.is_empty() {
            tracing::warn!("the addresses of the {what} mean nothing to {DEFAULT}");
        }
        let mut config = PluginConfig::default().with_addresses(self.addresses);
        config.namespace = namespace.map(str::to_owned);
        make(name, &config)
    }
}

impl Selection {
    pub(crate) fn build(self) -> Result<Backends> {
        let plugins = self.plugins.unwrap_or_default();
        let [registries, transports, brokers] = plugins.names();
        let namespace = self.namespace.as_deref();
        // Who brings a backend of their own knows what goes together.
        let chosen = self.registry.value.is_none() && self.transport.value.is_none();
        let registry = (self.registry)
            .make("registry", &registries, namespace, |name, c| plugins.registry(name, c))?;
        let transport = (self.transport)
            .make("transport", &transports, namespace, |name, c| plugins.transport(name, c))?;
        let broker =
            (self.broker).make("broker", &brokers, namespace, |name, c| plugins.broker(name, c))?;
        let backends = Backends { registry, transport, broker };
        if chosen {
            backends.check([&registries, &transports])?;
        }
        Ok(backends)
    }
}

impl Backends {
    /// Says what is right on one machine or without events, and a riddle elsewhere.
    pub(crate) fn tell(&self, any_address: bool, subscribes: bool) {
        let registry = self.registry.capabilities().reach;
        let transport = self.transport.capabilities().reach;
        let broker = self.broker.capabilities().reach;
        if any_address && transport < registry {
            tracing::info!(
                transport = self.transport.name(),
                "it can be called from {transport}; --transport_address or --server_address says \
                 where to listen"
            );
        }
        if subscribes && broker == Reach::Process && transport > Reach::Process {
            tracing::warn!(
                broker = self.broker.name(),
                "events of other processes do not come: its broker reaches {broker}"
            );
        }
    }

    /// Whether who finds a service can also call it, and the other way round.
    fn check(&self, [registries, transports]: [&[&str]; 2]) -> Result<()> {
        let Self { registry, transport, .. } = self;
        let (found, called) = (registry.capabilities().reach, transport.capabilities().reach);
        if (found == Reach::Process) == (called == Reach::Process) {
            return Ok(());
        }
        let (finds, calls) = (registry.name(), transport.name());
        let others = |own: &str, known: &[&str]| {
            let others: Vec<&str> = known.iter().copied().filter(|name| *name != own).collect();
            if others.is_empty() { "none is compiled in".to_owned() } else { others.join(", ") }
        };
        Err(Error::invalid_input(if found < called {
            format!(
                "registry {finds} does not go with transport {calls}: it reaches {found}, so that \
                 nobody else would find what could be called; choose another registry (there are: \
                 {}) or another transport",
                others(finds, registries)
            )
        } else {
            format!(
                "transport {calls} does not go with registry {finds}: it reaches {called}, so that \
                 others would find what they cannot call; choose another transport (there are: \
                 {}) or another registry",
                others(calls, transports)
            )
        }))
    }
}

impl<T: ?Sized> Default for Choice<T> {
    fn default() -> Self {
        Self { name: None, addresses: Vec::new(), value: None }
    }
}

impl<T: ?Sized> Clone for Choice<T> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            addresses: self.addresses.clone(),
            value: self.value.clone(),
        }
    }
}
