//! Calls and publications.

mod builder;
mod cache;
mod call;
mod options;
mod pool;
mod publish;
mod select;

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{Broker, Topic};
use micro_core::codec::{Encode, Json, Raw};
use micro_core::registry::ServiceName;
use micro_core::wire::Outgoing;
use micro_core::{Error, Header, Registry, RequestState, Result, Transport};
use tokio::time::Instant;

pub use self::builder::ClientBuilder;
use self::cache::Cache;
pub use self::call::Call;
use self::options::CallOptions;
pub use self::options::ClientOptions;
use self::pool::Pool;
pub use self::publish::Publish;
pub use self::select::Strategy;
use self::select::{Selector, Target};
use crate::hub::{Conn, Hub};

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
    cache: Cache,
    selector: Selector,
    pool: Pool,
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
        let inner = Inner {
            cache: Cache::new(registry.clone()),
            selector: Selector::new(options.strategy),
            pool: Pool::new(transport.clone()),
            transport,
            broker,
            registry,
            options,
        };
        Self { inner: Arc::new(inner), inherited: None }
    }

    /// Calls an endpoint with a body in JSON; `await` the [`Call`], after options if need be.
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
        Call {
            client: self.clone(),
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            body: C::encode(request),
            options: CallOptions::new(C::CONTENT_TYPE),
            types: PhantomData,
        }
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

    /// The registry that it finds services in.
    pub fn registry(&self) -> &Arc<dyn Registry> {
        &self.inner.registry
    }

    /// The broker that it publishes to.
    pub fn broker(&self) -> &Arc<dyn Broker> {
        &self.inner.broker
    }

    pub(crate) fn inheriting(&self, metadata: Header, deadline: Option<Instant>) -> Self {
        let inherited = Some(Arc::new(Inherited { metadata, deadline }));
        Self { inner: self.inner.clone(), inherited }
    }

    /// Waits, bounded, until what was sent has left.
    pub(crate) async fn flush(&self) -> Result<()> {
        self.inner.broker.flush().await?;
        self.inner.pool.flush().await
    }

    /// When a call with this timeout ends, also because of the call that it is made in.
    fn limit(&self, timeout: Option<Duration>) -> Instant {
        let own = Instant::now() + timeout.unwrap_or(self.inner.options.request_timeout);
        match self.inherited.as_ref().and_then(|inherited| inherited.deadline) {
            Some(deadline) => deadline.min(own),
            None => own,
        }
    }

    /// Tries nodes until one answers, as far as that is safe and there is time.
    async fn run(
        &self,
        service: &str,
        endpoint: &str,
        body: &Bytes,
        options: &CallOptions,
    ) -> Result<micro_core::wire::Reply> {
        let inner = &*self.inner;
        let deadline = self.limit(options.timeout);
        let merged;
        let metadata = match &self.inherited {
            Some(inherited) => {
                merged = merge(&inherited.metadata, &options.metadata);
                &merged
            }
            None => &options.metadata,
        };
        let retries = options.retries.unwrap_or(inner.options.retries);
        let mut failed: Vec<String> = Vec::new();
        let mut backoff = Backoff::new();
        let mut attempt = 0;
        loop {
            let target = self.target(service, options, &failed, deadline).await?;
            let limit = match options.idempotent {
                true => deadline.min(Instant::now() + self.attempt_limit(options, deadline)),
                false => deadline,
            };
            let (hub, conn) =
                inner.pool.conn(&target.address, &options.content_type).await.map_err(not_sent)?;
            if inner.transport.health().is_err() {
                // Waited for once: if it is not there by then, no other node is either.
                self.away(&conn, deadline).await?;
            }
            let call = Outgoing {
                service,
                endpoint,
                content_type: &options.content_type,
                timeout: Some(limit.saturating_duration_since(Instant::now())),
                metadata,
                body,
            };
            let error = match self.attempt(&hub, &conn, &call, limit).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let safe = match error.request() {
                Some(RequestState::NotSent) => true,
                Some(RequestState::Unknown) => options.idempotent,
                _ => false,
            };
            let worth = matches!(
                error.kind(),
                micro_core::ErrorKind::Unavailable | micro_core::ErrorKind::Timeout
            );
            attempt += 1;
            if !safe || !worth || attempt > retries || Instant::now() >= deadline {
                return Err(error);
            }
            tracing::debug!(service, endpoint, node = target.id, %error, attempt, "trying again");
            // Another node is tried at once; the same ones again only after a pause.
            let others = !target.explicit && !failed.contains(&target.id);
            if let Some(service) = target.service() {
                inner.selector.avoid(service, &target.id);
            }
            failed.push(target.id);
            if !others {
                tokio::time::sleep_until(deadline.min(Instant::now() + backoff.next())).await;
            }
        }
    }

    fn attempt_limit(&self, options: &CallOptions, deadline: Instant) -> Duration {
        options.attempt_timeout.or(self.inner.options.attempt_timeout).unwrap_or_else(|| {
            let whole = deadline.saturating_duration_since(Instant::now());
            (whole / 3).min(Duration::from_secs(1))
        })
    }

    /// The node to try next.
    async fn target(
        &self,
        service: &str,
        options: &CallOptions,
        failed: &[String],
        deadline: Instant,
    ) -> Result<Target> {
        let inner = &*self.inner;
        if let Some(address) = &options.address {
            return Ok(Target::explicit(address));
        }
        let known = match inner.cache.known(service) {
            Some(known) => known,
            None => {
                let name = ServiceName::new(service).map_err(not_sent)?;
                let wait = self.connect_deadline(deadline);
                let found = tokio::time::timeout_at(wait, inner.cache.find(&name)).await;
                match found {
                    Ok(found) => found.map_err(not_sent)?,
                    Err(_) => {
                        let timeout =
                            || Error::timeout(format!("no answer about service {name} in time"));
                        let reason = inner.registry.health().err().unwrap_or_else(timeout);
                        return Err(not_sent(reason));
                    }
                }
            }
        };
        inner.selector.pick(service, &known, inner.transport.name(), failed).map_err(not_sent)
    }

    /// One request to one node, and its answer.
    async fn attempt(
        &self,
        hub: &Arc<Hub>,
        conn: &Arc<Conn>,
        call: &Outgoing<'_>,
        limit: Instant,
    ) -> Result<micro_core::wire::Reply> {
        let in_flight = hub.begin();
        let pending = conn.call(call)?;
        hub.send(conn);
        let answer = pending.until(limit).await;
        drop(in_flight);
        match answer {
            Ok(reply) => reply,
            Err(state) => {
                let waited = call.timeout.unwrap_or_default();
                let reason = match (state, self.inner.transport.health()) {
                    (RequestState::NotSent, Err(reason)) => reason,
                    _ => Error::timeout(format!(
                        "no answer from {} of {} within {waited:?}",
                        call.endpoint, call.service
                    )),
                };
                Err(reason.with_request(state))
            }
        }
    }

    /// Waits for the network, but not longer than a caller wants to.
    async fn away(&self, conn: &Conn, deadline: Instant) -> Result<()> {
        let wait = self.connect_deadline(deadline);
        match tokio::time::timeout_at(wait, conn.peer.ready()).await {
            Ok(ready) => ready.map_err(not_sent),
            Err(_) => Err(not_sent(
                (self.inner.transport.health().err())
                    .unwrap_or_else(|| Error::unavailable("the transport has no room")),
            )),
        }
    }

    fn connect_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(Instant::now() + self.inner.options.connect_wait)
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

fn not_sent(error: Error) -> Error {
    error.with_request(RequestState::NotSent)
}

/// What is inherited, and what the call itself says, which counts more.
fn merge(inherited: &Header, own: &Header) -> Header {
    let mut merged = inherited.clone();
    merged.extend(own.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    merged
}

/// Exponential with full jitter: up to 10 ms, 20 ms … 1 s.
struct Backoff(u32);

impl Backoff {
    fn new() -> Self {
        Self(10)
    }

    fn next(&mut self) -> Duration {
        let limit = self.0;
        self.0 = (limit * 2).min(1000);
        Duration::from_millis(u64::from(fastrand::u32(1..=limit)))
    }
}
