//! NATS goes and comes back.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{End, LIMIT, send, within};
use futures_util::FutureExt;
use micro_core::Transport as _;
use micro_core::transport::{Arrival, Bind, Refused, recv};
use micro_testkit::server::NatsServer;
use micro_transport_nats::NatsTransport;
use micro_transport_nats::micro_nats::{Nats, State};

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
