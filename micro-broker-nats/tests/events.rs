//! Events over a real nats-server, ours and go-micro's.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{body, item, listen, next, publish, round_trip, subscribe, within};
use micro_broker_nats::micro_nats::async_nats::connect;
use micro_broker_nats::micro_nats::{Nats, NatsOptions};
use micro_broker_nats::{NatsBroker, Options};
use micro_core::broker::{Broker as _, Message, Topic};
use micro_core::header::keys;
use micro_core::{ErrorKind, Header, RequestState};
use micro_testkit::server::NatsServer;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    subject: String,
    body: String,
}

/// go-micro's envelope, read without our codec.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Envelope {
    header: BTreeMap<String, String>,
    body: String,
}

fn fixtures() -> Vec<Line> {
    let text = include_str!("fixtures/events.jsonl");
    let lines: Vec<_> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "one of each generation");
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_go_micro_publishes_is_an_event() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let mut events = subscribe(&broker, "events", None).await;
    let go = connect(server.url()).await.unwrap();
    for line in fixtures() {
        let sent: Envelope = serde_json::from_str(&line.body).unwrap();
        go.publish(line.subject.clone(), line.body.into()).await.unwrap();
        let event = item(&mut events).await.unwrap();
        assert_eq!(event.topic.as_str(), line.subject);
        assert_eq!(event.message.body, "{\"name\":\"e1\"}\n");
        let header: BTreeMap<_, _> = (event.message.header.iter())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        assert_eq!(header, sent.header);
        event.ack().await.unwrap();
    }
    assert_eq!(broker.dropped_messages(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_publish_is_what_go_micro_would() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let go = connect(server.url()).await.unwrap();
    let mut seen = listen(&go, "events").await;
    for line in fixtures() {
        let theirs: Envelope = serde_json::from_str(&line.body).unwrap();
        let header: Header = [(keys::CONTENT_TYPE, "application/json")].into_iter().collect();
        let event = Message::new(header, "{\"name\":\"e1\"}\n");
        broker.publish(&Topic::new(line.subject).unwrap(), event).await.unwrap();
        let mut ours: Envelope = serde_json::from_slice(&next(&mut seen).await.payload).unwrap();

        // Both spellings of the id, with one new uuid.
        let id = ours.header.remove(keys::MICRO_ID).unwrap();
        assert_eq!(ours.header.remove(keys::MICRO_ID_OLD).as_ref(), Some(&id));
        assert_eq!(id.len(), 36, "{id}");
        let mut theirs = theirs;
        theirs.header.retain(|key, _| !key.eq_ignore_ascii_case(keys::MICRO_ID));
        assert_eq!(ours, theirs);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_kept_and_the_topic_is_always_the_true_one() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let mut events = subscribe(&broker, "to", None).await;
    let header: Header =
        [(keys::MICRO_ID_OLD, "7"), (keys::MICRO_TOPIC, "from")].into_iter().collect();
    broker.publish(&"to".parse().unwrap(), Message::new(header, "x")).await.unwrap();
    let header = item(&mut events).await.unwrap().message.header;
    assert_eq!(header.get(keys::MICRO_ID), Some("7"));
    assert_eq!(header.get(keys::MICRO_ID_OLD), Some("7"));
    assert_eq!(header.get(keys::MICRO_TOPIC), Some("to"));
    assert_eq!(header.get(keys::CONTENT_TYPE), None, "nobody said what it is");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_group_spans_connections() {
    let server = NatsServer::start().await;
    let broker = || NatsBroker::new([server.address()]).unwrap();
    let (one, two, publisher) = (broker(), broker(), broker());
    let mut members = [
        subscribe(&one, "jobs", Some("workers")).await,
        subscribe(&two, "jobs", Some("workers")).await,
    ];
    let mut witness = subscribe(&two, "jobs", None).await;
    const JOBS: usize = 200;
    for job in 0..JOBS {
        publish(&publisher, "jobs", job.to_string()).await.unwrap();
    }
    for job in 0..JOBS {
        assert_eq!(body(&mut witness).await, job.to_string());
    }
    // Each member ends, and so do their streams.
    let mut done = Vec::new();
    for member in &mut members {
        member.close().await.unwrap();
        let mut own = 0;
        while let Some(job) = within("the rest", member.next()).await {
            let job = job.unwrap().message.body;
            done.push(std::str::from_utf8(&job).unwrap().parse::<usize>().unwrap());
            own += 1;
        }
        assert!(own > 0, "NATS gives some to each");
    }
    done.sort_unstable();
    assert_eq!(done, (0..JOBS).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_do_not_hear_each_other() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let within =
        |name| NatsBroker::with_options(&nats, Options::default().with_namespace(name)).unwrap();
    let (blue, green, plain) = (within("blue"), within("green"), NatsBroker::with(&nats));
    let mut readers = Vec::new();
    for broker in [&blue, &green, &plain] {
        readers.push(subscribe(broker, "orders.*", None).await);
    }
    publish(&blue, "orders.paid", "blue").await.unwrap();
    publish(&plain, "orders.paid", "plain").await.unwrap();
    publish(&green, "orders.paid", "green").await.unwrap();
    for (reader, expected) in readers.iter_mut().zip(["blue", "green", "plain"]) {
        let event = item(reader).await.unwrap();
        assert_eq!(event.message.body, expected);
        assert_eq!(event.topic.as_str(), "orders.paid", "without the namespace");
        assert_eq!(event.message.header.get(keys::MICRO_TOPIC), Some("orders.paid"));
    }
    let bad = NatsBroker::with_options(&nats, Options::default().with_namespace("a.*"));
    assert_eq!(bad.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wildcard_over_everything_hears_events_alone() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let mut all = subscribe(&broker, ">", None).await;
    let others = connect(server.url()).await.unwrap();
    let envelope = r#"{"Header":{},"Body":""}"#;
    for subject in ["_INBOX.x", "_INBOX.x.7", "micro.nats.query", "micro.registry.nats.watch"] {
        others.publish(subject.to_owned(), envelope.into()).await.unwrap();
    }
    round_trip(&others).await;
    publish(&broker, "orders", "event").await.unwrap();
    assert_eq!(item(&mut all).await.unwrap().topic.as_str(), "orders");
    assert_eq!(broker.dropped_messages(), 0, "it is no garbage either");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_published_where_registries_listen() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let others = connect(server.url()).await.unwrap();
    let mut all = listen(&others, ">").await;
    for topic in ["micro.nats.query", "micro.nats.watch", "blue.micro.lease.x", "$SRV.PING"] {
        let error = publish(&broker, topic, "x").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{topic}: {error}");
    }
    publish(&broker, "orders", "event").await.unwrap();
    let first = loop {
        let message = next(&mut all).await;
        if !message.subject.starts_with("_INBOX.") {
            break message.subject;
        }
    };
    assert_eq!(first.as_str(), "orders");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_servers_limit_is_refused_with_both_sizes() {
    let server = NatsServer::start_configured("max_payload: 64KB").await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let mut events = subscribe(&broker, "large", None).await;
    let limit = broker.capabilities().max_body.unwrap();
    assert!((40_000..49_152).contains(&limit), "about three quarters of 64 KiB: {limit}");

    let error = publish(&broker, "large", vec![7; 64 * 1024]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    let sizes: Vec<usize> = error
        .detail()
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|n| n.parse().ok())
        .collect();
    assert!(sizes.iter().any(|size| *size > 64 * 1024) && sizes.contains(&65_536), "{error}");

    publish(&broker, "large", vec![7; limit]).await.unwrap();
    assert_eq!(body(&mut events).await.len(), limit);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_event_is_counted_and_passed_over() {
    let server = NatsServer::start().await;
    let broker = NatsBroker::new([server.address()]).unwrap();
    let mut events = subscribe(&broker, "topic", None).await;
    let hostile = connect(server.url()).await.unwrap();
    let garbage: [&[u8]; 10] = [
        b"",
        b"null",
        b"[]",
        b"{",
        b"7",
        br#"{"Header":{"a":1}}"#,
        br#"{"Body":"*"}"#,
        br#"{"Body":7}"#,
        br#"{"Header":"x"}"#,
        &[0xff; 1000],
    ];
    for _ in 0..100 {
        for payload in garbage {
            hostile.publish("topic", payload.to_vec().into()).await.unwrap();
        }
    }
    // These are events, if poor ones.
    for payload in ["{}", r#"{"Header":null,"Body":null}"#, r#"{"Other":[1,{}]}"#] {
        hostile.publish("topic", payload.into()).await.unwrap();
    }
    for _ in 0..3 {
        let event = item(&mut events).await.unwrap();
        assert!(event.message.body.is_empty() && event.message.header.is_empty());
    }
    assert_eq!(broker.dropped_messages(), 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn away_a_publish_fails_in_time_and_a_subscription_lives_on() {
    let mut server = NatsServer::start().await;
    let options = NatsOptions::default()
        .with_addresses(server.address().parse().unwrap())
        .with_connect_wait(Duration::from_millis(500));
    let nats = Nats::with_options(options).unwrap();
    let broker = NatsBroker::with(&nats);
    let mut events = subscribe(&broker, "topic", None).await;
    publish(&broker, "topic", "before").await.unwrap();
    assert_eq!(body(&mut events).await, "before");

    server.kill().await;
    let asked = Instant::now();
    let error = loop {
        // Until the loss is noticed, the connection still takes events.
        match publish(&broker, "topic", "lost").await {
            Ok(()) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.detail().contains(&server.address()), "{error}");
    assert!(broker.health().is_err());

    server.restart().await;
    within("a connection", async { while nats.connected().await.is_err() {} }).await;
    nats.round_trip().await.unwrap();
    publish(&broker, "topic", "after").await.unwrap();
    while body(&mut events).await != "after" {}
}
