//! A client without a service.

use std::fmt;
use std::sync::Arc;

use micro_core::{Broker, Registry, Result, Transport};

use super::{Client, ClientLayers, ClientOptions, OutgoingCall, OutgoingEvent};
use crate::backends::Selection;
use crate::middleware::{Middleware, Reply};
use crate::plugins::Plugins;

/// What a client without a service is made of; see [`Client::builder`]. What is said later counts.
#[derive(Clone, Default)]
#[must_use = "a builder makes nothing until it is built"]
pub struct ClientBuilder {
    selection: Selection,
    options: ClientOptions,
    layers: ClientLayers,
}

impl ClientBuilder {
    /// Where backends are chosen from by name, and with whom they are shared.
    pub fn plugins(mut self, plugins: &Plugins) -> Self {
        self.selection.plugins = Some(plugins.clone());
        self
    }

    /// The registry itself.
    pub fn registry(mut self, registry: impl Registry) -> Self {
        self.selection.registry.set_value(Arc::new(registry));
        self
    }

    /// The transport itself.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.selection.transport.set_value(Arc::new(transport));
        self
    }

    /// The broker itself.
    pub fn broker(mut self, broker: impl Broker) -> Self {
        self.selection.broker.set_value(Arc::new(broker));
        self
    }

    /// See [`ServiceBuilder::namespace`](crate::ServiceBuilder::namespace).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.selection.namespace = Some(namespace.into());
        self
    }

    /// How it calls.
    pub fn options(mut self, options: ClientOptions) -> Self {
        self.options = options;
        self
    }

    /// Puts a layer around each call; see [`middleware`](crate::middleware).
    pub fn call_layer(mut self, layer: impl Middleware<OutgoingCall, Reply>) -> Self {
        self.layers.calls.push(layer);
        self
    }

    /// Puts a layer around each event that is published.
    pub fn publish_layer(mut self, layer: impl Middleware<OutgoingEvent, ()>) -> Self {
        self.layers.events.push(layer);
        self
    }

    /// Takes over what the flags and the environment say; where they say nothing, what was said
    /// before holds.
    #[cfg(feature = "flags")]
    pub fn flags(mut self, flags: &crate::Flags) -> Self {
        flags.apply_to_client(&mut self.options);
        flags.select(&mut self.selection);
        self
    }

    /// The client; opens nothing before the first call.
    ///
    /// # Errors
    /// `NotFound` for a backend that is not compiled in; what a backend says of its addresses.
    pub fn build(self) -> Result<Client> {
        let backends = self.selection.build()?;
        Ok(Client::layered(backends, self.options, &self.layers))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
