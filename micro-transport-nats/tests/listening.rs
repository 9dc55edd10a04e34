//! Listening ends without losing a packet, and alone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeSet;

use common::{End, next, send, stranger, subscribe, within};
use futures_util::{FutureExt, StreamExt};
use micro_core::transport::{Arrival, Bind};
use micro_testkit::server::NatsServer;
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::async_nats::Client;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_live_on_when_listening_ends() {
    let server = NatsServer::start().await;
    let mut service = End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await;
    let mut client =
        End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::ClientOnly).await;
    let other_service = stranger(&server.url()).await;
    let mut requests = subscribe(&other_service, "other.service").await;
    let peer = client.port.dial(&service.address()).unwrap();
    send(&peer, "1").await;
    let (back, _) = service.packet().await;
    let dialled = service.port.dial("other.service").unwrap();

    service.port.stop_listening().await.unwrap();

    send(&back, "answer").await;
    assert_eq!(client.packet().await.1, "answer");
    send(&dialled, "question").await;
    let reply = next(&mut requests).await.reply.unwrap();
    other_service.publish(reply, "other answer".into()).await.unwrap();
    assert_eq!(service.packet().await.1, "other answer");

    send(&peer, "2").await;
    assert_eq!(client.undelivered().await.1, 1);
    // Twice is once.
    service.port.stop_listening().await.unwrap();
    assert!(service.all().await.is_empty());
    assert_eq!(service.transport.dropped().total(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_up_to_the_end_of_listening_arrives() {
    let server = NatsServer::start().await;
    let client = stranger(&server.url()).await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    for round in 0..24 {
        let mut service = End::open(&transport, Bind::Any).await;
        let flood = tokio::spawn(flood(client.clone(), service.address()));
        // Other traffic on the connection makes a plain unsubscribe lose what is on the way.
        let busy = tokio::spawn({
            let nats = transport.nats().clone();
            async move {
                loop {
                    for _ in 0..64 {
                        nats.publish("busy", None, "x".into()).await.unwrap();
                    }
                    nats.round_trip().await.unwrap();
                }
            }
        });
        let mut received = BTreeSet::new();
        while received.len() < 50 + round * 20 {
            received.insert(number(service.next().await));
        }
        // Half of the rounds read on meanwhile, the others only afterwards.
        if round % 2 == 0 {
            service.port.stop_listening().await.unwrap();
        } else {
            let port = service.port.clone();
            let stopped = tokio::spawn(async move { port.stop_listening().await });
            while !stopped.is_finished() {
                received.extend(service.all().await.into_iter().map(number));
            }
            stopped.await.unwrap().unwrap();
        }
        busy.abort();
        let (sent, unheard) = within("the end of the flood", flood).await.unwrap();
        received.extend(service.all().await.into_iter().map(number));
        let all: BTreeSet<_> = (0..sent - unheard).collect();
        let missing: Vec<_> = all.difference(&received).collect();
        assert!(missing.is_empty(), "round {round}: of {sent} ({unheard} unheard): {missing:?}");
        assert_eq!(all.len(), received.len(), "round {round}: more arrived than was sent");
    }
}

/// Sends numbers until nobody listens; how many, and how many of them reached nobody.
async fn flood(client: Client, address: String) -> (u64, u64) {
    let inbox = client.new_inbox();
    let mut answers = subscribe(&client, &inbox).await;
    let (mut sent, mut unheard) = (0, 0);
    while unheard == 0 {
        for _ in 0..4 {
            let packet = u64::to_string(&sent);
            let (to, reply) = (address.clone(), inbox.clone());
            client.publish_with_reply(to, reply, packet.into()).await.unwrap();
            sent += 1;
        }
        // As many as callers have in flight, not as many as a connection can carry.
        common::round_trip(&client).await;
        unheard += u64::from(answers.next().now_or_never().is_some());
    }
    // What is said of all packets comes before this.
    client.publish(inbox, "end".into()).await.unwrap();
    while next(&mut answers).await.payload != "end" {
        unheard += 1;
    }
    (sent, unheard)
}

fn number(arrival: Arrival) -> u64 {
    match arrival {
        Arrival::Packet { packet, .. } => std::str::from_utf8(&packet).unwrap().parse().unwrap(),
        other => panic!("{other:?}"),
    }
}
