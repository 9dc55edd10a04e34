//! A service: handlers, subscribers and a client under one name.

mod builder;
mod registration;
mod running;

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::registry::{Node, Service as Record};
use micro_core::transport::Bind;
use micro_core::{Error, ErrorKind, Result};

pub use self::builder::ServiceBuilder;
use self::registration::Registration;
pub use self::running::Running;
use crate::backends::Backends;
use crate::client::Client;
use crate::server::{Server, ServerOptions};
use crate::signals::Signals;

/// A service: handlers, subscribers and a client under one name.
///
/// ```
/// use micro::{Context, Service};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Hello { name: String }
/// #[derive(Serialize, Deserialize)]
/// struct Greeting { greeting: String }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro::Result<()> {
/// let service = Service::builder("greeter")
///     .handler("Greeter.Hello", async |_: Context, hello: Hello| {
///         Ok(Greeting { greeting: format!("Hello {}", hello.name) })
///     })
///     .build()?;
/// let client = service.client();
/// let running = service.start().await?;
///
/// let hello = Hello { name: "Bob".into() };
/// let reply: Greeting = client.call("greeter", "Greeter.Hello", &hello).await?;
/// assert_eq!(reply.greeting, "Hello Bob");
/// running.stop().await
/// # }
/// ```
#[derive(Debug)]
pub struct Service {
    identity: Identity,
    server: Server,
    server_options: ServerOptions,
    backends: Backends,
    client: Client,
    times: Times,
}

/// As what the service is known.
#[derive(Clone, Debug)]
struct Identity {
    name: String,
    version: String,
    id: String,
    address: String,
    advertise: Option<String>,
    metadata: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    register_ttl: Duration,
    register_interval: Duration,
    stop_timeout: Duration,
}

impl Service {
    /// Begins to describe a service of this name.
    pub fn builder(name: impl Into<String>) -> ServiceBuilder {
        ServiceBuilder::new(name.into())
    }

    /// The name that callers ask for.
    pub fn name(&self) -> &str {
        &self.identity.name
    }

    /// The id of its node, as a registry will tell it: `<name>-<id>`.
    pub fn node_id(&self) -> String {
        format!("{}-{}", self.identity.name, self.identity.id)
    }

    /// A client over the same backends.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The backends that were chosen.
    pub fn backends(&self) -> &Backends {
        &self.backends
    }

    /// Listens, subscribes and registers. Needs no network to be there: what is not reachable
    /// now becomes so when it is back. (Multicast DNS needs an interface, though.)
    ///
    /// # Errors
    /// `InvalidInput` for a name, endpoint, topic or address that is none; `Conflict` for an
    /// address that is taken; `TooLarge` for a description that cannot be registered.
    pub async fn start(self) -> Result<Running> {
        let id = self.node_id();
        let Self { identity, server, server_options, backends, client, times } = self;
        let mut record = Record::new(&identity.name, &identity.version);
        record.endpoints = server.endpoints();
        let bind = Bind::from(identity.address.as_str());
        let any_address = bind == Bind::Any && identity.advertise.is_none();
        backends.tell(any_address, server.subscribes());
        let server = server
            .start(
                &identity.name,
                bind,
                &*backends.transport,
                &*backends.broker,
                client.clone(),
                &server_options,
            )
            .await?;
        let port = server.port().clone();
        let (given, address) = match identity.advertise {
            Some(given) => (given.clone(), port.advertise(&given)?),
            None => (server.address.clone(), server.address.clone()),
        };
        let mut node = Node::new(id, address)
            .with_metadata("broker", backends.broker.name())
            .with_metadata("registry", backends.registry.name())
            .with_metadata("transport", backends.transport.name())
            // go-micro's name for its protocol; without it a Go client speaks JSON-RPC.
            .with_metadata("protocol", "mucp")
            .with_metadata("server", "mucp");
        node.metadata.extend(identity.metadata);
        record.nodes.push(node);
        let registration = Registration::new(backends.registry, port, given, record, times);
        Running::start(identity.name, registration, server, client, times.stop_timeout).await
    }

    /// [`start`](Self::start)s, serves until SIGINT or SIGTERM, and [stops](Running::stop). A
    /// second signal ends it at once.
    ///
    /// # Errors
    /// As for `start` and `stop`; `Cancelled` after a second signal; why it cannot serve any more.
    pub async fn run(self) -> Result<()> {
        self.run_with(|_| {}).await
    }

    /// [`run`](Self::run)s, and tells this when it serves and a signal would stop it in order.
    ///
    /// # Errors
    /// As for `run`.
    pub async fn run_with(self, serving: impl FnOnce(&Running)) -> Result<()> {
        // Before anybody can know that it serves.
        let mut signals = Signals::listen()?;
        let running = self.start().await?;
        serving(&running);
        let signal = tokio::select! {
            signal = signals.next() => signal?,
            error = running.failed() => {
                running.stop().await?;
                return Err(error);
            }
        };
        tracing::info!(service = running.name(), signal, "stopping");
        tokio::select! {
            stopped = running.stop() => stopped,
            signal = signals.next() => {
                let detail = format!("a second signal, {}, came while stopping", signal?);
                Err(Error::new(ErrorKind::Cancelled, detail))
            }
        }
    }
}
