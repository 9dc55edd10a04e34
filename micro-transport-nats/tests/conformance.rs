//! The contract of a transport, over a real nats-server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::transport::{Bind, Capabilities, Incoming, Port};
use micro_core::{Result, Transport, async_trait};
use micro_testkit::server::NatsServer;
use micro_testkit::{Network, transport};
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::async_nats;
use tokio::sync::Mutex;

struct Fixture {
    address: String,
    server: Server,
}

struct Server(Mutex<NatsServer>);

async fn fixture() -> Fixture {
    let server = NatsServer::start().await;
    Fixture { address: server.address(), server: Server(Mutex::new(server)) }
}

#[async_trait]
impl transport::Fixture for Fixture {
    async fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(Settled(NatsTransport::new([&self.address]).unwrap()))
    }

    fn bad_addresses(&self) -> Vec<String> {
        ["", "a b", "a\nb", "*", "a.>", "$SYS.x", "micro.nats.query"].map(String::from).into()
    }

    async fn garbage(&self, address: &str) {
        let client = async_nats::connect(&self.address).await.unwrap();
        let to = || address.to_owned();
        client.publish(to(), Bytes::new()).await.unwrap();
        client.publish(to(), "without a reply subject".into()).await.unwrap();
        for reply in ["micro.nats.watch", "$SYS.x", "a.*", address] {
            client.publish_with_reply(to(), reply.to_owned(), "x".into()).await.unwrap();
        }
        client.flush().await.unwrap();
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(&self.server)
    }
}

/// Opening is local: the server hears of a port a moment later. The checks dial it at once, over
/// other connections, so here it is waited for where a server is.
struct Settled(NatsTransport);

#[async_trait]
impl Transport for Settled {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let open = self.0.open(bind).await?;
        let settled = self.0.nats().round_trip();
        let _ = tokio::time::timeout(Duration::from_millis(500), settled).await;
        Ok(open)
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn health(&self) -> Result<()> {
        self.0.health()
    }
}

#[async_trait]
impl Network for Server {
    async fn down(&self) {
        self.0.lock().await.stop().await;
    }

    async fn up(&self) {
        self.0.lock().await.restart().await;
    }
}

micro_testkit::transport_suite!(fixture());
