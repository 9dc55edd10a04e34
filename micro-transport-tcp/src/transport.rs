//! The transport.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use micro_core::transport::{Bind, Capabilities, Incoming, Port, Transport};
use micro_core::{Error, PluginConfig, Reach, Result};

use crate::address::Listen;
use crate::config::Options;
use crate::dropped::{Counters, Dropped};
use crate::hub::Hub;
use crate::incoming::TcpIncoming;
use crate::listening::Listening;
use crate::port::TcpPort;
use crate::tls::{ABSENT, Loaded};

/// Packets over TCP and Unix sockets. Cheap to clone; the clones are the same transport.
///
/// * A peer is a connection of its own, made when the first packet is sent. Whoever is dialled
///   greets before any packet leaves, so nobody there, somebody else there, or nobody in time is
///   [`Undelivered`](micro_core::transport::Arrival::Undelivered) with all packets.
/// * After the greeting the end of a connection is [`Closed`](micro_core::transport::Arrival::Closed),
///   with the packets that the system had not taken in full. What it had taken may have arrived
///   or not.
/// * A port is over with its [`Incoming`]: all connections end at once. `close` of a peer takes
///   its time: what was taken is written first.
#[derive(Clone)]
pub struct TcpTransport {
    listen: Listen,
    options: Options,
    tls: Option<Arc<Loaded>>,
    counters: Arc<Counters>,
}

impl TcpTransport {
    /// A transport whose ports listen at this address if they are not told otherwise, each at a
    /// TCP port of its own: `HOST` or `HOST:PORT`; `unix:/FOLDER/`; or, with the feature `tls`,
    /// `tls://HOST:PORT?ca=FILE&cert=FILE&key=FILE`. At most one; without any it is `127.0.0.1`.
    ///
    /// # Errors
    /// `InvalidInput`, naming what is no such address.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::with_options(addresses, Options::default())
    }

    /// As [`new`](Self::new), with what the flags say. A namespace means nothing here: addresses
    /// are no names.
    ///
    /// # Errors
    /// As for `new`.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::new(&config.addresses)
    }

    /// As [`new`](Self::new), with options.
    ///
    /// # Errors
    /// As for `new`; also options that cannot be.
    pub fn with_options<I>(addresses: I, options: Options) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut addresses = addresses.into_iter();
        let address = addresses.next();
        let address = address.as_ref().map(|address| address.as_ref().trim());
        if let Some(second) = addresses.next() {
            let second = second.as_ref();
            let flaw = format!("a port listens at one address, so not at {second:?} too");
            return Err(Error::invalid_input(flaw));
        }
        let (place, files) = match address.map(|address| address.split_once('?')) {
            Some(Some((place, files))) => (Some(place), Some(files)),
            _ => (address, None),
        };
        let mut listen = place.map(Listen::parse).transpose()?.unwrap_or_default();
        if files.is_some() && !listen.tls {
            let flaw = format!("{:?}: only tls:// has files", address.unwrap_or_default());
            return Err(Error::invalid_input(flaw));
        }
        let tls = Loaded::load(&options, listen.tls, files)?.map(Arc::new);
        listen.tls = tls.is_some();
        if let Some(flaw) = options.flaw() {
            return Err(Error::invalid_input(flaw));
        }
        Ok(Self { listen, options, tls, counters: Arc::default() })
    }

    /// Where it listens; in a transport with TLS always with it.
    fn encrypted(&self, mut listen: Listen) -> Result<Listen> {
        let flaw = match &self.tls {
            None if listen.tls => Some(ABSENT),
            Some(_) if !listen.has_host() => Some("with TLS there is no Unix socket alone"),
            Some(tls) => tls.cannot_listen(),
            None => None,
        };
        if let Some(flaw) = flaw {
            return Err(Error::invalid_input(format!("cannot listen: {flaw}")));
        }
        listen.tls = self.tls.is_some();
        Ok(listen)
    }

    /// How many connections the ports of this transport closed because of the other side.
    pub fn dropped(&self) -> Dropped {
        self.counters.dropped()
    }
}

#[async_trait]
impl Transport for TcpTransport {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let listen = match bind {
            Bind::Any => Some(self.listen.clone()),
            Bind::Address(address) => Some(Listen::parse(&address)?),
            _ => None,
        };
        let listening = match listen.map(|listen| self.encrypted(listen)).transpose()? {
            Some(listen) => Some(Arc::new(Listening::open(&listen, &self.options).await?)),
            None => None,
        };
        let hub = Arc::new(Hub::new(self.options.clone(), self.counters.clone(), self.tls.clone()));
        let port = TcpPort::new(hub.clone(), listening.clone());
        Ok((Arc::new(port), Box::new(TcpIncoming::new(hub, listening))))
    }

    fn capabilities(&self) -> Capabilities {
        let reach = if self.listen.is_local() { Reach::Machine } else { Reach::Network };
        Capabilities::default()
            .with_undelivered(true)
            .with_closed(true)
            .with_reliable(true)
            .with_max_packet(self.options.max_packet)
            .with_reach(reach)
    }
}

impl fmt::Debug for TcpTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TcpTransport")
            .field("listen", &self.listen)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
