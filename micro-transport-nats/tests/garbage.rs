//! What arrives and is no packet harms nobody.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::{End, next, round_trip, send, stranger, subscribe};
use futures_util::FutureExt;
use futures_util::StreamExt;
use micro_core::transport::Bind;
use micro_testkit::server::NatsServer;
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::async_nats::HeaderMap;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_must_not_be_answered_never_is() {
    let server = NatsServer::start().await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    let mut service = End::open(&transport, Bind::Any).await;
    let other = End::open(&transport, Bind::Address("other.address".into())).await;
    let hostile = stranger(&server.url()).await;
    // Sees everything that anybody publishes.
    let mut all = subscribe(&hostile, ">").await;

    let replies = [
        "micro.nats.query",
        "micro.nats.watch",
        "micro.registry.nats.query",
        "micro.registry.nats.watch",
        "micro.lease.greeter",
        "blue.micro.nats.watch",
        "blue.micro.registry.nats.query",
        "$SYS.REQ.SERVER.PING",
        "$JS.API.INFO",
        "_INBOX.>",
        "a.*",
        "a..b",
        ".a",
        &service.address(),
        &other.address(),
    ];
    for reply in replies {
        hostile.publish_with_reply(service.address(), reply.to_owned(), "x".into()).await.unwrap();
    }
    hostile.publish(service.address(), "no reply subject".into()).await.unwrap();
    hostile.publish(service.address(), Bytes::new()).await.unwrap();
    round_trip(&hostile).await;

    let arrived = service.all().await;
    assert!(arrived.is_empty(), "{arrived:?}");
    let dropped = transport.dropped();
    assert_eq!(dropped.bad_reply, replies.len() as u64);
    assert_eq!(dropped.no_reply, 2);

    // It lives on, and this answer is the only thing that it ever published.
    let inbox = hostile.new_inbox();
    hostile.publish_with_reply(service.address(), inbox.clone(), "hello".into()).await.unwrap();
    let (peer, _) = service.packet().await;
    send(&peer, "answer").await;
    let mut answered = Vec::new();
    loop {
        let message = next(&mut all).await;
        let from_us = message.payload == "answer";
        if message.subject.as_str() != service.address() {
            answered.push(message.subject);
        }
        if from_us {
            break;
        }
    }
    // Besides: echoes of the round trips, to inboxes, and fences.
    assert!(answered.iter().all(|subject| subject.starts_with("_INBOX.")), "{answered:?}");
    assert!(answered.contains(&inbox.into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_of_any_content_arrive_as_they_are() {
    let server = NatsServer::start().await;
    let mut service = End::open(&NatsTransport::new([server.address()]).unwrap(), Bind::Any).await;
    let hostile = stranger(&server.url()).await;
    let packets: Vec<Bytes> = vec![
        Bytes::new(),
        "null".into(),
        vec![0; 3].into(),
        vec![0xff; 300].into(),
        "{\"Header\":".into(),
    ];
    for packet in &packets {
        let (to, reply) = (service.address(), hostile.new_inbox());
        hostile.publish_with_reply(to, reply, packet.clone()).await.unwrap();
    }
    // NATS headers are nobody's business here.
    let mut headers = HeaderMap::new();
    headers.insert("Status", "503");
    let (to, reply) = (service.address(), hostile.new_inbox());
    hostile.publish_with_reply_and_headers(to, reply, headers, "with".into()).await.unwrap();
    for packet in &packets {
        assert_eq!(service.packet().await.1, packet);
    }
    assert_eq!(service.packet().await.1, "with");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_to_the_return_address_of_an_accepted_peer_is_dropped() {
    let server = NatsServer::start().await;
    let transport = NatsTransport::new([server.address()]).unwrap();
    let mut service = End::open(&transport, Bind::Any).await;
    let client = stranger(&server.url()).await;
    let inbox = client.new_inbox();
    let mut answers = subscribe(&client, &inbox).await;
    client.publish_with_reply(service.address(), inbox.clone(), "hello".into()).await.unwrap();
    let (peer, _) = service.packet().await;
    send(&peer, "answer").await;
    let token = next(&mut answers).await.reply.unwrap();

    client.publish_with_reply(token, inbox, "to be answered?".into()).await.unwrap();
    round_trip(&client).await;
    let arrived = service.all().await;
    assert!(arrived.is_empty(), "{arrived:?}");
    assert_eq!(transport.dropped().unsolicited, 1);
    round_trip(&client).await;
    assert!(answers.next().now_or_never().is_none(), "nothing was answered");
}
