//! One connection to a real nats-server that comes and goes.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use micro_core::transport::Refused;
use micro_core::{Bytes, ErrorKind, RequestState};
use micro_nats::async_nats::{Message, Subscriber};
use micro_nats::{Addresses, Nats, NatsOptions, State};
use micro_testkit::server::NatsServer;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

fn options(server: &NatsServer) -> NatsOptions {
    NatsOptions::default().with_addresses(server.address().parse().unwrap())
}

fn nats(server: &NatsServer) -> Nats {
    Nats::with_options(options(server).with_connect_wait(LIMIT)).unwrap()
}

async fn state(nats: &Nats, wanted: impl Fn(State) -> bool) -> State {
    let mut states = nats.states();
    let reached = timeout(LIMIT, states.wait_for(|state| wanted(*state))).await;
    *reached.unwrap_or_else(|_| panic!("still {:?} after {LIMIT:?}", nats.state())).unwrap()
}

async fn next(messages: &mut Subscriber) -> Message {
    timeout(LIMIT, messages.next()).await.expect("a message in time").expect("a live subscription")
}

#[tokio::test]
async fn each_form_of_an_address_connects() {
    let server = NatsServer::start().await;
    let port = server.address().split_once(':').unwrap().1.to_owned();
    for address in [
        server.address(),
        server.url(),
        format!("localhost:{port}"),
        format!("nats://127.0.0.1:{port}/"),
        format!("nats://ignored:by@127.0.0.1:{port}"),
        format!(" {0}, nats://{0} ", server.address()),
    ] {
        let nats = Nats::new([&address]).unwrap();
        nats.connected().await.unwrap_or_else(|error| panic!("{address}: {error}"));
    }
}

#[tokio::test]
async fn nothing_happens_before_the_first_use_and_one_client_after_it() {
    let server = NatsServer::start().await;
    let nats = nats(&server);
    assert_eq!(nats.state(), State::Idle);
    assert_eq!(nats.health().unwrap_err().kind(), ErrorKind::Unavailable);
    let mut uses = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let nats = nats.clone();
        uses.spawn(async move { nats.connected().await });
    }
    while let Some(used) = uses.join_next().await {
        used.unwrap().unwrap();
    }
    assert_eq!(nats.state(), State::Connected { epoch: 1 });
    nats.health().unwrap();
    assert_eq!(server.connections().await, 1);
}

#[test]
fn the_first_use_outside_of_a_runtime_is_an_error_that_says_so() {
    let nats = Nats::new(["127.0.0.1:1"]).unwrap();
    assert!(nats.client().unwrap_err().to_string().contains("Tokio runtime"));
}

#[tokio::test]
async fn it_starts_before_the_server_and_connects_when_that_is_there() {
    let mut server = NatsServer::stopped(&[]);
    let nats = nats(&server);
    let mut messages = nats.subscribe("early", None).await.unwrap();
    assert_eq!(nats.state(), State::Connecting);
    let waiting = tokio::spawn({
        let nats = nats.clone();
        async move { nats.publish("early", None, "waited".into()).await }
    });
    server.restart().await;
    waiting.await.unwrap().unwrap();
    assert_eq!(next(&mut messages).await.payload, "waited");
    assert_eq!(nats.state(), State::Connected { epoch: 1 });
}

#[tokio::test]
async fn state_epoch_and_subscriptions_come_back_after_every_kill() {
    let mut server = NatsServer::start().await;
    let nats = nats(&server);
    let mut messages = nats.subscribe("again.*", None).await.unwrap();
    nats.connected().await.unwrap();
    for epoch in 1..4 {
        assert_eq!(state(&nats, |s| s == State::Connected { epoch }).await, nats.state());
        nats.publish("again.and", Some("reply.to"), format!("{epoch}").into()).await.unwrap();
        let message = next(&mut messages).await;
        assert_eq!(message.payload, format!("{epoch}"));
        assert_eq!(message.reply.unwrap().as_str(), "reply.to");
        server.kill().await;
        state(&nats, |state| state == State::Disconnected).await;
        let error = nats.health().unwrap_err();
        assert!(error.to_string().contains(&server.address()), "{error}");
        server.restart().await;
        nats.connected().await.unwrap();
    }
}

#[tokio::test]
async fn the_reason_for_being_away_is_told() {
    let server = NatsServer::stopped(&[]);
    let nats = Nats::with_options(options(&server).with_connect_wait(LIMIT / 10)).unwrap();
    let error = nats.connected().await.unwrap_err();
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let start = format!("NATS at {} is not reachable: ", server.address());
    assert!(text.starts_with(&start) && text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_publish_while_away_fails_after_connect_wait_and_was_not_sent() {
    let mut server = NatsServer::start().await;
    let wait = Duration::from_millis(700);
    let nats = Nats::with_options(options(&server).with_connect_wait(wait)).unwrap();
    nats.connected().await.unwrap();
    let mut messages = nats.subscribe("away", None).await.unwrap();
    server.kill().await;
    state(&nats, |state| state == State::Disconnected).await;
    let from = Instant::now();
    let error = nats.publish("away", None, "lost".into()).await.unwrap_err();
    assert!((wait..wait + Duration::from_secs(3)).contains(&from.elapsed()), "{from:?}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&server.address()), "{error}");
    server.restart().await;
    state(&nats, |state| state == State::Connected { epoch: 2 }).await;
    nats.publish("away", None, "sent".into()).await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "sent");
}

#[tokio::test]
async fn every_wait_ends_while_the_server_is_frozen() {
    let server = NatsServer::start().await;
    let wait = Duration::from_millis(500);
    let nats = Nats::with_options(options(&server).with_connect_wait(wait)).unwrap();
    nats.connected().await.unwrap();
    server.pause();
    // More than the sockets between us hold.
    let payload = Bytes::from(vec![0; 1 << 20]);
    let limit = wait + Duration::from_secs(5);
    let error = timeout(LIMIT, async {
        loop {
            if let Err(error) =
                timeout(limit, nats.publish("frozen", None, payload.clone())).await.unwrap()
            {
                return error;
            }
        }
    });
    let error = error.await.expect("the queue is bounded");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.address()), "{error}");
    let refused = nats.try_publish("frozen".into(), None, payload.clone()).unwrap_err();
    assert!(matches!(refused, Refused::Full(_)), "{refused:?}");
    for (what, done) in [
        ("flush", timeout(limit, nats.flush()).await),
        ("round_trip", timeout(limit, nats.round_trip()).await),
        ("subscribe", timeout(limit, nats.subscribe("frozen", None)).await.map(|s| s.map(drop))),
        ("close", timeout(limit, nats.close()).await),
    ] {
        let error = done.unwrap_or_else(|_| panic!("{what} waits")).expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}");
    }
    server.resume();
}

#[tokio::test]
async fn a_flush_says_nothing_while_something_is_not_written() {
    let server = NatsServer::start().await;
    let wait = Duration::from_millis(500);
    let nats = Nats::with_options(options(&server).with_connect_wait(wait)).unwrap();
    nats.connected().await.unwrap();
    server.pause();
    let payload = Bytes::from(vec![0; 10_000]);
    timeout(LIMIT, async {
        while nats.flush().await.is_ok() {
            nats.publish("frozen", None, payload.clone()).await.unwrap();
        }
    })
    .await
    .expect("the sockets between us hold a bounded number of bytes");
    for _ in 0..3 {
        assert_eq!(nats.flush().await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    server.resume();
    timeout(LIMIT, async { while nats.flush().await.is_err() {} }).await.unwrap();
}

#[tokio::test]
async fn try_publish_gives_the_packet_back_while_away() {
    let mut server = NatsServer::start().await;
    let nats = nats(&server);
    let packet = || Bytes::from_static(b"packet");
    let refused = nats.try_publish("to".into(), None, packet()).unwrap_err();
    assert!(matches!(refused, Refused::Full(back) if back == packet()));
    timeout(LIMIT, nats.ready()).await.unwrap().unwrap();
    let mut messages = nats.subscribe("to", None).await.unwrap();
    nats.try_publish("to".into(), Some("back".into()), packet()).unwrap();
    let message = next(&mut messages).await;
    assert_eq!((message.payload, message.reply.unwrap().as_str()), (packet(), "back"));

    server.kill().await;
    state(&nats, |state| state == State::Disconnected).await;
    let refused = nats.try_publish("to".into(), None, packet()).unwrap_err();
    assert!(matches!(refused, Refused::Full(back) if back == packet()));
    let waits = timeout(Duration::from_millis(300), nats.ready()).await;
    assert!(waits.is_err(), "nothing is ready while away");
    server.restart().await;
    timeout(LIMIT, nats.ready()).await.unwrap().unwrap();
    nats.try_publish("to".into(), None, packet()).unwrap();
    assert_eq!(next(&mut messages).await.payload, packet());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_try_publish_and_ready_loses_nothing_and_keeps_order() {
    const MANY: u32 = 20_000;
    let server = NatsServer::start().await;
    let options = options(&server).with_client_capacity(8);
    let nats = Nats::with_options(options).unwrap();
    let mut messages = nats.subscribe("flood", None).await.unwrap();
    let sender = tokio::spawn(async move {
        let mut full = 0;
        for number in 0..MANY {
            let mut packet = Bytes::copy_from_slice(&number.to_be_bytes());
            while let Err(refused) = nats.try_publish("flood".into(), None, packet) {
                let Refused::Full(back) = refused else { panic!("{refused:?}") };
                packet = back;
                full += 1;
                nats.ready().await.unwrap();
            }
        }
        nats.flush().await.unwrap();
        full
    });
    for number in 0..MANY {
        assert_eq!(next(&mut messages).await.payload, number.to_be_bytes().as_slice());
    }
    assert!(sender.await.unwrap() > 0, "a queue of 8 was never full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_takes_is_known_as_soon_as_it_is_connected() {
    let server = NatsServer::start_configured("max_payload: 2000").await;
    for _ in 0..50 {
        let nats = nats(&server);
        let error = nats.publish("large", None, vec![0; 2001].into()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }
}

#[tokio::test]
async fn what_is_too_large_names_both_sizes() {
    let server = NatsServer::start_configured("max_payload: 2000").await;
    let nats = nats(&server);
    assert_eq!(nats.max_payload(), 1 << 20);
    nats.connected().await.unwrap();
    assert_eq!(nats.max_payload(), 2000);
    let error = nats.publish("large", None, vec![0; 2001].into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let text = error.to_string();
    assert!(text.contains("2001 bytes") && text.contains("2000 bytes"), "{text}");
    let refused = nats.try_publish("large".into(), None, vec![0; 2001].into()).unwrap_err();
    assert!(matches!(refused, Refused::TooLarge(back) if back.len() == 2001));
    nats.publish("large", None, vec![0; 2000].into()).await.unwrap();
    nats.round_trip().await.unwrap();
    assert_eq!(nats.state(), State::Connected { epoch: 1 });
}

#[tokio::test]
async fn bad_subjects_and_groups_are_invalid_input() {
    let server = NatsServer::start().await;
    let nats = nats(&server);
    for error in [
        nats.subscribe("a..b", None).await.unwrap_err(),
        nats.subscribe("a b", None).await.unwrap_err(),
        nats.subscribe("a", Some("b c")).await.unwrap_err(),
        nats.publish("a b", None, Bytes::new()).await.unwrap_err(),
        nats.publish("", None, Bytes::new()).await.unwrap_err(),
        nats.publish("a", Some("b\r\nc"), Bytes::new()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let refused = nats.try_publish("a b".into(), None, Bytes::new()).unwrap_err();
    assert!(matches!(refused, Refused::Closed(_)), "{refused:?}");
}

#[tokio::test]
async fn bad_options_are_named() {
    let default = NatsOptions::default;
    for (options, name) in [
        (default().with_inbox_prefix("a b"), "prefix of inboxes"),
        (default().with_inbox_prefix(""), "prefix of inboxes"),
        (default().with_inbox_prefix("a."), "prefix of inboxes"),
        (default().with_inbox_prefix("a.>"), "prefix of inboxes"),
        (default().with_client_capacity(0), "client_capacity"),
        (default().with_subscription_capacity(usize::MAX), "subscription_capacity"),
        (default().with_ping_interval(Duration::ZERO), "ping_interval"),
        (default().with_connect_wait(Duration::MAX), "connect_wait"),
    ] {
        let error = Nats::with_options(options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(Nats::new(["a b"]).unwrap_err().to_string().contains("\"a b\""));
}

#[tokio::test]
async fn a_queue_group_gets_each_message_once() {
    let server = NatsServer::start().await;
    let nats = nats(&server);
    let mut one = nats.subscribe("work", Some("group")).await.unwrap();
    let mut other = nats.subscribe("work", Some("group")).await.unwrap();
    for number in 0..20 {
        nats.publish("work", None, number.to_string().into()).await.unwrap();
    }
    nats.round_trip().await.unwrap();
    let mut got = 0;
    while let Ok(Some(_)) = timeout(Duration::from_millis(200), async {
        tokio::select! { m = one.next() => m, m = other.next() => m }
    })
    .await
    {
        got += 1;
    }
    assert_eq!(got, 20);
}

#[tokio::test]
async fn a_custom_inbox_prefix_is_used() {
    let server = NatsServer::start_configured(
        r#"authorization { users: [{ user: u, password: p,
             permissions: { publish: "_MINE.>", subscribe: "_MINE.>" } }] }"#,
    )
    .await;
    let addresses: Addresses = format!("u:p@{}", server.address()).parse().unwrap();
    let options = NatsOptions::default()
        .with_addresses(addresses)
        .with_inbox_prefix("_MINE.box")
        .with_connect_wait(LIMIT);
    let nats = Nats::with_options(options).unwrap();
    let (one, other) = (nats.new_inbox(), nats.new_inbox());
    assert!(one.starts_with("_MINE.box.") && one != other, "{one} {other}");
    // The account may use no other subject.
    nats.round_trip().await.unwrap();
    assert!(nats.client().unwrap().new_inbox().starts_with("_MINE.box."));
}

#[tokio::test]
async fn a_slow_reader_loses_messages_and_they_are_counted() {
    let server = NatsServer::start().await;
    let options = options(&server).with_subscription_capacity(10);
    let nats = Nats::with_options(options).unwrap();
    let mut messages = nats.subscribe("slow", None).await.unwrap();
    for number in 0..50 {
        nats.publish("slow", None, number.to_string().into()).await.unwrap();
    }
    nats.round_trip().await.unwrap();
    timeout(LIMIT, async {
        while nats.dropped_messages() < 40 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    for number in 0..10 {
        assert_eq!(next(&mut messages).await.payload, number.to_string());
    }
    nats.publish("slow", None, "after".into()).await.unwrap();
    assert_eq!(next(&mut messages).await.payload, "after");
}

#[tokio::test]
async fn the_connection_has_its_name_and_ends_with_the_last_handle() {
    let server = NatsServer::start().await;
    let nats = Nats::with_options(options(&server).with_name("greeter")).unwrap();
    nats.connected().await.unwrap();
    let other = nats.clone();
    let connz = server.monitor("/connz").await;
    assert_eq!(connz["connections"][0]["name"], "greeter", "{connz}");
    drop(nats);
    other.round_trip().await.unwrap();
    drop(other);
    timeout(LIMIT, async { while server.connections().await > 0 {} }).await.unwrap();
}

#[tokio::test]
async fn closing_delivers_what_was_published_and_ends_every_handle() {
    let server = NatsServer::start().await;
    let (ours, others) = (nats(&server), nats(&server));
    let mut messages = others.subscribe("last", None).await.unwrap();
    others.round_trip().await.unwrap();
    let mut own = ours.subscribe("own", None).await.unwrap();
    for number in 0..1000 {
        ours.publish("last", None, number.to_string().into()).await.unwrap();
    }
    let handle = ours.clone();
    ours.close().await.unwrap();
    assert_eq!(handle.state(), State::Closed);
    for number in 0..1000 {
        assert_eq!(next(&mut messages).await.payload, number.to_string());
    }
    assert!(timeout(LIMIT, own.next()).await.unwrap().is_none());
    for error in [
        handle.health().unwrap_err(),
        handle.publish("last", None, Bytes::new()).await.unwrap_err(),
        handle.subscribe("last", None).await.unwrap_err(),
        handle.ready().await.unwrap_err(),
        handle.flush().await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("is closed"), "{error}");
    }
    let refused = handle.try_publish("last".into(), None, Bytes::new()).unwrap_err();
    assert!(matches!(refused, Refused::Closed(_)), "{refused:?}");
    handle.close().await.unwrap();
    timeout(LIMIT, async { while server.connections().await > 1 {} }).await.unwrap();
}

#[tokio::test]
async fn what_was_closed_while_away_does_not_come_back_with_nats() {
    let mut server = NatsServer::start().await;
    let wait = options(&server).with_connect_wait(Duration::from_millis(300));
    let handle = Nats::with_options(wait).unwrap();
    let subscription = handle.subscribe("a", None).await.unwrap();
    handle.round_trip().await.unwrap();
    server.kill().await;
    state(&handle, |state| state == State::Disconnected).await;
    assert_eq!(handle.close().await.unwrap_err().kind(), ErrorKind::Unavailable);
    server.restart().await;
    // It comes to say goodbye at most: the subscription ends with that.
    let mut subscription = subscription;
    let end = async { while subscription.next().await.is_some() {} };
    timeout(LIMIT, end).await.expect("the subscription came back with NATS");
    timeout(LIMIT, async { while server.connections().await > 0 {} }).await.unwrap();
}

#[tokio::test]
async fn a_message_that_the_client_cannot_read_costs_a_reconnect_and_no_subscription() {
    let server = NatsServer::start().await;
    let handle = nats(&server);
    let mut subscription = handle.subscribe("a", None).await.unwrap();
    handle.round_trip().await.unwrap();
    let mut raw = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let connect = b"CONNECT {\"verbose\":false,\"headers\":true}\r\n";
    raw.write_all(connect).await.unwrap();
    raw.write_all(b"PUB a r\xff 2\r\nhi\r\n").await.unwrap();
    state(&handle, |state| matches!(state, State::Connected { epoch } if epoch > 1)).await;
    handle.round_trip().await.unwrap();
    handle.publish("a", None, "after".into()).await.unwrap();
    assert_eq!(next(&mut subscription).await.payload, "after");
}

#[tokio::test]
async fn closing_what_was_never_used_closes_it() {
    let nats = Nats::new(["127.0.0.1:1"]).unwrap();
    nats.close().await.unwrap();
    assert_eq!(nats.state(), State::Closed);
    assert_eq!(nats.connected().await.unwrap_err().kind(), ErrorKind::Unavailable);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn the_end_of_its_runtime_is_seen_as_closed_also_while_away() {
    let nats = Nats::new(["127.0.0.1:1"]).unwrap();
    runtime().block_on(async { nats.client() }).unwrap();
    let ready = runtime().block_on(async { timeout(LIMIT, nats.ready()).await });
    assert_eq!(ready.expect("an end").unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(nats.state(), State::Closed);
}

#[test]
fn the_end_of_its_runtime_is_seen_as_closed() {
    let first = runtime();
    let (server, nats) = first.block_on(async {
        let server = NatsServer::start().await;
        let nats = nats(&server);
        nats.connected().await.unwrap();
        (server, nats)
    });
    drop(first);
    let error = runtime().block_on(nats.publish("late", None, Bytes::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(nats.state(), State::Closed);
    drop(server);
}
