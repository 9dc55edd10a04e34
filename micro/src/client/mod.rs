//! Calls and publications.

mod builder;
mod cache;
mod call;
mod filter;
mod nodes;
mod options;
mod outgoing;
mod pool;
mod publish;
mod run;
mod select;
mod stream;
mod target;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{Broker, Topic};
use micro_core::codec::{Codec, Encode, Json, Raw};
use micro_core::{Header, Registry, Result, Transport};
use tokio::time::Instant;

pub use self::builder::ClientBuilder;
use self::cache::Cache;
pub use self::call::Call;
pub use self::filter::Filter;
use self::nodes::Own;
use self::options::CallOptions;
pub use self::options::ClientOptions;
pub use self::outgoing::{OutgoingCall, OutgoingEvent};
use self::pool::Pool;
pub use self::publish::Publish;
pub use self::select::Strategy;
pub use self::stream::OpenStream;
use crate::backends::Backends;
use crate::clock::NEVER;
use crate::middleware::{Layers, Reply, Stack};
pub use micro_core::wire::Limits;

/// Calls services and publishes events. Cheap to clone; clones share everything.
///
/// ```no_run
/// # #[derive(serde::Serialize)] struct Hello { name: String }
/// # #[derive(serde::Deserialize)] struct Greeting { greeting: String }
/// # async fn example(client: micro::Client) -> micro::Result<()> {
/// let reply: Greeting = client
///     .call("greeter", "Greeter.Hello", &Hello { name: "Bob".into() })
///     .metadata("tenant", "blue")
///     .idempotent()
///     .await?;
/// println!("{}", reply.greeting);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
    inherited: Option<Arc<Inherited>>,
}

struct Inner {
    transport: Arc<dyn Transport>,
    broker: Arc<dyn Broker>,
    registry: Arc<dyn Registry>,
    options: ClientOptions,
    own: Own,
    cache: Cache,
    pool: Pool,
    call_stack: Option<Stack<OutgoingCall, Reply>>,
    publish_stack: Option<Stack<OutgoingEvent, ()>>,
}

/// What is around the calls and events of a client.
#[derive(Clone, Default)]
pub(crate) struct ClientLayers {
    pub(crate) calls: Layers<OutgoingCall, Reply>,
    pub(crate) events: Layers<OutgoingEvent, ()>,
}

/// What the calls of a handler take over from the call that it serves.
struct Inherited {
    metadata: Header,
    deadline: Option<Instant>,
}

impl Client {
    /// Begins to describe a client that belongs to no service.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// A client over these three. Opens nothing before the first call.
    pub fn new(
        registry: Arc<dyn Registry>,
        transport: Arc<dyn Transport>,
        broker: Arc<dyn Broker>,
    ) -> Self {
        Self::with_options(registry, transport, broker, ClientOptions::default())
    }

    /// [`new`](Self::new), with options.
    pub fn with_options(
        registry: Arc<dyn Registry>,
        transport: Arc<dyn Transport>,
        broker: Arc<dyn Broker>,
        options: ClientOptions,
    ) -> Self {
        let backends = Backends { registry, transport, broker };
        Self::layered(backends, options, &ClientLayers::default())
    }

    pub(crate) fn layered(
        backends: Backends,
        options: ClientOptions,
        layers: &ClientLayers,
    ) -> Self {
        let Backends { registry, transport, broker } = backends;
        let zone = options.zone.clone().filter(|zone| !zone.is_empty());
        let own = Own { transport: transport.name(), zone };
        let inner = Inner {
            cache: Cache::new(registry.clone(), own.clone(), options.max_services),
            own,
            call_stack: layers.calls.around(|call| Box::pin(async move { call.run().await })),
            publish_stack: layers.events.around(|event| Box::pin(event.run())),
            pool: Pool::new(transport.clone(), options.node_limits),
            transport,
            broker,
            registry,
            options,
        };
        Self { inner: Arc::new(inner), inherited: None }
    }

    /// Calls an endpoint with a body in JSON; `await` the [`Call`], after options if need be.
    ///
    /// The type of the reply is that of the variable: `let reply: Greeting = ….await?`. Where
    /// there is none, it is named: `client.call::<_, ()>(…)`. `tokio::spawn` takes
    /// `call.into_future()`.
    pub fn call<Q, R>(&self, service: &str, endpoint: &str, request: &Q) -> Call<Json, R>
    where
        Json: Encode<Q>,
        Q: ?Sized,
    {
        self.call_with::<Json, Q, R>(service, endpoint, request)
    }

    /// [`call`](Self::call) with a body in protobuf.
    #[cfg(feature = "protobuf")]
    pub fn call_proto<Q, R>(
        &self,
        service: &str,
        endpoint: &str,
        request: &Q,
    ) -> Call<micro_core::codec::Protobuf, R>
    where
        micro_core::codec::Protobuf: Encode<Q>,
    {
        self.call_with::<micro_core::codec::Protobuf, Q, R>(service, endpoint, request)
    }

    /// [`call`](Self::call) with bytes as they are, both ways; see also [`Call::content_type`].
    pub fn call_raw(
        &self,
        service: &str,
        endpoint: &str,
        body: impl Into<Bytes>,
    ) -> Call<Raw, Bytes> {
        self.call_with::<Raw, Bytes, Bytes>(service, endpoint, &body.into())
    }

    /// [`call`](Self::call) with a codec of one's own.
    pub fn call_with<C, Q, R>(&self, service: &str, endpoint: &str, request: &Q) -> Call<C, R>
    where
        C: Encode<Q>,
        Q: ?Sized,
    {
        let (body, flaw) = match C::encode(request) {
            Ok(body) => (body, None),
            Err(flaw) => (Bytes::new(), Some(flaw)),
        };
        let call = OutgoingCall {
            client: self.clone(),
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            body,
            options: CallOptions::new(C::CONTENT_TYPE),
            began: None,
            opens: None,
        };
        Call { call, flaw, types: PhantomData }
    }

    /// Begins to open a stream with messages in JSON; see [`stream`](crate::stream).
    pub fn stream(&self, service: &str, endpoint: &str) -> OpenStream<Json> {
        let call = OutgoingCall {
            client: self.clone(),
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            body: Bytes::new(),
            options: CallOptions::new(Json::CONTENT_TYPE),
            began: None,
            opens: None,
        };
        OpenStream { call, idle: None, codec: PhantomData }
    }

    /// Publishes an event with a body in JSON; `await` the [`Publish`].
    pub fn publish<T>(&self, topic: &str, event: &T) -> Publish
    where
        Json: Encode<T>,
        T: ?Sized,
    {
        self.publish_with::<Json, T>(topic, event)
    }

    /// [`publish`](Self::publish) with a codec of one's own choice.
    pub fn publish_with<C, T>(&self, topic: &str, event: &T) -> Publish
    where
        C: Encode<T>,
        T: ?Sized,
    {
        let metadata = self.inherited.as_ref().map(|i| i.metadata.clone()).unwrap_or_default();
        Publish {
            client: self.clone(),
            topic: Topic::new(topic),
            body: C::encode(event),
            content_type: C::CONTENT_TYPE.into(),
            metadata: Ok(metadata),
        }
    }

    /// Whether nodes of this service are known already, so that a call to it waits for no
    /// registry. They are once one was called, until the registry says that they are gone.
    pub fn is_known(&self, service: &str) -> bool {
        self.inner.cache.known(service).is_some()
    }

    /// The registry that it finds services in; it takes parsed names: `"greeter".parse()?`.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.inner.registry
    }

    /// The transport that it calls over.
    pub fn transport(&self) -> &Arc<dyn Transport> {
        &self.inner.transport
    }

    /// The broker that it publishes to.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.inner.broker
    }

    pub(crate) fn inheriting(&self, metadata: Header, deadline: Option<Instant>) -> Self {
        let inherited = Some(Arc::new(Inherited { metadata, deadline }));
        Self { inner: self.inner.clone(), inherited }
    }

    fn call_stack(&self) -> Option<Stack<OutgoingCall, Reply>> {
        self.inner.call_stack.clone()
    }

    fn publish_stack(&self) -> Option<Stack<OutgoingEvent, ()>> {
        self.inner.publish_stack.clone()
    }

    /// Waits, bounded by the backends, until what was sent has left: events, requests, and the word
    /// that a call or stream was given up.
    ///
    /// # Errors
    /// `Unavailable` if it could not leave.
    pub async fn flush(&self) -> Result<()> {
        let (events, calls) = tokio::join!(self.inner.broker.flush(), self.inner.pool.flush());
        events.and(calls)
    }

    /// When a stream with this timeout ends, also because of the call that it is opened in.
    fn stream_deadline(&self, began: Instant, timeout: Option<Duration>) -> Option<Instant> {
        let inherited = self.inherited.as_ref().and_then(|inherited| inherited.deadline);
        let own = timeout.map(|timeout| began + timeout.min(NEVER));
        inherited.into_iter().chain(own).min()
    }

    /// When a call with this timeout ends, also because of the call that it is made in.
    fn limit(&self, now: Instant, timeout: Option<Duration>) -> Instant {
        let own = now + timeout.unwrap_or(self.inner.options.request_timeout).min(NEVER);
        match self.inherited.as_ref().and_then(|inherited| inherited.deadline) {
            Some(deadline) => deadline.min(own),
            None => own,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("registry", &self.inner.registry.name())
            .field("transport", &self.inner.transport.name())
            .field("broker", &self.inner.broker.name())
            .finish_non_exhaustive()
    }
}
