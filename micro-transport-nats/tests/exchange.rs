//! Packets to and fro, with ourselves and with what go-micro sends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashMap;

use bytes::Bytes;
use common::{End, next, send, stranger, subscribe, within};
use micro_core::Transport as _;
use micro_core::transport::{Arrival, Bind, Refused};
use micro_core::{ErrorKind, Result};
use micro_testkit::server::NatsServer;
use micro_transport_nats::{NatsTransport, Options};
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    exchange: String,
    reply: Option<String>,
    body: String,
}

/// The exchanges of all generations, each with its lines in order.
fn fixtures() -> Vec<(String, Vec<Line>)> {
    let texts = [
        include_str!("fixtures/packets-v2.jsonl"),
        include_str!("fixtures/packets-v3.jsonl"),
        include_str!("fixtures/packets-v6.jsonl"),
    ];
    let mut exchanges: Vec<(String, Vec<Line>)> = Vec::new();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let line: Line = serde_json::from_str(line).unwrap();
        match exchanges.last_mut() {
            Some((exchange, lines)) if *exchange == line.exchange => lines.push(line),
            _ => exchanges.push((line.exchange.clone(), vec![line])),
        }
    }
    assert!(exchanges.len() >= 12, "every generation has its exchanges");
    exchanges
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_go_micro_client_sends_arrives_and_is_answered_at_its_inbox() {
    let server = NatsServer::start().await;
    let mut service = End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await;
    let client = stranger(&server.url()).await;
    for (exchange, lines) in fixtures() {
        // One socket of go-micro's is one inbox.
        let inbox = client.new_inbox();
        let mut answers = subscribe(&client, &inbox).await;
        let mut peers = HashMap::new();
        for line in lines {
            let body = Bytes::from(line.body);
            if line.reply.is_some() {
                client
                    .publish_with_reply(service.address(), inbox.clone(), body.clone())
                    .await
                    .unwrap();
                let (peer, packet) = service.packet().await;
                assert_eq!(packet, body, "{exchange}");
                assert!(peer.accepted());
                assert_eq!(peer.remote(), inbox);
                peers.insert(peer.id(), peer);
            } else {
                let peer = peers.values().next().expect("the request came first");
                send(peer, body.clone()).await;
                let answer = next(&mut answers).await;
                assert_eq!(answer.payload, body, "{exchange}");
                assert!(answer.reply.is_some(), "so that we hear when the client is gone");
            }
        }
        assert_eq!(peers.len(), 1, "{exchange}: one inbox is one peer");
    }
    assert_eq!(service.transport.dropped().total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_we_send_reaches_a_go_micro_service_and_its_answers_come_back() {
    let server = NatsServer::start().await;
    let mut client =
        End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::ClientOnly).await;
    let service = stranger(&server.url()).await;
    let address = service.new_inbox();
    let mut requests = subscribe(&service, &address).await;
    for (exchange, lines) in fixtures() {
        let peer = client.port.dial(&address).unwrap();
        let mut socket = None;
        for line in lines {
            let body = Bytes::from(line.body);
            if line.reply.is_some() {
                send(&peer, body.clone()).await;
                let request = next(&mut requests).await;
                assert_eq!(request.payload, body, "{exchange}");
                let reply = request.reply.expect("an inbox to answer to");
                // go-micro tells its sockets apart by this subject.
                assert_eq!(socket.get_or_insert(reply.clone()), &reply, "{exchange}");
            } else {
                let socket = socket.clone().expect("the request came first");
                service.publish(socket, body.clone()).await.unwrap();
                let (from, packet) = client.packet().await;
                assert_eq!(packet, body, "{exchange}");
                assert_eq!(from.id(), peer.id());
                assert!(!from.accepted());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_dials_create_no_subscription_and_work() {
    let server = NatsServer::start().await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    let mut service = End::open(&transport, Bind::Any).await;
    let mut client = End::open(&transport, Bind::ClientOnly).await;
    let subscriptions = || async { server.monitor("/subsz").await["num_subscriptions"].as_u64() };
    let before = subscriptions().await;

    let peers: Vec<_> =
        (0..10_000).map(|_| client.port.dial(&service.address()).unwrap()).collect();
    for (i, peer) in peers.iter().enumerate().step_by(101) {
        send(peer, i.to_string()).await;
        let (back, packet) = service.packet().await;
        send(&back, packet).await;
        let (from, packet) = client.packet().await;
        assert_eq!((from.id(), packet), (peer.id(), i.to_string().into()));
    }

    transport.nats().round_trip().await.unwrap();
    // A round trip of the connection may have had a subscription of its own, which is gone again.
    within("the subscriptions of before", async {
        while subscriptions().await > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_in_this_transport_is_a_conflict_until_listening_ends() {
    let server = NatsServer::start().await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    let bind = || Bind::Address("fixed.address".into());
    let first = End::open(&transport, bind()).await;
    let open = || async { transport.clone().open(bind()).await.map(|_| ()) };
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Conflict);
    first.port.stop_listening().await.unwrap();
    open().await.unwrap();
    drop(first);
    open().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_an_address_is_neither_listened_on_nor_dialled() {
    // Nothing runs there, and nothing is needed.
    let transport = NatsTransport::new(["127.0.0.1:1"]).unwrap();
    let (port, _incoming) = transport.open(Bind::ClientOnly).await.unwrap();
    for address in
        ["", "a b", "a.>", "*", "$SYS.ping", "micro.nats.query", "blue.micro.registry.nats.watch"]
    {
        let listened = transport.open(Bind::Address(address.into())).await.map(|_| ());
        let dialled: Result<_> = port.dial(address).map(|_| ());
        for error in [listened.unwrap_err(), dialled.unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{address:?}: {error}");
        }
    }
    assert!(transport.health().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_over_the_servers_limit_is_handed_back() {
    let server = NatsServer::start_configured("max_payload: 64KB").await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    let mut service = End::open(&transport, Bind::Any).await;
    let client = End::open(&transport, Bind::ClientOnly).await;
    let peer = client.port.dial(&service.address()).unwrap();
    assert_eq!(peer.max_packet(), 64 * 1024);
    let fits = Bytes::from(vec![7; 64 * 1024]);
    let over = Bytes::from(vec![7; 64 * 1024 + 1]);
    match peer.try_send(over.clone()) {
        Err(Refused::TooLarge(back)) => assert_eq!(back, over),
        other => panic!("{other:?}"),
    }
    send(&peer, fits.clone()).await;
    assert_eq!(service.packet().await.1, fits);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_let_go_is_forgotten_and_arises_again_when_it_sends() {
    let server = NatsServer::start().await;
    let transport = NatsTransport::with_options(
        NatsTransport::new([server.address()]).unwrap().nats(),
        Options::default().with_max_accepted(1),
    );
    let mut service = End::open(&transport, Bind::Any).await;
    let mut client = End::open(&transport, Bind::ClientOnly).await;
    let one = client.port.dial(&service.address()).unwrap();
    let two = client.port.dial(&service.address()).unwrap();

    send(&one, "first").await;
    let (first, _) = service.packet().await;
    // There is room for one accepted peer only.
    send(&two, "too many").await;
    assert!(service.all().await.is_empty());
    assert_eq!(transport.dropped().too_many_peers, 1);

    let id = first.id();
    drop(first);
    send(&two, "now").await;
    let (second, packet) = service.packet().await;
    assert_eq!(packet, "now");
    assert_ne!(second.id(), id, "an id is never used again");

    // A closed peer takes nothing, and what comes for it is nobody's.
    send(&second, "late").await;
    two.close();
    assert!(matches!(two.try_send("x".into()), Err(Refused::Closed(_))));
    assert!(two.ready().await.is_err());
    let arrived = client.all().await;
    assert!(!arrived.iter().any(|a| matches!(a, Arrival::Packet { .. })), "{arrived:?}");
}
