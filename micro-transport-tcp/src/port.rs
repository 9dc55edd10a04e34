//! The sending half of an open port.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::transport::{Peer, Port};
use micro_core::{Error, Result};
use tokio::time::timeout_at;

use crate::address::{Host, Target, host_and_port};
use crate::hub::{Hub, after};
use crate::listening::Listening;
use crate::peer::Shared;
use crate::tls::ABSENT;

pub(crate) struct TcpPort {
    hub: Arc<Hub>,
    listening: Option<Arc<Listening>>,
}

impl TcpPort {
    pub(crate) fn new(hub: Arc<Hub>, listening: Option<Arc<Listening>>) -> Self {
        Self { hub, listening }
    }
}

#[async_trait]
impl Port for TcpPort {
    fn local(&self) -> Option<&str> {
        self.listening.as_ref().map(|listening| listening.address())
    }

    /// A host, with a port where it is another one than this port's: the id is added. An unspecified
    /// one, and the address that it calls itself, follow the network of this machine.
    fn advertise(&self, address: &str) -> Result<String> {
        let flawed =
            |flaw: &str| Error::invalid_input(format!("{address:?} cannot be advertised: {flaw}"));
        let listening = self.listening.as_ref().ok_or_else(|| flawed("the port only dials"))?;
        if address == listening.address() {
            return Ok(listening.address_now());
        }
        let own = listening.port.ok_or_else(|| flawed("it listens at a Unix socket alone"))?;
        let rest =
            if listening.tls { address.strip_prefix("tls://").unwrap_or(address) } else { address };
        let (host, port) = host_and_port(rest).map_err(flawed)?;
        let host = match host.ok_or_else(|| flawed("it names no host"))? {
            Host::Ip(ip) if ip.is_unspecified() => Host::Ip(listening.reachable.now(ip)),
            host => host,
        };
        match port.unwrap_or(own) {
            0 => Err(flawed("it names port 0")),
            port => Ok(listening.address_at(&host, port)),
        }
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        let target = Target::parse(address)?;
        let flaw = match &self.hub.tls {
            None if target.tls => Some(format!("wants TLS: {ABSENT}")),
            Some(_) if !target.tls => Some("is without TLS, which this transport has".to_owned()),
            Some(tls) => tls.cannot_dial().map(str::to_owned),
            None => None,
        };
        if let Some(flaw) = flaw {
            return Err(Error::invalid_input(format!("{address:?} {flaw}")));
        }
        Ok(Shared::dialled(&self.hub, address, target))
    }

    async fn stop_listening(&self) -> Result<()> {
        if let Some(listening) = &self.listening {
            listening.stop();
        }
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        let deadline = after(self.hub.options.linger);
        let waiting: Vec<Arc<Shared>> = self.hub.live().values().cloned().collect();
        for peer in waiting {
            if timeout_at(deadline, peer.flushed()).await.is_err() {
                let late = format!("packets to {} have not left in time", peer.remote);
                return Err(Error::unavailable(late));
            }
        }
        Ok(())
    }
}
