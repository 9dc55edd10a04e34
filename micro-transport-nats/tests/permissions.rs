//! What the server has to allow.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, send};
use micro_core::transport::Bind;
use micro_testkit::server::NatsServer;
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::{Nats, NatsOptions};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_happens_under_the_inbox_prefix() {
    let server = NatsServer::start_configured(
        r#"authorization {
            users = [{
                user: svc, password: pw
                permissions { publish: "own.inbox.>", subscribe: "own.inbox.>" }
            }]
        }"#,
    )
    .await;
    let nats = || {
        let address = format!("nats://svc:pw@{}", server.address());
        let options = NatsOptions::default()
            .with_addresses(address.parse().unwrap())
            .with_inbox_prefix("own.inbox");
        Nats::with_options(options).unwrap()
    };
    let mut service = End::open(&NatsTransport::with(&nats()), Bind::Any).await;
    let mut client = End::open(&NatsTransport::with(&nats()), Bind::ClientOnly).await;
    assert!(service.address().starts_with("own.inbox."));

    let peer = client.port.dial(&service.address()).unwrap();
    send(&peer, "question").await;
    let (back, packet) = service.packet().await;
    assert_eq!(packet, "question");
    send(&back, "answer").await;
    assert_eq!(client.packet().await.1, "answer");

    service.port.stop_listening().await.unwrap();
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.1, 1);
    assert!(!server.log().contains("Violation"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listening_ends_also_where_we_may_not_publish() {
    let server = NatsServer::start_configured(
        r#"authorization {
            users = [
                { user: svc, password: pw
                  permissions { publish: "_INBOX.>", subscribe: ["_INBOX.>", "fixed.address"] } }
                { user: client, password: pw }
            ]
        }"#,
    )
    .await;
    let nats = |user| Nats::new([format!("nats://{user}:pw@{}", server.address())]).unwrap();
    let transport = NatsTransport::with(&nats("svc"));
    let mut service = End::open(&transport, Bind::Address("fixed.address".into())).await;
    let mut client = End::open(&NatsTransport::with(&nats("client")), Bind::ClientOnly).await;
    let peer = client.port.dial("fixed.address").unwrap();
    send(&peer, "question").await;
    let (back, _) = service.packet().await;
    service.port.stop_listening().await.unwrap();
    send(&back, "answer").await;
    assert_eq!(client.packet().await.1, "answer");
    send(&peer, "to nobody").await;
    assert_eq!(client.undelivered().await.1, 1);
}
