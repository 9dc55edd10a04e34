//! The transport.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::transport::{Bind, Capabilities, Incoming, Port, Transport};
use micro_core::{PluginConfig, Result};
use micro_nats::Nats;

use crate::address::{self, Addresses};
use crate::config::Options;
use crate::dropped::{Counters, Dropped};
use crate::incoming::NatsIncoming;
use crate::listening::Listening;
use crate::peers::Peers;
use crate::port::NatsPort;

/// Packets over NATS subjects. Cheap to clone; the clones are the same transport.
///
/// * A port has two subscriptions: one to the address that others dial, and one to the return
///   addresses of all its peers. Dialling and accepting peers costs the server nothing.
/// * [`Undelivered`](micro_core::transport::Arrival::Undelivered) comes one round trip after the
///   server said that nobody listens; while NATS is away, after it is back. Its count can be too
///   small, for instance 0 for packets that were on the way when the connection broke. It is not
///   too large, with one exception that NATS gives no means to see: the listener lost its own
///   connection, not ours, and was back within the time that packets were on the way.
/// * [`Closed`](micro_core::transport::Arrival::Closed) follows once the node is found to be gone,
///   not only draining. An orderly close of a peer is not seen by the other end: go-micro's wire
///   has no word for it.
/// * [`stop_listening`](micro_core::transport::Port::stop_listening) loses nothing that is on the
///   way, unless more than 4,096 packets arrive before the server reads that it ends; for that it
///   sends up to so many empty messages to itself.
/// * A second port of this transport, or of a clone, cannot listen on the same address. Ports of
///   other transports and processes that listen there are not seen, and get each packet too.
#[derive(Clone, Debug)]
pub struct NatsTransport {
    nats: Nats,
    options: Options,
    addresses: Arc<Addresses>,
    counters: Arc<Counters>,
}

impl NatsTransport {
    /// A transport with a connection of its own, to one of these servers; each item may be a
    /// comma-separated list. Without any it is `127.0.0.1:4222`. Connects in the background, at
    /// the first use.
    ///
    /// # Errors
    /// `InvalidInput`, naming the address that is none.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self::with(&Nats::new(addresses)?))
    }

    /// As [`new`](Self::new), with the addresses that the flags say. A namespace means nothing
    /// here: addresses are no names.
    ///
    /// # Errors
    /// As for `new`.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::new(&config.addresses)
    }

    /// A transport over a connection that others use too.
    pub fn with(nats: &Nats) -> Self {
        Self::with_options(nats, Options::default())
    }

    /// As [`with`](Self::with), with options.
    pub fn with_options(nats: &Nats, options: Options) -> Self {
        Self { nats: nats.clone(), options, addresses: Arc::default(), counters: Arc::default() }
    }

    /// The connection.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// What arrived at the ports of this transport and was no packet.
    pub fn dropped(&self) -> Dropped {
        self.counters.dropped()
    }
}

#[async_trait]
impl Transport for NatsTransport {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let address = match bind {
            Bind::Any => Some(self.nats.new_inbox()),
            Bind::Address(address) => {
                address::check(&address)?;
                Some(address)
            }
            _ => None,
        };
        let claim = address.map(|address| self.addresses.claim(&address)).transpose()?;
        let peers = Arc::new(Peers::new(
            self.nats.clone(),
            self.options.clone(),
            self.nats.client()?.statistics(),
            Arc::clone(&self.counters),
            Arc::clone(&self.addresses),
        ));
        let returns = self.nats.subscribe(&peers.wildcard(), None).await?;
        let listening = match claim {
            Some(claim) => {
                let subscriber = self.nats.subscribe(claim.address(), None).await?;
                Some(Arc::new(Listening::new(subscriber, claim)))
            }
            None => None,
        };
        let port = NatsPort::new(Arc::clone(&peers), listening.clone());
        let incoming = NatsIncoming::new(peers, returns, listening);
        Ok((Arc::new(port), Box::new(incoming)))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().with_undelivered(true)
    }

    fn health(&self) -> Result<()> {
        self.nats.health()
    }
}
