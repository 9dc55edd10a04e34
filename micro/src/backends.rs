//! The three backends that a service or client works with, and how they are chosen.

use std::fmt;
use std::sync::Arc;

use micro_core::{Broker, Error, PluginConfig, Registry, Result, Transport};

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
        let registry = (self.registry)
            .make("registry", &registries, namespace, |name, c| plugins.registry(name, c))?;
        let transport = (self.transport)
            .make("transport", &transports, namespace, |name, c| plugins.transport(name, c))?;
        let broker =
            (self.broker).make("broker", &brokers, namespace, |name, c| plugins.broker(name, c))?;
        if transport.name() == "memory" && registry.name() != "memory" {
            tracing::warn!(
                registry = registry.name(),
                "other processes find this one but cannot call it: its transport is memory"
            );
        }
        Ok(Backends { registry, transport, broker })
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
