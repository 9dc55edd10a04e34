//! The contract of the interface, over a real nats-server.

use std::sync::Arc;
use std::time::Duration;

use micro_core::{Registry, async_trait};
use micro_registry_nats::micro_nats::{Addresses, Nats, NatsOptions};
use micro_registry_nats::{NatsRegistry, Options};
use micro_testkit::server::NatsServer;
use micro_testkit::{Network, registry};
use tokio::sync::Mutex;

struct Fixture {
    address: String,
    server: Mutex<NatsServer>,
}

async fn fixture() -> Fixture {
    let server = NatsServer::start().await;
    Fixture { address: server.address(), server: Mutex::new(server) }
}

#[async_trait]
impl registry::Fixture for Fixture {
    async fn registry(&self) -> Arc<dyn Registry> {
        let addresses = Addresses::parse([&self.address]).expect("the server's address");
        let options = NatsOptions::default()
            .with_addresses(addresses)
            .with_connect_wait(Duration::from_secs(2));
        let nats = Nats::with_options(options).expect("good options");
        let options = Options::default().with_lease(Duration::from_secs(1));
        Arc::new(NatsRegistry::with_options(&nats, options).expect("good options"))
    }

    fn too_large(&self) -> Option<usize> {
        Some(2 << 20)
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(self)
    }
}

#[async_trait]
impl Network for Fixture {
    async fn down(&self) {
        self.server.lock().await.stop().await;
    }

    async fn up(&self) {
        self.server.lock().await.restart().await;
    }
}

micro_testkit::registry_suite!(fixture());
