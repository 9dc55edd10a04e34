//! Whether the process at the other end is gone, or only listens no more.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::node::Node;
use common::{End, round_trip, send, stranger, subscribe, within};
use futures_util::{FutureExt, StreamExt};
use micro_core::transport::{Bind, Peer};
use micro_testkit::server::NatsServer;
use micro_transport_nats::micro_nats::Nats;
use micro_transport_nats::{NatsTransport, Options};

/// Longer than any test: what is reported is not reported for this reason.
const NEVER: Duration = Duration::from_secs(600);

async fn client(server: &NatsServer, options: Options) -> End {
    let nats = Nats::new([server.address()]).unwrap();
    End::open(&NatsTransport::with_options(&nats, options), Bind::ClientOnly).await
}

fn patient() -> Options {
    Options::default().with_no_reply_wait(NEVER).with_reconnect_grace(NEVER)
}

async fn service(server: &NatsServer) -> End {
    End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await
}

/// A packet there and one back; the peer, and the one that it is at the service.
async fn met(client: &mut End, service: &mut End) -> (Peer, Peer) {
    let peer = client.port.dial(&service.address()).unwrap();
    send(&peer, "question").await;
    let (back, _) = service.packet().await;
    send(&back, "answer").await;
    client.packet().await;
    (peer, back)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_connection_is_gone_is_closed() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient()).await;
    let mut service = service(&server).await;
    let (peer, back) = met(&mut client, &mut service).await;
    drop((service, back));
    // The server hears of it a moment later.
    within("the end", async { while server.connections().await > 1 {} }).await;
    let sent = Instant::now();
    for packet in ["1", "2"] {
        send(&peer, packet).await;
    }
    client.undelivered().await;
    let told = sent.elapsed();
    let (about, packets) = client.closed().await;
    println!("undelivered {told:?} after it was sent, closed {:?}", sent.elapsed());
    assert_eq!((about.id(), packets), (peer.id(), 2));
    assert!(peer.ready().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_is_not_closed_until_its_connection_is_gone() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient()).await;
    let mut service = service(&server).await;
    let (peer, back) = met(&mut client, &mut service).await;
    service.port.stop_listening().await.unwrap();
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.1, 1);

    assert!(service.all().await.is_empty(), "a question is no packet");
    send(&back, "late").await;
    let (from, packet) = client.packet().await;
    assert_eq!((from.id(), packet), (peer.id(), "late".into()));
    assert_eq!(service.transport.dropped().total(), 0, "nor is it worth a word");

    drop((service, back));
    let (about, packets) = client.closed().await;
    assert_eq!((about.id(), packets), (peer.id(), 1), "as was said before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_is_asked_again_and_again() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient()).await;
    let mut node = Node::start(&server, "a.node", Some("a.home")).await;
    let peer = client.port.dial("a.node").unwrap();
    send(&peer, "question").await;
    let question = node.request().await;
    node.reply(&question, "answer").await;
    client.packet().await;
    node.stop_listening().await;
    let start = Instant::now();
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.1, 1);

    let mut asked = Vec::new();
    for _ in 0..4 {
        tokio::select! {
            message = node.asked() => asked.push(message),
            arrival = client.next() => panic!("it lives, but {arrival:?} came"),
        }
    }
    assert!(asked.iter().all(|message| message.payload.is_empty()));
    assert!(start.elapsed() >= Duration::from_millis(50 + 100 + 200), "at growing intervals");
    // What answers there is there, and nobody's packet.
    let reply = asked[3].reply.clone().unwrap();
    assert_ne!(asked[2].reply, asked[3].reply);
    node.client.publish(reply, "I am".into()).await.unwrap();
    node.reply(&question, "late").await;
    assert_eq!(client.packet().await.1, "late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_about_a_peer_that_nobody_holds() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient()).await;
    let mut held = None;
    let mut homes = Vec::new();
    for name in ["dropped", "closed", "held"] {
        let mut node = Node::start(&server, name, Some(&format!("home.{name}"))).await;
        let peer = client.port.dial(name).unwrap();
        send(&peer, "question").await;
        let question = node.request().await;
        node.reply(&question, "answer").await;
        client.packet().await;
        node.stop_listening().await;
        send(&peer, "to nobody").await;
        client.undelivered().await;
        node.asked().await;
        match name {
            "closed" => peer.close(),
            "held" => held = Some(peer),
            _ => {}
        }
        homes.push(node);
    }
    // Meanwhile the others would have been asked, too.
    for _ in 0..5 {
        tokio::select! {
            message = homes[2].asked() => assert!(message.payload.is_empty()),
            arrival = client.next() => panic!("{arrival:?} came"),
        }
    }
    for node in &mut homes[..2] {
        assert!(node.asked().now_or_never().is_none());
    }
    drop(held);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_answers_and_listens_over_one_connection_is_closed_at_once() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient()).await;
    let mut node = Node::start(&server, "a.go.node", None).await;
    let peer = client.port.dial("a.go.node").unwrap();
    send(&peer, "question").await;
    let question = node.request().await;
    node.reply(&question, "answer").await;
    client.packet().await;
    // It listens no more, so it is not there any more.
    node.stop_listening().await;
    let sent = Instant::now();
    send(&peer, "to nobody").await;
    client.undelivered().await;
    let told = sent.elapsed();
    let (about, packets) = client.closed().await;
    println!("undelivered {told:?} after it was sent, closed {:?}", sent.elapsed());
    assert_eq!((about.id(), packets), (peer.id(), 1));
    // Nothing comes after it.
    node.reply(&question, "late").await;
    assert!(client.all().await.is_empty());
    assert_eq!(client.transport.dropped().unknown_peer, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_replied_is_closed_a_while_after_undelivered() {
    let wait = Duration::from_millis(150);
    let server = NatsServer::start().await;
    let mut client = client(&server, Options::default().with_no_reply_wait(wait)).await;
    let mut node = Node::start(&server, "a.silent.node", Some("a.home")).await;
    let silent = client.port.dial("a.silent.node").unwrap();
    send(&silent, "question").await;
    node.request().await;
    node.stop_listening().await;
    let nobody = client.port.dial("nobody.here").unwrap();
    for peer in [&silent, &nobody] {
        send(peer, "to nobody").await;
        let (about, packets) = client.undelivered().await;
        assert_eq!((about.id(), packets), (peer.id(), 1));
        let told = Instant::now();
        let (about, packets) = client.closed().await;
        assert_eq!((about.id(), packets), (peer.id(), 1));
        assert!(told.elapsed() > wait / 2, "only {:?} after", told.elapsed());
    }
    assert!(node.asked().now_or_never().is_none(), "nobody said that it can be asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_comes_after_all_tells_where_to_ask() {
    let server = NatsServer::start().await;
    let mut client = client(&server, patient().with_no_reply_wait(NEVER / 600)).await;
    let mut node = Node::start(&server, "a.slow.node", Some("a.home")).await;
    let peer = client.port.dial("a.slow.node").unwrap();
    send(&peer, "question").await;
    let question = node.request().await;
    node.stop_listening().await;
    send(&peer, "to nobody").await;
    client.undelivered().await;
    node.reply(&question, "late").await;
    client.packet().await;
    tokio::select! {
        message = node.asked() => assert!(message.payload.is_empty()),
        arrival = client.next() => panic!("it lives, but {arrival:?} came"),
    }
    drop(node);
    assert_eq!(client.closed().await.0.id(), peer.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_that_must_not_be_asked_never_is() {
    let server = NatsServer::start().await;
    let options = Options::default().with_no_reply_wait(Duration::from_millis(20));
    let mut client = client(&server, options).await;
    let ours = End::open(&client.transport, Bind::Any).await;
    let watcher = stranger(&server.url()).await;
    let probe = client.port.dial("a.probe").unwrap();
    let bad = [
        "micro.nats.query",
        "micro.registry.nats.watch",
        "micro.lease.greeter",
        "blue.micro.nats.watch",
        "$SYS.REQ.SERVER.PING",
        "$JS.API.INFO",
        "_INBOX.>",
        "a.*",
        "a..b",
        &ours.address(),
        "<another peer's>",
    ];
    let mut spies = Vec::new();
    for home in bad.into_iter().filter(|home| !home.contains(['<', '>']) && *home != "a..b") {
        spies.push(subscribe(&watcher, home).await);
    }
    for (n, home) in bad.into_iter().enumerate() {
        let address = format!("bad.node.{n}");
        let mut node = Node::start(&server, &address, None).await;
        let peer = client.port.dial(&address).unwrap();
        send(&peer, "question").await;
        let question = node.request().await;
        let reply = question.reply.unwrap();
        let other = format!("{}.1", reply.rsplit_once('.').unwrap().0);
        let home = if home.starts_with('<') { other } else { home.to_owned() };
        node.client.publish_with_reply(reply, home, "answer".into()).await.unwrap();
        client.packet().await;
        node.stop_listening().await;
        send(&peer, "to nobody").await;
        assert_eq!(client.undelivered().await.0.id(), peer.id());
        assert_eq!(client.closed().await.0.id(), peer.id(), "{n}");
    }
    round_trip(&watcher).await;
    for spy in &mut spies {
        while let Some(Some(message)) = spy.next().now_or_never() {
            assert!(message.reply.is_none(), "asked: {message:?}");
        }
    }
    drop(probe);
}
