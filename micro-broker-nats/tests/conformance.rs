//! The contract of a broker, over a real nats-server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use micro_broker_nats::micro_nats::{Nats, NatsOptions, async_nats};
use micro_broker_nats::{NatsBroker, Options};
use micro_core::broker::Topic;
use micro_core::{Broker, async_trait};
use micro_testkit::server::NatsServer;
use micro_testkit::{Network, broker};
use tokio::sync::Mutex;

const BUFFER: usize = 64;

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
impl broker::Fixture for Fixture {
    async fn broker(&self) -> Arc<dyn Broker> {
        let options = NatsOptions::default()
            .with_addresses(self.address.parse().unwrap())
            .with_connect_wait(Duration::from_secs(3));
        let nats = Nats::with_options(options).unwrap();
        let options = Options::default().with_max_events(BUFFER);
        Arc::new(NatsBroker::with_options(&nats, options).unwrap())
    }

    fn buffer(&self) -> usize {
        BUFFER
    }

    async fn garbage(&self, topic: &Topic) {
        let client = async_nats::connect(&self.address).await.unwrap();
        let broken = [
            "",
            "null",
            "[]",
            "{",
            "\"\"",
            r#"{"Header":{"a":1}}"#,
            r#"{"Body":"*"}"#,
            r#"{"Header":[],"Body":""}"#,
            "\0\u{1}",
        ];
        for payload in broken {
            client.publish(topic.to_string(), payload.into()).await.unwrap();
        }
        client.publish(topic.to_string(), vec![0xff; 1000].into()).await.unwrap();
        client.flush().await.unwrap();
    }

    fn network(&self) -> Option<&dyn Network> {
        Some(&self.server)
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

micro_testkit::broker_suite!(fixture());
