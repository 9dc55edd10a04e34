//! What the memory broker does beyond the contract, and its capacities.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::time::Duration;

use micro_core::broker::{Delivery, Message, SubscribeOptions, Subscription, Topic};
use micro_core::{Broker, ErrorKind, Header, RequestState, Result};
use micro_memory::{Memory, MemoryBroker, MemoryOptions};
use tokio::time::timeout;

fn topic() -> Topic {
    "greeted".parse().unwrap()
}

async fn publish(broker: &MemoryBroker, body: &str) {
    let message = Message::new(Header::new(), body.to_owned());
    broker.publish(&topic(), message).await.unwrap();
}

async fn subscribe(broker: &MemoryBroker) -> Subscription {
    broker.subscribe(&topic().into(), SubscribeOptions::default()).await.unwrap()
}

async fn join(broker: &MemoryBroker, topics: &str) -> Subscription {
    let options = SubscribeOptions::default().with_queue("queue");
    broker.subscribe(&topics.parse().unwrap(), options).await.unwrap()
}

async fn next(subscription: &mut Subscription) -> Option<Result<Delivery>> {
    timeout(Duration::from_secs(20), subscription.next()).await.unwrap()
}

async fn body(subscription: &mut Subscription) -> String {
    let delivery = next(subscription).await.unwrap().unwrap();
    String::from_utf8(delivery.message.body.to_vec()).unwrap()
}

async fn lost(subscription: &mut Subscription) -> String {
    let error = next(subscription).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    error.to_string()
}

#[tokio::test]
async fn worlds_do_not_hear_each_other() {
    let (one, other) = (Memory::new().broker(), MemoryBroker::new(["ignored"]).unwrap());
    let mut subscription = subscribe(&one).await;
    publish(&other, "elsewhere").await;
    publish(&one, "here").await;
    assert_eq!(body(&mut subscription).await, "here");
}

#[tokio::test]
async fn a_loss_is_told_where_the_events_are_missing() {
    let memory = Memory::with_options(MemoryOptions::default().with_subscription_events(2));
    let broker = memory.broker();
    let mut slow = subscribe(&broker).await;
    for text in ["1", "2", "lost", "lost", "lost"] {
        publish(&broker, text).await;
    }
    assert_eq!(body(&mut slow).await, "1");
    publish(&broker, "6").await;
    publish(&broker, "lost").await;
    assert_eq!(body(&mut slow).await, "2");
    assert!(lost(&mut slow).await.starts_with("3 "));
    assert_eq!(body(&mut slow).await, "6");
    assert!(lost(&mut slow).await.starts_with("1 "));
    publish(&broker, "8").await;
    assert_eq!(body(&mut slow).await, "8");
}

#[tokio::test]
async fn a_subscription_is_full_of_bytes_too_but_takes_any_size() {
    let options = MemoryOptions::default().with_subscription_bytes(4);
    let broker = Memory::with_options(options).broker();
    let mut slow = subscribe(&broker).await;
    publish(&broker, "larger than that").await;
    publish(&broker, "lost").await;
    assert_eq!(body(&mut slow).await, "larger than that");
    assert!(lost(&mut slow).await.starts_with("1 "));
}

#[tokio::test]
async fn a_body_too_large_names_both_sizes_and_was_not_sent() {
    let broker = Memory::with_options(MemoryOptions::default().with_max_body(10)).broker();
    assert_eq!(broker.capabilities().max_body, Some(10));
    let message = Message::new(Header::new(), "eleven byte");
    let error = broker.publish(&topic(), message).await.unwrap_err();
    assert_eq!((error.kind(), error.request()), (ErrorKind::TooLarge, Some(RequestState::NotSent)));
    assert!(error.detail().contains("11") && error.detail().contains("10"), "{error}");
}

#[tokio::test]
async fn members_of_a_queue_take_turns() {
    let broker = MemoryBroker::default();
    let mut members = [join(&broker, "greeted").await, join(&broker, "greeted").await];
    for n in 0..10 {
        publish(&broker, &n.to_string()).await;
    }
    for member in &mut members {
        let mut numbers = Vec::new();
        for _ in 0..5 {
            numbers.push(body(member).await.parse::<u32>().unwrap());
        }
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 2), "{numbers:?}");
    }
}

#[tokio::test]
async fn a_full_member_is_passed_over_while_another_has_room() {
    let memory = Memory::with_options(MemoryOptions::default().with_subscription_events(4));
    let broker = memory.broker();
    let mut slow = join(&broker, "greeted").await;
    let mut quick = join(&broker, "greeted").await;
    let mut heard = 0;
    for n in 0..20 {
        publish(&broker, &n.to_string()).await;
        // Until the slow one is full they take turns.
        let next = tokio_stream::StreamExt::next(&mut quick);
        if let Ok(Some(delivery)) = timeout(Duration::ZERO, next).await {
            delivery.unwrap();
            heard += 1;
        }
    }
    assert_eq!(heard, 16);
    for _ in 0..4 {
        body(&mut slow).await;
    }
    slow.close().await.unwrap();
    assert!(next(&mut slow).await.is_none());
}

#[tokio::test]
async fn a_queue_is_one_across_filters() {
    let broker = MemoryBroker::default();
    let mut members =
        [join(&broker, "greeted").await, join(&broker, "*").await, join(&broker, ">").await];
    for n in 0..9 {
        publish(&broker, &n.to_string()).await;
    }
    let mut all = Vec::new();
    for member in &mut members {
        member.close().await.unwrap();
        while let Some(delivery) = next(member).await {
            all.push(String::from_utf8(delivery.unwrap().message.body.to_vec()).unwrap());
        }
    }
    all.sort();
    assert_eq!(all, ["0", "1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[tokio::test]
async fn a_subscription_ends_with_the_last_handle_of_its_world() {
    let memory = Memory::new();
    let broker = memory.broker();
    let mut subscription = subscribe(&broker).await;
    drop(memory);
    publish(&broker, "last").await;
    drop(broker);
    assert_eq!(body(&mut subscription).await, "last");
    assert!(next(&mut subscription).await.is_none());
    subscription.close().await.unwrap();
}
