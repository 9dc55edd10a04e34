//! A nats-server with services on it.

use std::future::IntoFuture;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
use micro::{Client, RequestState, Running, Server, Service, ServiceBuilder};
use micro_examples::echo;
use micro_testkit::server::NatsServer;
use tokio::time::{sleep, timeout};

use crate::program::{LIMIT, Micro, Program};

/// A nats-server, and commands that go there.
pub(crate) struct World {
    pub(crate) nats: NatsServer,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self { nats: NatsServer::start().await }
    }

    /// One with `echo`, as its node `echo-1` at `echo.1`.
    pub(crate) async fn with_echo() -> (Self, Running) {
        let world = Self::new().await;
        let echo = world.echo("1").await;
        (world, echo)
    }

    /// A command that goes to this server.
    pub(crate) fn micro(&self, words: &[&str]) -> Micro {
        Micro::new(words).env("MICRO_NATS_ADDRESS", &self.nats.address())
    }

    /// Runs a command, and gives what it printed.
    pub(crate) async fn prints(&self, words: &[&str]) -> String {
        self.micro(words).run().await.fine()
    }

    /// A subscriber that hears whatever is published from now on.
    pub(crate) async fn subscriber(&self, words: &[&str]) -> Program {
        let mut subscriber = self.micro(&[&["subscribe"], words].concat()).start();
        subscriber.says("subscribed to").await;
        subscriber
    }

    /// Waits until NATS has more subscriptions of this subject than before.
    pub(crate) async fn more_subscriptions(&self, subject: &str, before: usize) {
        let heard = async { while self.subscriptions(subject).await <= before {} };
        timeout(LIMIT, heard).await.expect("NATS does not hear of the subscription");
    }

    /// How many subscriptions of this subject NATS has.
    pub(crate) async fn subscriptions(&self, subject: &str) -> usize {
        let all = self.nats.monitor("/subsz?subs=1").await;
        let all = all["subscriptions_list"].as_array().into_iter().flatten();
        all.filter(|one| one["subject"] == subject).count()
    }

    /// A node of `echo`, which is dead when it is dropped.
    pub(crate) async fn echo(&self, id: &str) -> Running {
        let node = Arc::new(OnceLock::from(format!("echo-{id}")));
        self.serve("echo", id, echo::server(node)).await
    }

    /// A node of a service with these endpoints, which is dead when it is dropped.
    pub(crate) async fn serve(&self, name: &str, id: &str, server: Server) -> Running {
        start(service(&self.nats.address(), name, id).server(server)).await
    }

    /// What talks to services from within the test.
    pub(crate) fn client(&self) -> Client {
        let nats = Nats::new([self.nats.address()]).unwrap();
        Client::builder()
            .registry(NatsRegistry::with(&nats))
            .transport(NatsTransport::with(&nats))
            .broker(NatsBroker::with(&nats))
            .build()
            .unwrap()
    }
}

/// A service with a connection of its own, and with names that a snapshot may have.
pub(crate) fn service(nats: &str, name: &str, id: &str) -> ServiceBuilder {
    let nats = Nats::new([nats]).unwrap();
    Service::builder(name)
        .id(id)
        .address(format!("{name}.{id}"))
        .registry(NatsRegistry::with(&nats))
        .transport(NatsTransport::with(&nats))
        .broker(NatsBroker::with(&nats))
}

/// Starts it, and waits until it answers.
pub(crate) async fn start(service: ServiceBuilder) -> Running {
    let running = service.build().unwrap().start().await.unwrap();
    let (client, address) = (running.client(), running.node().address.clone());
    let answers = async {
        let health = || client.call_raw(running.name(), "Debug.Health", "{}").address(&address);
        while health()
            .into_future()
            .await
            .is_err_and(|error| error.request() != Some(RequestState::Executed))
        {
            // nats-server may not have heard yet that it listens.
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, answers).await.expect("the service does not answer");
    running
}
