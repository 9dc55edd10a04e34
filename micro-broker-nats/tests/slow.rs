//! Subscribers that do not read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{body, item, publish, subscribe, within};
use micro_broker_nats::micro_nats::{Nats, NatsOptions};
use micro_broker_nats::{NatsBroker, Options};
use micro_core::ErrorKind;
use micro_core::broker::Subscription;
use micro_testkit::server::NatsServer;

/// How many were read and how many lost, until this event.
async fn account(events: &mut Subscription, last: &str) -> (u64, u64) {
    let (mut read, mut lost) = (0, 0);
    loop {
        match item(events).await {
            Ok(event) if event.message.body == last => return (read, lost),
            Ok(_) => read += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                let digits = error.detail().split(' ').next().unwrap().parse::<u64>().unwrap();
                lost += digits;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_nats_client_would_lose_in_silence_is_counted() {
    let server = NatsServer::start().await;
    // The client's own queue is far smaller than what comes.
    let nats = NatsOptions::default()
        .with_addresses(server.address().parse().unwrap())
        .with_subscription_capacity(1_000);
    let nats = Nats::with_options(nats).unwrap();
    let broker = NatsBroker::with_options(&nats, Options::default().with_max_events(500)).unwrap();
    let mut slow = subscribe(&broker, "topic", None).await;
    let mut quick = subscribe(&broker, "topic", None).await;
    const EVENTS: u64 = 5_000;
    for event in 0..EVENTS {
        publish(&broker, "topic", event.to_string()).await.unwrap();
        // It reads all the time; the pauses are those of the network.
        assert_eq!(body(&mut quick).await, event.to_string());
    }
    publish(&broker, "topic", "not yet").await.unwrap();
    assert_eq!(body(&mut quick).await, "not yet");
    // One item makes room; what comes after it arrives.
    let first = body(&mut slow).await;
    assert_eq!(first, "0");
    publish(&broker, "topic", "last").await.unwrap();
    assert_eq!(body(&mut quick).await, "last");
    let (read, lost) = account(&mut slow, "last").await;
    assert_eq!(read + lost + 1, EVENTS + 1, "{read} read, {lost} lost");
    assert!(lost > 3_000, "{lost}");
    assert_eq!(nats.dropped_messages(), 0, "the client itself lost nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_events_have_a_bound_in_bytes_too() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let options = Options::default().with_max_bytes(1 << 20);
    let broker = NatsBroker::with_options(&nats, options).unwrap();
    let mut slow = subscribe(&broker, "topic", None).await;
    let mut quick = subscribe(&broker, "topic", None).await;
    for _ in 0..100 {
        publish(&broker, "topic", vec![7; 100_000]).await.unwrap();
        assert_eq!(body(&mut quick).await.len(), 100_000);
    }
    let first = within("the first", slow.next()).await.unwrap().unwrap();
    assert_eq!(first.message.body.len(), 100_000);
    publish(&broker, "topic", "last").await.unwrap();
    let (read, lost) = account(&mut slow, "last").await;
    assert_eq!(read + lost + 1, 100);
    assert!((1..=8).contains(&read), "a megabyte holds seven: {read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_was_dropped_is_ended_at_the_server() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let subscriptions = || async { server.monitor("/subsz").await["num_subscriptions"].as_u64() };
    let stays = subscribe(&broker, "stays", None).await;
    let goes: Vec<_> = {
        let mut goes = Vec::new();
        for n in 0..50 {
            goes.push(subscribe(&broker, &format!("goes.{n}"), None).await);
        }
        goes
    };
    let with_them = subscriptions().await;
    drop(goes);
    within("their end", async {
        while subscriptions().await.map(|n| n + 50) > with_them {
            tokio::task::yield_now().await;
        }
    })
    .await;
    drop(stays);
}
