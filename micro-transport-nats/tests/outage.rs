//! NATS goes and comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::node::Node;
use common::{End, LIMIT, send, within};
use futures_util::FutureExt;
use micro_core::Transport as _;
use micro_core::transport::{Arrival, Bind, Peer, Refused, recv};
use micro_testkit::server::NatsServer;
use micro_transport_nats::micro_nats::async_nats::Message;
use micro_transport_nats::micro_nats::{Nats, State};
use micro_transport_nats::{NatsTransport, Options};

async fn noticed(nats: &Nats) {
    let mut states = nats.states();
    let gone = states.wait_for(|state| !matches!(state, State::Connected { .. }));
    within("the loss to be noticed", gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_and_listening_live_on_over_a_restart_of_nats() {
    let mut server = NatsServer::start().await;
    let mut service = End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await;
    let mut client =
        End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::ClientOnly).await;
    let peer = client.port.dial(&service.address()).unwrap();
    send(&peer, "before").await;
    let (back, _) = service.packet().await;
    send(&back, "answer").await;
    client.packet().await;

    server.stop().await;
    for end in [&service, &client] {
        noticed(end.transport.nats()).await;
        assert!(end.transport.health().is_err());
    }
    assert!(matches!(peer.try_send("away".into()), Err(Refused::Full(_))));

    server.restart().await;
    for end in [&service, &client] {
        let nats = end.transport.nats();
        within("a connection", async { while nats.connected().await.is_err() {} }).await;
        nats.round_trip().await.unwrap();
    }
    send(&peer, "after").await;
    let (same, packet) = service.packet().await;
    assert_eq!((same.id(), packet), (back.id(), "after".into()));
    send(&back, "answer").await;
    let (same, packet) = client.packet().await;
    assert_eq!((same.id(), packet), (peer.id(), "answer".into()));
    // And a new one.
    let other = client.port.dial(&service.address()).unwrap();
    send(&other, "new").await;
    assert_eq!(service.packet().await.1, "new");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ports_open_before_nats_is_there() {
    let mut server = NatsServer::stopped(&[]);
    let nats = Nats::new([server.address()]).unwrap();
    let transport = NatsTransport::with(&nats);
    let (service, mut requests) = transport.open(Bind::Any).await.unwrap();
    let (client, _answers) = transport.open(Bind::ClientOnly).await.unwrap();
    let peer = client.dial(service.local().unwrap()).unwrap();
    assert!(matches!(peer.try_send("early".into()), Err(Refused::Full(_))));

    let waiting = tokio::spawn({
        let peer = peer.clone();
        async move { send(&peer, "hello").await }
    });
    server.restart().await;
    within("the packet to be taken", waiting).await.unwrap();
    let mut arrivals = Vec::new();
    within("the packet", recv(&mut *requests, &mut arrivals)).await.unwrap();
    assert!(matches!(&arrivals[0], Arrival::Packet { packet, .. } if packet == "hello"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_that_is_lost_with_the_connection_is_sent_again() {
    let mut server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = End::open(&NatsTransport::with(&nats), Bind::ClientOnly).await;
    let peer = client.port.dial("nobody.here").unwrap();
    send(&peer, "1").await;
    nats.round_trip().await.unwrap();
    // The server's word is here; the fence will go into a socket that nobody reads.
    server.pause();
    let stopped = async {
        while peer.ready().await.is_ok() {
            let mut arrivals = Vec::new();
            assert!(recv(&mut *client.incoming, &mut arrivals).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    };
    within("the peer to be stopped", stopped).await;
    server.kill().await;
    server.restart().await;
    let (about, packets) = client.undelivered().await;
    assert_eq!((about.id(), packets), (peer.id(), 1), "one word for the only packet");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_for_room_ends_when_the_peer_is_closed() {
    let server = NatsServer::stopped(&[]);
    let transport = NatsTransport::new([server.address()]).unwrap();
    let (client, _answers) = transport.open(Bind::ClientOnly).await.unwrap();
    let peer = client.dial("somebody").unwrap();
    let waiting = tokio::spawn({
        let peer = peer.clone();
        async move { peer.ready().await }
    });
    tokio::task::yield_now().await;
    peer.close();
    let ended = tokio::time::timeout(LIMIT, waiting).await.expect("it ends").unwrap();
    assert!(ended.is_err());
}

/// A peer whose node, with this home, has answered; its node; the request.
async fn met(server: &NatsServer, client: &mut End, home: Option<&str>) -> (Peer, Node, Message) {
    let mut node = Node::start(server, "a.node", home).await;
    let peer = client.port.dial("a.node").unwrap();
    send(&peer, "question").await;
    let question = node.request().await;
    node.reply(&question, "answer").await;
    client.packet().await;
    (peer, node, question)
}

/// NATS is back, and so is the client, before anybody else.
async fn restarted(server: &mut NatsServer, client: &End) {
    let nats = client.transport.nats();
    server.stop().await;
    noticed(nats).await;
    server.restart().await;
    within("a connection", async { while nats.connected().await.is_err() {} }).await;
}

async fn client_with_grace(server: &NatsServer, grace: Duration) -> End {
    let options = Options::default().with_reconnect_grace(grace);
    let nats = Nats::new([server.address()]).unwrap();
    End::open(&NatsTransport::with_options(&nats, options), Bind::ClientOnly).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_back_later_than_we_are_is_not_closed() {
    let mut server = NatsServer::start().await;
    let mut client = client_with_grace(&server, Duration::from_secs(600)).await;
    let (peer, node, question) = met(&server, &mut client, Some("a.home")).await;
    drop(node);
    restarted(&mut server, &client).await;
    send(&peer, "too early").await;
    assert_eq!(client.undelivered().await.0.id(), peer.id());
    assert!(client.all().await.is_empty());

    // It is asked until it is back.
    let mut node = Node::start(&server, "elsewhere", Some("a.home")).await;
    tokio::select! {
        message = node.asked() => assert!(message.payload.is_empty()),
        arrival = client.next() => panic!("it lives, but {arrival:?} came"),
    }
    node.reply(&question, "late").await;
    assert_eq!(client.packet().await.1, "late");
    // Now we know that it is back.
    drop(node);
    assert_eq!(client.closed().await.0.id(), peer.id());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_drains_over_a_restart_of_nats_is_asked_on() {
    let mut server = NatsServer::start().await;
    let mut client = client_with_grace(&server, Duration::from_secs(600)).await;
    let (peer, mut node, question) = met(&server, &mut client, Some("a.home")).await;
    node.stop_listening().await;
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.1, 1);
    drop(node);
    restarted(&mut server, &client).await;
    let mut node = Node::start(&server, "elsewhere", Some("a.home")).await;
    tokio::select! {
        message = node.asked() => assert!(message.payload.is_empty()),
        arrival = client.next() => panic!("it lives, but {arrival:?} came"),
    }
    node.reply(&question, "late").await;
    assert_eq!(client.packet().await.1, "late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_cannot_be_asked_is_not_closed_for_being_back_later() {
    let mut server = NatsServer::start().await;
    let mut client = client_with_grace(&server, Duration::ZERO).await;
    let (peer, node, question) = met(&server, &mut client, None).await;
    drop(node);
    restarted(&mut server, &client).await;
    send(&peer, "too early").await;
    assert_eq!(client.undelivered().await.0.id(), peer.id());
    assert!(client.all().await.is_empty());
    let node = Node::start(&server, "elsewhere", None).await;
    node.reply(&question, "late").await;
    assert_eq!(client.packet().await.1, "late");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_comes_back_is_closed_after_the_grace() {
    let mut server = NatsServer::start().await;
    let mut client = client_with_grace(&server, Duration::from_millis(200)).await;
    let (peer, node, _) = met(&server, &mut client, Some("a.home")).await;
    drop(node);
    restarted(&mut server, &client).await;
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.0.id(), peer.id());
    assert_eq!(client.closed().await.0.id(), peer.id());
}

/// A server that shuts down closes one connection after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_nats_is_not_the_end_of_a_node() {
    for round in 0..20 {
        let mut server = NatsServer::start().await;
        let mut client = client_with_grace(&server, Duration::from_secs(600)).await;
        let home = (round % 2 == 0).then_some("a.home");
        let (peer, _node, _) = met(&server, &mut client, home).await;
        let flood = tokio::spawn(async move {
            while let Ok(()) | Err(Refused::Full(_)) = peer.try_send("x".into()) {
                tokio::task::yield_now().await;
            }
            peer
        });
        let nats = client.transport.nats().clone();
        let over = async {
            server.stop().await;
            noticed(&nats).await;
        };
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => break,
                arrival = client.next() => {
                    let closed = matches!(arrival, Arrival::Closed { .. });
                    assert!(!closed, "round {round}: {arrival:?} came");
                }
            }
        }
        flood.abort();
    }
}
