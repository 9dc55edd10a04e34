//! Answers calls and receives events.

mod callers;
mod endpoint;
mod handler;
mod health;
mod incoming;
mod options;
mod pump;
#[cfg(feature = "schemars")]
mod schema;
mod streaming;
mod subscriber;
mod types;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{Broker, TopicFilter};
use micro_core::codec::{Decode, Encode, Json, Raw};
use micro_core::registry::Endpoint as Described;
use micro_core::transport::{Bind, Port};
use micro_core::{Error, Result, Transport};
use tokio::sync::watch;
use tokio::time::Instant;

use self::endpoint::{Endpoint, Places, Serves};
use self::handler::typed;
pub use self::incoming::{IncomingCall, IncomingEvent};
pub use self::options::{ServerOptions, SubscriberOptions};
use self::pump::{Pump, Serving};
use self::subscriber::{Subscriber, Subscribers};
use self::types::Types;
use crate::client::Client;
use crate::clock::after;
use crate::context::Context;
use crate::middleware::{Layers, Middleware, Reply};
use crate::stream::StreamHandler;
pub use micro_core::wire::Limits;

/// Handlers for calls and events, by name.
///
/// A handler is an `async` closure or function over what a codec reads and writes. It is polled
/// where the call arrives and moved to a task of its own only if it has to wait, so it must not
/// block. A panic answers with an [`Internal`](crate::ErrorKind::Internal) error, and the server
/// lives on. When the caller's deadline passes, or the caller is gone, the handler is dropped.
///
/// A closure that needs something of its own clones it for each call:
///
/// ```
/// # use std::sync::Arc;
/// # use std::sync::atomic::{AtomicU64, Ordering};
/// use micro::{Context, Server};
///
/// let calls = Arc::new(AtomicU64::new(0));
/// let server = Server::new().handler("Counter.Next", move |_: Context, (): ()| {
///     let calls = calls.clone();
///     async move { Ok(calls.fetch_add(1, Ordering::Relaxed)) }
/// });
/// ```
///
/// Errors of other crates become [`Error`]s through `anyhow`: `.map_err(anyhow::Error::from)?`.
///
/// # Health
/// Every server answers `Debug.Health`, as go-micro's services do: `{"status":"ok"}` in JSON, the
/// same message in protobuf. Neither layers nor limits of calls stand in the way of it, and no
/// registry tells of it. A handler of that name takes its place and is like any other.
#[derive(Clone, Default)]
pub struct Server {
    handlers: BTreeMap<String, Serves>,
    subscribers: Vec<Subscriber>,
    /// How many calls of an endpoint are served at once.
    limits: BTreeMap<String, usize>,
    types: Types,
    call_layers: Layers<IncomingCall, Reply>,
    event_layers: Layers<IncomingEvent, ()>,
    flaw: Option<Arc<Error>>,
}

impl Server {
    /// A server without handlers.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves an endpoint, named `Greeter.Hello`, with bodies in JSON.
    #[must_use]
    pub fn handler<T, R, F, Fut>(self, endpoint: &str, handler: F) -> Self
    where
        Json: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.handler_with::<Json, T, R, F, Fut>(endpoint, handler)
    }

    /// Serves an endpoint with bodies in protobuf.
    #[cfg(feature = "protobuf")]
    #[must_use]
    pub fn proto_handler<T, R, F, Fut>(self, endpoint: &str, handler: F) -> Self
    where
        micro_core::codec::Protobuf: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.handler_with::<micro_core::codec::Protobuf, T, R, F, Fut>(endpoint, handler)
    }

    /// Serves an endpoint with bodies in JSON or protobuf, as the content type of the request says;
    /// see [`JsonOrProtobuf`](micro_core::codec::JsonOrProtobuf).
    ///
    /// ```
    /// use micro::{Context, Server};
    ///
    /// // A `String` is google.protobuf.StringValue, and in JSON a string.
    /// let hello = async |_: Context, name: String| Ok(format!("Hello {name}"));
    /// let server = Server::new().json_or_proto_handler("Greeter.Hello", hello);
    /// ```
    #[cfg(feature = "protobuf")]
    #[must_use]
    pub fn json_or_proto_handler<T, R, F, Fut>(self, endpoint: &str, handler: F) -> Self
    where
        micro_core::codec::JsonOrProtobuf: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.handler_with::<micro_core::codec::JsonOrProtobuf, T, R, F, Fut>(endpoint, handler)
    }

    /// Serves an endpoint with bytes as they are, of whatever content type; the answer has that
    /// of the request.
    #[must_use]
    pub fn raw_handler<F, Fut>(self, endpoint: &str, handler: F) -> Self
    where
        F: Fn(Context, Bytes) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Bytes>> + Send + 'static,
    {
        self.handler_with::<Raw, Bytes, Bytes, F, Fut>(endpoint, handler)
    }

    /// Serves an endpoint with a codec of one's own.
    #[must_use]
    pub fn handler_with<C, T, R, F, Fut>(self, endpoint: &str, handler: F) -> Self
    where
        C: Decode<T> + Encode<R>,
        T: 'static,
        R: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        self.serve(endpoint, Serves::Calls(typed::<C, T, R, F, Fut>(handler)))
    }

    /// Serves the streams of an endpoint; see [`stream`](crate::stream).
    #[must_use]
    pub fn stream_handler(self, endpoint: &str, handler: StreamHandler) -> Self {
        self.serve(endpoint, Serves::Streams(handler))
    }

    fn serve(mut self, endpoint: &str, serves: Serves) -> Self {
        let parts = endpoint.split_once('.');
        if !parts.is_some_and(|(of, method)| !of.is_empty() && !method.is_empty()) {
            self.flaw(format!("{endpoint:?} is no endpoint: write it like Greeter.Hello"));
        } else if self.handlers.insert(endpoint.to_owned(), serves).is_some() {
            self.flaw(format!("endpoint {endpoint} has two handlers"));
        }
        self
    }

    /// Serves so many calls or streams of an endpoint at once; more are refused as `Overloaded`,
    /// beside the limit for all endpoints together: of [calls](ServerOptions::max_calls), of
    /// [streams](ServerOptions::max_streams).
    #[must_use]
    pub fn limit(mut self, endpoint: &str, calls: usize) -> Self {
        self.limits.insert(endpoint.to_owned(), calls);
        self
    }

    /// Tells the registry what an endpoint takes and gives, whatever kind of handler it has. Without
    /// it these stay unknown.
    ///
    /// A type is told as go-micro tells those of a Go service: names of fields as they are in JSON,
    /// and Go's names of types (`int32`, `[]string`, `map[string]bool`; an enum by its own name).
    /// Optional fields have the type of what they hold, lists and maps the fields of what is in
    /// them. What contains itself, or more than go in one message, is named without its fields.
    /// `()` is nothing to tell. Fields are in alphabetical order, or as in the source with the
    /// feature `preserve_order` of `schemars`.
    ///
    /// ```
    /// use micro::{Context, Server};
    /// use schemars::JsonSchema;
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// struct Hello { name: String }
    /// #[derive(Serialize, JsonSchema)]
    /// struct Greeting { greeting: String }
    ///
    /// let server = Server::new()
    ///     .handler("Greeter.Hello", async |_: Context, hello: Hello| {
    ///         Ok(Greeting { greeting: format!("Hello {}", hello.name) })
    ///     })
    ///     .describe::<Hello, Greeting>("Greeter.Hello");
    /// let request = server.endpoints()[0].request.clone().expect("it is described");
    /// assert_eq!((request.kind.as_str(), request.values[0].name.as_str()), ("Hello", "name"));
    /// assert_eq!(request.values[0].kind, "string");
    /// ```
    #[cfg(feature = "schemars")]
    #[must_use]
    pub fn describe<T, R>(mut self, endpoint: &str) -> Self
    where
        T: schemars::JsonSchema + ?Sized,
        R: schemars::JsonSchema + ?Sized,
    {
        self.types.set(endpoint, schema::read::<T>(), schema::written::<R>());
        self
    }

    /// Puts a layer around the handlers of all endpoints; see
    /// [`middleware`](crate::middleware). Calls of endpoints that do not exist, and those that a
    /// limit refuses, do not come to it.
    #[must_use]
    pub fn serve_layer(mut self, layer: impl Middleware<IncomingCall, Reply>) -> Self {
        self.call_layers.push(layer);
        self
    }

    /// Puts a layer around the handlers of all topics.
    #[must_use]
    pub fn event_layer(mut self, layer: impl Middleware<IncomingEvent, ()>) -> Self {
        self.event_layers.push(layer);
        self
    }

    /// Receives events of a topic (or several, by NATS's wildcards), with bodies in JSON.
    #[must_use]
    pub fn subscriber<T, F, Fut>(self, topic: &str, handler: F) -> Self
    where
        Json: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        self.subscriber_with::<Json, T, F, Fut>(topic, SubscriberOptions::default(), handler)
    }

    /// [`subscriber`](Self::subscriber) as a member of a queue: one member gets each event.
    #[must_use]
    pub fn queue_subscriber<T, F, Fut>(self, topic: &str, queue: &str, handler: F) -> Self
    where
        Json: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let options = SubscriberOptions::default().with_queue(queue);
        self.subscriber_with::<Json, T, F, Fut>(topic, options, handler)
    }

    /// Receives events with a codec of one's own choice, and as the options say: as a member of a
    /// queue, in order.
    #[must_use]
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
        match TopicFilter::new(topic) {
            Ok(topic) => {
                let subscriber = Subscriber::new::<C, T, F, Fut>(topic, options, handler);
                self.subscribers.push(subscriber);
            }
            Err(error) => self.flaw(error.to_string()),
        }
        self
    }

    /// What can be called and what is subscribed, as a registry tells it.
    pub fn endpoints(&self) -> Vec<Described> {
        let called = self.handlers.iter().map(|(name, serves)| {
            let described = self.types.described(name);
            match serves {
                Serves::Calls(_) => described,
                Serves::Streams(_) => described.with_metadata("stream", "true"),
            }
        });
        let subscribed = self.subscribers.iter().map(|subscriber| {
            Described::new(subscriber.topic.as_str())
                .with_metadata("subscriber", "true")
                .with_metadata("topic", subscriber.topic.as_str())
        });
        called.chain(subscribed).collect()
    }

    pub(crate) fn subscribes(&self) -> bool {
        !self.subscribers.is_empty()
    }

    /// The first thing that was wrong with a handler's name or a topic is told when it starts.
    fn flaw(&mut self, flaw: String) {
        self.flaw.get_or_insert_with(|| Arc::new(Error::invalid_input(flaw)));
    }

    /// Opens the port and the subscriptions. Calls are answered from now on.
    pub(crate) async fn start(
        self,
        service: &str,
        bind: Bind,
        transport: &dyn Transport,
        broker: &dyn Broker,
        client: Client,
        options: &ServerOptions,
    ) -> Result<RunningServer> {
        if let Some(flaw) = self.flaw {
            return Err(Error::new(flaw.kind(), flaw.detail()));
        }
        if let Some(unknown) = self.limits.keys().find(|name| !self.handlers.contains_key(*name)) {
            let detail = format!("there is a limit for endpoint {unknown}, but no handler");
            return Err(Error::invalid_input(detail));
        }
        if let Some(unknown) = self.types.other_than(|name| self.handlers.contains_key(name)) {
            let detail = format!("endpoint {unknown} is described, but has no handler");
            return Err(Error::invalid_input(detail));
        }
        let limit = |name: &String| self.limits.get(name).copied().unwrap_or(usize::MAX);
        let endpoints = (self.handlers.into_iter())
            .map(|(name, serves)| {
                let endpoint = Endpoint { serves, places: Places::new(limit(&name)) };
                (name, endpoint)
            })
            .collect();
        let layers = self.call_layers.around(IncomingCall::run);
        let service: Arc<str> = service.into();
        let (port, incoming) = transport.open(bind).await?;
        let address = port.local().unwrap_or_default().to_owned();
        let serving =
            Serving::new(service.clone(), endpoints, layers, port, client.clone(), options);
        let pump = serving.start(incoming);
        let layers = self.event_layers.around(IncomingEvent::run);
        let subscribers = self.subscribers;
        let subscribers =
            Subscribers::start(&service, subscribers, layers.as_ref(), broker, &client, options);
        let subscribers = subscribers.await?;
        Ok(RunningServer { address, pump, subscribers })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.subscribers.iter().map(|s| s.topic.as_str()).collect();
        f.debug_struct("Server")
            .field("endpoints", &self.handlers.keys())
            .field("topics", &topics)
            .finish()
    }
}

/// A server that is open.
pub(crate) struct RunningServer {
    pub(crate) address: String,
    pump: Pump,
    subscribers: Subscribers,
}

impl RunningServer {
    /// Where it listens.
    pub(crate) fn port(&self) -> &Arc<dyn Port> {
        self.pump.port()
    }

    /// Tells why the port is over, once it is.
    pub(crate) fn over(&self) -> watch::Receiver<Option<Arc<Error>>> {
        self.pump.over()
    }

    /// Serves on until hardly anything comes any more, then stops listening, finishes what was
    /// accepted and flushes. Whatever is not done by `limit` is told.
    pub(crate) async fn stop(self, limit: Instant) -> Result<()> {
        let end_streams = self.pump.end_streams_at(limit);
        let finish = async {
            let quiet = limit.min(after(Duration::from_secs(2)));
            self.pump.quiet(quiet).await;
            // Side by side: an event that takes for ever costs no call its answer.
            let ((), finished) =
                tokio::join!(self.subscribers.stop(), self.pump.finish(end_streams));
            finished
        };
        match tokio::time::timeout_at(limit, finish).await {
            Ok(finished) => finished,
            Err(_) => Err(Error::timeout(format!(
                "{} calls and events were still being served when the time to stop was over",
                self.pump.running() + self.subscribers.running()
            ))),
        }
    }
}
