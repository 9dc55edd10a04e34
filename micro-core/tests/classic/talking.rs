//! Sockets that talk, and how they learn that nobody is there.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use micro_core::transport::{Bind, Port, SocketOptions, classic};
use micro_core::{Bytes, ErrorKind, RequestState, Result, Transport};
use micro_memory::MemoryTransport;
use tokio_stream::StreamExt;

use super::{End, ended, fails, numbered, open, poll, receive, unspawned, within};

#[tokio::test]
async fn packets_go_both_ways_in_their_order() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    for round in 0..20 {
        for n in 0..100 {
            client.send(numbered(round * 100 + n)).await.unwrap();
        }
        for n in 0..100 {
            let packet = receive(&mut server).await;
            assert_eq!(packet, numbered(round * 100 + n));
            server.send(packet).await.unwrap();
        }
        for n in 0..100 {
            assert_eq!(receive(&mut client).await, numbered(round * 100 + n));
        }
    }
}

#[tokio::test]
async fn an_empty_packet_is_a_packet() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    client.send(Bytes::new()).await.unwrap();
    assert_eq!(receive(&mut server).await, "");
}

#[tokio::test]
async fn two_dials_of_one_address_are_two_sockets() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut one, one_server) = a.pair(&mut b).await;
    let (mut two, two_server) = a.pair(&mut b).await;
    two_server.send("two".into()).await.unwrap();
    one_server.send("one".into()).await.unwrap();
    assert_eq!(receive(&mut one).await, "one");
    assert_eq!(receive(&mut two).await, "two");
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (2, 2));
    assert_eq!(one.remote(), b.address());
    assert_eq!(one_server.local(), Some(b.address()));
}

#[tokio::test]
async fn a_socket_is_a_stream_of_its_packets() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, server) = a.pair(&mut b).await;
    client.send("1".into()).await.unwrap();
    client.send("2".into()).await.unwrap();
    within(client.close()).await.unwrap();
    let packets: Result<Vec<Bytes>> = within(server.collect()).await;
    assert_eq!(packets.unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn giving_up_a_receive_or_an_accept_loses_nothing() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    assert!(poll(pin!(b.listener.accept())).is_pending());
    let (client, mut server) = a.pair(&mut b).await;
    let sender = tokio::spawn(async move {
        for n in 0..1000 {
            client.send(numbered(n)).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    });
    let mut next = 0;
    within(async {
        while next < 1000 {
            match poll(pin!(server.recv())) {
                Poll::Ready(packet) => {
                    assert_eq!(packet.unwrap().unwrap(), numbered(next));
                    next += 1;
                }
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    within(sender).await.unwrap();
}

#[tokio::test]
async fn nobody_listens_is_told_once_and_that_nothing_was_sent() {
    let transport = MemoryTransport::default();
    let End { dialer, listener, .. } = open(&transport).await;
    let End { dialer: gone_dialer, listener: gone, pump } = open(&transport).await;
    let address = gone.local().unwrap().to_owned();
    drop((gone_dialer, gone));
    within(pump).await.unwrap().unwrap();

    let mut socket = dialer.dial(&address).unwrap();
    socket.send("hello".into()).await.unwrap();
    let error = fails(&mut socket).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&format!("nobody listens at {address}")), "{error}");

    let error = socket.send("again".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&address), "{error}");
    assert!(poll(pin!(socket.recv())).is_pending(), "it is told once");
    drop((socket, listener));
    assert_eq!(dialer.sockets(), 0);
}

#[tokio::test]
async fn a_close_is_seen_after_what_was_sent_before_it() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    for n in 0..100 {
        client.send(numbered(n)).await.unwrap();
    }
    within(client.close()).await.unwrap();
    for n in 0..100 {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    ended(&mut server).await;
    ended(&mut server).await;
    let error = server.send("too late".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (0, 0));
}

#[tokio::test]
async fn one_who_sends_and_closes_at_once_is_accepted_and_heard() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let client = a.dialer.dial(b.address()).unwrap();
    client.send("1".into()).await.unwrap();
    client.send("2".into()).await.unwrap();
    drop(client);
    let mut server = within(b.listener.accept()).await.unwrap();
    assert_eq!(receive(&mut server).await, "1");
    assert_eq!(receive(&mut server).await, "2");
    ended(&mut server).await;
}

#[tokio::test]
async fn dropping_a_socket_closes_it_on_either_side() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    drop(client);
    ended(&mut server).await;
    let (mut client, server) = a.pair(&mut b).await;
    drop(server);
    ended(&mut client).await;
}

#[tokio::test]
async fn what_was_sent_to_one_who_is_gone_is_told() {
    let transport = MemoryTransport::default();
    let a = open(&transport).await;
    let (_dialer, mut listener, pump) =
        unspawned(&transport, SocketOptions::default().with_receive_capacity(1)).await;
    let mut pump = pin!(pump);
    let mut client = a.dialer.dial(listener.local().unwrap()).unwrap();
    client.send("read".into()).await.unwrap();
    assert!(poll(pump.as_mut()).is_pending());
    let server = within(listener.accept()).await.unwrap();
    client.send("not read".into()).await.unwrap();
    drop(server);
    let error = fails(&mut client).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::Unknown), "one of two was read: {error}");
    ended(&mut client).await;
}

#[tokio::test]
async fn a_peer_that_the_caller_dialled_at_the_port_is_not_accepted() {
    let transport = MemoryTransport::default();
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    let (dialer, listener, pump) = classic(port.clone(), incoming);
    let mut a = End { dialer, listener, pump: tokio::spawn(pump) };
    let mut b = open(&transport).await;
    let peer = port.dial(b.address()).unwrap();
    peer.try_send("hello".into()).unwrap();
    let stranger = within(b.listener.accept()).await.unwrap();
    stranger.send("an answer that nobody reads".into()).await.unwrap();
    // It has arrived when what was sent after it has.
    let (_b_client, _a_server) = b.pair(&mut a).await;
    assert!(poll(pin!(a.listener.accept())).is_pending());
    assert_eq!(a.dialer.sockets(), 1);
}

#[tokio::test]
async fn a_port_that_only_dials_has_nobody_to_accept() {
    let transport = MemoryTransport::default();
    let (port, incoming): (Arc<dyn Port>, _) = transport.open(Bind::ClientOnly).await.unwrap();
    let (dialer, listener, pump) = classic(port, incoming);
    let pump = tokio::spawn(pump);
    assert_eq!(listener.local(), None);
    drop(listener);
    let mut b = open(&transport).await;
    let mut client = dialer.dial(b.address()).unwrap();
    client.send("hello".into()).await.unwrap();
    let server = within(b.listener.accept()).await.unwrap();
    server.send("welcome".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "welcome");
    assert!(!pump.is_finished());
}
