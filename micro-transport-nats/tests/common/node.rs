//! A node without our transport, so that a test decides what it says of itself.

use bytes::Bytes;
use futures_util::StreamExt;
use micro_testkit::server::NatsServer;
use micro_transport_nats::micro_nats::async_nats::{Client, Message, Subscriber};

use super::{next, round_trip, stranger, subscribe};

/// Answers in the name of its home, if it has one; without one it is like go-micro's.
pub struct Node {
    pub client: Client,
    listening: Subscriber,
    pub home: Option<Subscriber>,
    name: Option<String>,
}

impl Node {
    pub async fn start(server: &NatsServer, address: &str, home: Option<&str>) -> Self {
        let client = stranger(&server.url()).await;
        let listening = subscribe(&client, address).await;
        let name = home.map(str::to_owned);
        let home = match home {
            Some(home) => Some(subscribe(&client, home).await),
            None => None,
        };
        Self { client, listening, home, name }
    }

    pub async fn request(&mut self) -> Message {
        next(&mut self.listening).await
    }

    pub async fn reply(&self, request: &Message, packet: impl Into<Bytes>) {
        let (to, packet) = (request.reply.clone().unwrap(), packet.into());
        match self.name.clone() {
            Some(home) => self.client.publish_with_reply(to, home, packet).await.unwrap(),
            None => self.client.publish(to, packet).await.unwrap(),
        }
        round_trip(&self.client).await;
    }

    pub async fn stop_listening(&mut self) {
        self.listening.unsubscribe().await.unwrap();
        round_trip(&self.client).await;
    }

    /// What came to its home.
    pub async fn asked(&mut self) -> Message {
        match &mut self.home {
            Some(home) => home.next().await.expect("the subscription lives"),
            None => std::future::pending().await,
        }
    }
}
