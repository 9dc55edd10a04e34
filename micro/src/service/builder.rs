//! What a service is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::codec::{Decode, Encode, Json};
use micro_core::registry::ServiceName;
use micro_core::{Broker, Error, Registry, Result, Transport};
use uuid::Uuid;

use super::{Identity, Service, Times};
use crate::backends::Selection;
use crate::client::{Client, ClientLayers, ClientOptions};
use crate::context::Context;
use crate::middleware::{
    IncomingCall, IncomingEvent, Middleware, OutgoingCall, OutgoingEvent, Reply,
};
use crate::plugins::Plugins;
use crate::server::{Server, ServerOptions, SubscriberOptions};
use crate::stream::StreamHandler;

/// What a service is made of; see [`Service::builder`]. What is said later counts, so flags are
/// given last.
#[derive(Clone)]
#[must_use = "a builder makes nothing until it is built"]
pub struct ServiceBuilder {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) id: Option<String>,
    pub(crate) address: String,
    pub(crate) advertise: Option<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) register_ttl: Duration,
    pub(crate) register_interval: Duration,
    pub(crate) client_options: ClientOptions,
    pub(crate) selection: Selection,
    server: Server,
    server_options: ServerOptions,
    client_layers: ClientLayers,
    stop_timeout: Duration,
}

impl ServiceBuilder {
    pub(super) fn new(name: String) -> Self {
        Self {
            name,
            version: "latest".to_owned(),
            id: None,
            address: ":0".to_owned(),
            advertise: None,
            metadata: BTreeMap::new(),
            register_ttl: Duration::from_secs(90),
            register_interval: Duration::from_secs(30),
            client_options: ClientOptions::default(),
            selection: Selection::default(),
            server: Server::new(),
            server_options: ServerOptions::default(),
            client_layers: ClientLayers::default(),
            stop_timeout: Duration::from_secs(30),
        }
    }

    /// Serves an endpoint, named `Greeter.Hello`, with bodies in JSON; see [`Server::handler`].
    pub fn handler<T, R, F, Fut>(mut self, endpoint: &str, handler: F) -> Self
    where
        Json: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.server = self.server.handler(endpoint, handler);
        self
    }

    /// Serves an endpoint with bodies in protobuf.
    #[cfg(feature = "protobuf")]
    pub fn proto_handler<T, R, F, Fut>(mut self, endpoint: &str, handler: F) -> Self
    where
        micro_core::codec::Protobuf: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.server = self.server.proto_handler(endpoint, handler);
        self
    }

    /// Serves an endpoint with bodies in JSON or protobuf, as the request has them; see
    /// [`Server::json_or_proto_handler`].
    #[cfg(feature = "protobuf")]
    pub fn json_or_proto_handler<T, R, F, Fut>(mut self, endpoint: &str, handler: F) -> Self
    where
        micro_core::codec::JsonOrProtobuf: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.server = self.server.json_or_proto_handler(endpoint, handler);
        self
    }

    /// Serves an endpoint with bytes as they are; see [`Server::raw_handler`].
    pub fn raw_handler<F, Fut>(mut self, endpoint: &str, handler: F) -> Self
    where
        F: Fn(Context, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.server = self.server.raw_handler(endpoint, handler);
        self
    }

    /// Serves an endpoint with a codec of one's own; see [`Server::handler_with`].
    pub fn handler_with<C, T, R, F, Fut>(mut self, endpoint: &str, handler: F) -> Self
    where
        C: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.server = self.server.handler_with::<C, T, R, F, Fut>(endpoint, handler);
        self
    }

    /// Receives events with a codec of one's own choice; see [`Server::subscriber_with`].
    pub fn subscriber_with<C, T, F, Fut>(
        mut self,
        topic: &str,
        options: SubscriberOptions,
        handler: F,
    ) -> Self
    where
        C: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.server = self.server.subscriber_with::<C, T, F, Fut>(topic, options, handler);
        self
    }

    /// Receives events with bodies in JSON; see [`Server::subscriber`].
    pub fn subscriber<T, F, Fut>(mut self, topic: &str, handler: F) -> Self
    where
        Json: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.server = self.server.subscriber(topic, handler);
        self
    }

    /// Receives events as a member of a queue; see [`Server::queue_subscriber`].
    pub fn queue_subscriber<T, F, Fut>(mut self, topic: &str, queue: &str, handler: F) -> Self
    where
        Json: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.server = self.server.queue_subscriber(topic, queue, handler);
        self
    }

    /// See [`Server::stream_handler`].
    pub fn stream_handler(mut self, endpoint: &str, handler: StreamHandler) -> Self {
        self.server = self.server.stream_handler(endpoint, handler);
        self
    }

    /// Serves so many calls of an endpoint at once; see [`Server::limit`].
    pub fn limit(mut self, endpoint: &str, calls: usize) -> Self {
        self.server = self.server.limit(endpoint, calls);
        self
    }

    /// Tells the registry what an endpoint takes and gives; see [`Server::describe`].
    #[cfg(feature = "schemars")]
    pub fn describe<T, R>(mut self, endpoint: &str) -> Self
    where
        T: schemars::JsonSchema + ?Sized,
        R: schemars::JsonSchema + ?Sized,
    {
        self.server = self.server.describe::<T, R>(endpoint);
        self
    }

    /// Puts a layer around the handlers of all endpoints; see [`Server::serve_layer`].
    pub fn serve_layer(mut self, layer: impl Middleware<IncomingCall, Reply>) -> Self {
        self.server = self.server.serve_layer(layer);
        self
    }

    /// Puts a layer around the handlers of all topics.
    pub fn event_layer(mut self, layer: impl Middleware<IncomingEvent, ()>) -> Self {
        self.server = self.server.event_layer(layer);
        self
    }

    /// Puts a layer around each call of the service's own client.
    pub fn call_layer(mut self, layer: impl Middleware<OutgoingCall, Reply>) -> Self {
        self.client_layers.calls.push(layer);
        self
    }

    /// Puts a layer around each event that the service's own client publishes.
    pub fn publish_layer(mut self, layer: impl Middleware<OutgoingEvent, ()>) -> Self {
        self.client_layers.events.push(layer);
        self
    }

    /// Serves what this server serves; handlers given to the builder before are dropped.
    pub fn server(mut self, server: Server) -> Self {
        self.server = server;
        self
    }

    /// The version that it is registered as; `latest`.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        self
    }

    /// What makes the node's id, `<name>-<id>`, unique; a fresh UUID.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Where it listens; `:0`, an address of its own.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = address.into();
        self
    }

    /// The address that it is registered with, where that is another than it listens at.
    pub fn advertise(mut self, address: impl Into<String>) -> Self {
        self.advertise = Some(address.into());
        self
    }

    /// Adds an entry to the node's metadata.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// How long the registration lives unless it is renewed; 90 s.
    pub fn register_ttl(mut self, ttl: Duration) -> Self {
        self.register_ttl = ttl;
        self
    }

    /// How often the registration is renewed, at the address where the port is reached then; 30 s.
    pub fn register_interval(mut self, interval: Duration) -> Self {
        self.register_interval = interval;
        self
    }

    /// How long stopping may take; 30 s.
    pub fn stop_timeout(mut self, limit: Duration) -> Self {
        self.stop_timeout = limit;
        self
    }

    /// How the service's own client calls.
    pub fn client_options(mut self, options: ClientOptions) -> Self {
        self.client_options = options;
        self
    }

    /// How the server answers.
    pub fn server_options(mut self, options: ServerOptions) -> Self {
        self.server_options = options;
        self
    }

    /// Where backends are chosen from by name, and with whom they are shared; by default what is
    /// compiled in, shared with nobody.
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

    /// Keeps it apart from fleets with another namespace (or none) on the same server. For
    /// backends chosen by name.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.selection.namespace = Some(namespace.into());
        self
    }

    /// Takes over what the flags and the environment say; where they say nothing, what was said
    /// before holds.
    #[cfg(feature = "flags")]
    pub fn flags(mut self, flags: &crate::Flags) -> Self {
        flags.apply(&mut self);
        self
    }

    /// The service, its backends made and nothing opened.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is none or times that cannot be kept; `NotFound` for a
    /// backend that is not compiled in; what a backend says of its addresses.
    pub fn build(self) -> Result<Service> {
        let name = ServiceName::new(self.name)?;
        if self.register_interval.is_zero() || self.register_interval >= self.register_ttl {
            return Err(Error::invalid_input(format!(
                "a registration that lives {:?} cannot be renewed every {:?}",
                self.register_ttl, self.register_interval
            )));
        }
        let backends = self.selection.build()?;
        let mut client_options = self.client_options;
        // Its own zone is where the nodes that it calls should be.
        client_options.zone = client_options.zone.or_else(|| self.metadata.get("zone").cloned());
        let client = Client::layered(backends.clone(), client_options, &self.client_layers);
        Ok(Service {
            identity: Identity {
                name: name.to_string(),
                version: self.version,
                id: self.id.unwrap_or_else(|| Uuid::new_v4().to_string()),
                address: self.address,
                advertise: self.advertise,
                metadata: self.metadata,
            },
            server: self.server,
            server_options: self.server_options,
            backends,
            client,
            times: Times {
                register_ttl: self.register_ttl,
                register_interval: self.register_interval,
                stop_timeout: self.stop_timeout,
            },
        })
    }
}

impl fmt::Debug for ServiceBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("name", &self.name)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
