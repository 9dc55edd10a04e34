//! What the tests share: one end of a transport, and others' ends without it.
#![allow(dead_code, unreachable_pub, missing_docs)]

pub mod listener;
pub mod node;

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use micro_core::Transport as _;
use micro_core::transport::{Arrival, Bind, Incoming, Peer, Port, Refused, recv};
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::async_nats::{Client, Message, Subscriber, connect};

/// Far more than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(20);

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {LIMIT:?}"))
}

/// An open port with its receiver.
pub struct End {
    pub transport: NatsTransport,
    pub port: Arc<dyn Port>,
    pub incoming: Box<dyn Incoming>,
    arrivals: VecDeque<Arrival>,
}

impl End {
    /// A port whose subscriptions the server knows.
    pub async fn open(transport: &NatsTransport, bind: Bind) -> Self {
        let (port, incoming) = transport.open(bind).await.unwrap();
        transport.nats().connected().await.unwrap();
        transport.nats().round_trip().await.unwrap();
        Self { transport: transport.clone(), port, incoming, arrivals: VecDeque::new() }
    }

    pub fn address(&self) -> String {
        self.port.local().expect("it listens").to_owned()
    }

    pub async fn next(&mut self) -> Arrival {
        while self.arrivals.is_empty() {
            let mut arrivals = Vec::new();
            within("an arrival", recv(&mut *self.incoming, &mut arrivals)).await.unwrap();
            self.arrivals.extend(arrivals);
        }
        self.arrivals.pop_front().unwrap()
    }

    pub async fn packet(&mut self) -> (Peer, Bytes) {
        match self.next().await {
            Arrival::Packet { peer, packet } => (peer, packet),
            other => panic!("a packet was to come, not {other:?}"),
        }
    }

    pub async fn undelivered(&mut self) -> (Peer, u64) {
        match self.next().await {
            Arrival::Undelivered { peer, packets } => (peer, packets),
            other => panic!("Undelivered was to come, not {other:?}"),
        }
    }

    pub async fn closed(&mut self) -> (Peer, u64) {
        match self.next().await {
            Arrival::Closed { peer, packets } => (peer, packets),
            other => panic!("Closed was to come, not {other:?}"),
        }
    }

    /// All that has arrived after a round trip, without waiting for anything else.
    pub async fn all(&mut self) -> Vec<Arrival> {
        self.transport.nats().round_trip().await.unwrap();
        let mut arrivals: Vec<_> = self.arrivals.drain(..).collect();
        loop {
            let mut more = Vec::new();
            tokio::select! {
                biased;
                received = recv(&mut *self.incoming, &mut more) => received.unwrap(),
                // A task that used up its budget looks idle once.
                () = async { for _ in 0..16 { tokio::task::yield_now().await } } => return arrivals,
            }
            arrivals.extend(more);
        }
    }
}

/// Sends; waits where there is no room.
pub async fn send(peer: &Peer, packet: impl Into<Bytes>) {
    let mut packet = packet.into();
    loop {
        match peer.try_send(packet) {
            Ok(()) => return,
            Err(Refused::Full(back)) => packet = back,
            Err(other) => panic!("not sent: {other:?}"),
        }
        within("room", peer.ready()).await.unwrap();
    }
}

/// A client that knows nothing of us.
pub async fn stranger(url: &str) -> Client {
    connect(url).await.unwrap()
}

/// A subscription that the server knows.
pub async fn subscribe(client: &Client, subject: &str) -> Subscriber {
    let subscriber = client.subscribe(subject.to_owned()).await.unwrap();
    round_trip(client).await;
    subscriber
}

/// The server has dealt with all that the client sent.
pub async fn round_trip(client: &Client) {
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, Bytes::new()).await.unwrap();
    within("an echo", echo.next()).await.unwrap();
}

pub async fn next(subscriber: &mut Subscriber) -> Message {
    within("a message", subscriber.next()).await.expect("the subscription lives")
}
