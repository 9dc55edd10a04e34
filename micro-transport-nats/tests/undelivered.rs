//! What is said of packets that reached nobody is true.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::listener::RawListener;
use common::{End, next, send, stranger, subscribe, within};
use micro_core::transport::{Arrival, Bind, Peer, Refused};
use micro_testkit::server::NatsServer;
use micro_transport_nats::micro_nats::Nats;
use micro_transport_nats::{NatsTransport, Options};

/// Whether the other end is gone is not the subject here.
async fn client(nats: &Nats) -> End {
    let options = Options::default().with_no_reply_wait(Duration::from_secs(600));
    End::open(&NatsTransport::with_options(nats, options), Bind::ClientOnly).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_to_nobody_is_counted_and_the_peer_takes_no_more() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let peer = client.port.dial("nobody.here").unwrap();
    for packet in ["1", "2", "3"] {
        send(&peer, packet).await;
    }
    let (about, packets) = client.undelivered().await;
    assert_eq!((about.id(), packets), (peer.id(), 3));
    assert!(matches!(peer.try_send("4".into()), Err(Refused::Closed(_))));
    assert!(peer.ready().await.is_err());

    // Another dial is another peer.
    let _listener = RawListener::start(&server.address(), "nobody.here").await;
    let again = client.port.dial("nobody.here").unwrap();
    send(&again, "5").await;
    assert!(client.all().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_came_after_the_listener_is_counted() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let mut listener = RawListener::start(&server.address(), "a.listener").await;
    let peer = client.port.dial("a.listener").unwrap();
    for packet in 0..10 {
        send(&peer, packet.to_string()).await;
    }
    listener.received(10).await;
    listener.unsubscribe().await;
    // Not polled in between: the peer learns nothing and takes all of them.
    for packet in 10..17 {
        send(&peer, packet.to_string()).await;
    }
    let (about, packets) = client.undelivered().await;
    assert_eq!((about.id(), packets), (peer.id(), 7));
}

/// After a reconnect of everybody it is common that the sender is back first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_comes_after_the_first_packets_spoils_the_count_to_nothing() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let peer = client.port.dial("a.late.listener").unwrap();
    send(&peer, "1").await;
    nats.round_trip().await.unwrap();
    let mut listener = RawListener::start(&server.address(), "a.late.listener").await;
    send(&peer, "2").await;
    listener.received(1).await;
    // One of the two reached nobody; that it was the last one would be wrong.
    let (_, packets) = client.undelivered().await;
    assert_eq!(packets, 0);
}

/// Sends numbers from 0 on, as fast as they are taken, until the peer takes no more.
async fn flood(peer: Peer, stop: Arc<AtomicBool>) -> u64 {
    for number in 0.. {
        let mut packet = Bytes::from(u64::to_string(&number));
        loop {
            match peer.try_send(packet) {
                Ok(()) => break,
                Err(Refused::Full(back)) => packet = back,
                Err(_) => return number,
            }
            assert!(!stop.load(Ordering::Relaxed), "it stops by itself");
            if peer.ready().await.is_err() {
                return number;
            }
        }
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    unreachable!()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_count_is_too_large_whenever_the_listener_goes_under_load() {
    const ROUNDS: usize = 48;
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let (mut counted, mut exact) = (0, 0);
    for round in 0..ROUNDS {
        let address = format!("listener.{round}");
        let mut listener = RawListener::start(&server.address(), &address).await;
        let peer = client.port.dial(&address).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let flood = tokio::spawn(flood(peer.clone(), Arc::clone(&stop)));
        // Somewhere in the flood, elsewhere in each round.
        let ends = async {
            listener.received(1 + round * 37 % 500).await;
            if round % 2 == 0 { listener.unsubscribe().await } else { listener.kill().await }
        };
        let (received, arrival) = tokio::join!(ends, client.undelivered());
        let taken = within("the end of the flood", flood).await.unwrap();
        stop.store(true, Ordering::Relaxed);
        let (about, packets) = arrival;
        assert_eq!(about.id(), peer.id());

        let first_unsent = taken - packets;
        let wrong: Vec<_> = received.range(first_unsent..).collect();
        assert!(
            wrong.is_empty(),
            "round {round}: {packets} of {taken} said to be unsent, but {wrong:?} arrived"
        );
        counted += packets;
        // Who unsubscribes has read all that was sent to it.
        if round % 2 == 0 && packets == taken - received.len() as u64 {
            exact += 1;
        }
    }
    assert!(counted > 0, "something was counted");
    assert!(exact * 2 > ROUNDS / 2, "most counts are exact, not only careful: {exact}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_peer_whose_client_is_gone_is_undelivered() {
    let server = NatsServer::start().await;
    let mut service = End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await;
    let client = stranger(&server.url()).await;
    let inbox = client.new_inbox();
    let mut answers = subscribe(&client, &inbox).await;
    let request = || client.publish_with_reply(service.address(), inbox.clone(), "hello".into());
    request().await.unwrap();
    let (peer, _) = service.packet().await;
    send(&peer, "answer").await;
    next(&mut answers).await;

    answers.unsubscribe().await.unwrap();
    common::round_trip(&client).await;
    for packet in ["to", "nobody"] {
        send(&peer, packet).await;
    }
    let (about, packets) = service.undelivered().await;
    assert_eq!((about.id(), packets), (peer.id(), 2));

    // A client that is back, such as after its own reconnect, is a new peer and gets answers.
    let mut answers = subscribe(&client, &inbox).await;
    client.publish_with_reply(service.address(), inbox.clone(), "again".into()).await.unwrap();
    let (back, _) = service.packet().await;
    assert_ne!(back.id(), peer.id());
    send(&back, "answer").await;
    assert_eq!(next(&mut answers).await.payload, "answer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_to_earlier_packets_come_after_undelivered() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let service = stranger(&server.url()).await;
    let mut requests = subscribe(&service, "slow.service").await;
    let peer = client.port.dial("slow.service").unwrap();
    send(&peer, "1").await;
    let first = next(&mut requests).await;
    requests.unsubscribe().await.unwrap();
    common::round_trip(&service).await;
    send(&peer, "2").await;
    assert_eq!(client.undelivered().await.1, 1);

    service.publish(first.reply.unwrap(), "late".into()).await.unwrap();
    let (from, packet) = client.packet().await;
    assert_eq!((from.id(), packet), (peer.id(), "late".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fences_cannot_be_forged_and_what_is_not_for_a_peer_is_dropped() {
    let server = NatsServer::start().await;
    let nats = Nats::new([server.address()]).unwrap();
    let mut client = client(&nats).await;
    let service = stranger(&server.url()).await;
    let mut requests = subscribe(&service, "curious.service").await;
    let peer = client.port.dial("curious.service").unwrap();
    send(&peer, "1").await;
    let token = next(&mut requests).await.reply.unwrap();
    let inbox = token.rsplit_once('.').unwrap().0;
    for garbage in ["f-1", "f1-99", "l1-", "0", "99", "-1", "18446744073709551616", "x"] {
        service.publish(format!("{inbox}.{garbage}"), "x".into()).await.unwrap();
    }
    common::round_trip(&service).await;
    let arrived = client.all().await;
    assert!(arrived.is_empty(), "{arrived:?}");
    assert_eq!(client.transport.dropped().unknown_peer, 8);

    service.publish(token, "answer".into()).await.unwrap();
    assert!(matches!(client.next().await, Arrival::Packet { .. }));
}
