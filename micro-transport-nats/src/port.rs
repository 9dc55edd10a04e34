//! The sending half of an open port.

use std::sync::Arc;

use async_trait::async_trait;
use micro_core::Result;
use micro_core::transport::{Peer, Port};

use crate::address;
use crate::listening::Listening;
use crate::peers::Peers;

#[derive(Debug)]
pub(crate) struct NatsPort {
    peers: Arc<Peers>,
    listening: Option<Arc<Listening>>,
}

impl NatsPort {
    pub(crate) fn new(peers: Arc<Peers>, listening: Option<Arc<Listening>>) -> Self {
        Self { peers, listening }
    }
}

#[async_trait]
impl Port for NatsPort {
    fn local(&self) -> Option<&str> {
        self.listening.as_ref().map(|listening| listening.address())
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        address::check(address)?;
        Ok(Peer::new(self.peers.dial(address)))
    }

    async fn stop_listening(&self) -> Result<()> {
        match &self.listening {
            Some(listening) => listening.stop(&self.peers.nats).await,
            None => Ok(()),
        }
    }

    async fn flush(&self) -> Result<()> {
        self.peers.nats.flush().await
    }

    /// New connections to the server, and messages lost because a subscription's reader was too slow;
    /// of these the NATS client tells by an event, which may come after later messages.
    fn interruptions(&self) -> u64 {
        self.peers.fences.epoch().saturating_sub(1) + self.peers.nats.dropped_messages()
    }
}
