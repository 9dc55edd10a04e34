//! What the tests share.
#![allow(dead_code, unreachable_pub, missing_docs)]

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use micro_broker_nats::NatsBroker;
use micro_broker_nats::micro_nats::async_nats::{Client, Message as NatsMessage, Subscriber};
use micro_core::broker::{Broker as _, Delivery, Message, SubscribeOptions, Subscription, Topic};
use micro_core::{Header, Result};

/// Far more than anything here takes.
pub const LIMIT: Duration = Duration::from_secs(20);

pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or_else(|_| panic!("{what}: nothing within {LIMIT:?}"))
}

/// A subscription that the server knows.
pub async fn subscribe(broker: &NatsBroker, topics: &str, queue: Option<&str>) -> Subscription {
    let options = match queue {
        Some(queue) => SubscribeOptions::default().with_queue(queue),
        None => SubscribeOptions::default(),
    };
    let subscription = broker.subscribe(&topics.parse().unwrap(), options).await.unwrap();
    broker.nats().round_trip().await.unwrap();
    subscription
}

pub async fn publish(broker: &NatsBroker, topic: &str, body: impl Into<Bytes>) -> Result<()> {
    let message = Message::new(Header::new(), body);
    within("publish", broker.publish(&Topic::new(topic).unwrap(), message)).await
}

pub async fn item(subscription: &mut Subscription) -> Result<Delivery> {
    within("an event", subscription.next()).await.expect("the subscription lives")
}

pub async fn body(subscription: &mut Subscription) -> Bytes {
    item(subscription).await.unwrap().message.body
}

/// A subscription without us, that the server knows.
pub async fn listen(client: &Client, subject: &str) -> Subscriber {
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

pub async fn next(subscriber: &mut Subscriber) -> NatsMessage {
    within("a message", subscriber.next()).await.expect("the subscription lives")
}
