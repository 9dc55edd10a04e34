//! What is bounded, and what happens at the bound.

use std::pin::pin;
use std::time::Duration;

use micro_core::transport::SocketOptions;
use micro_core::{ErrorKind, RequestState};
use micro_memory::{Memory, MemoryOptions, MemoryTransport};

use super::{ended, fails, numbered, open, open_with, poll, receive, unspawned, within};

#[tokio::test]
async fn a_socket_that_is_not_read_ends_as_overloaded_and_the_others_go_on() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_receive_capacity(4);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    let (other, mut other_server) = a.pair(&mut b).await;
    for n in 0..10 {
        client.send(numbered(n)).await.unwrap();
    }
    let mut told = 0;
    while let Ok(None) | Err(_) = within(client.recv()).await {
        told += 1;
        if told == 2 {
            break;
        }
    }
    for n in 0..4 {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    let error = fails(&mut server).await;
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.to_string().contains("more than 4 packets"), "{error}");
    ended(&mut server).await;
    assert_eq!(server.send("x".into()).await.unwrap_err().kind(), ErrorKind::Overloaded);

    other.send("still here".into()).await.unwrap();
    assert_eq!(receive(&mut other_server).await, "still here");
    drop((client, server));
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (1, 1));
}

#[tokio::test]
async fn a_reader_gets_its_turn_before_its_socket_overflows() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_receive_capacity(1);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let (client, mut server) = a.pair(&mut b).await;
    let reader = tokio::spawn(async move {
        for n in 0..50 {
            assert_eq!(receive(&mut server).await, numbered(n));
        }
    });
    for n in 0..50 {
        client.send(numbered(n)).await.unwrap();
    }
    within(reader).await.unwrap();
}

#[tokio::test]
async fn those_who_find_too_many_waiting_are_turned_away() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_accept_capacity(2);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let mut clients = Vec::new();
    for n in 0..5 {
        let client = a.dialer.dial(b.address()).unwrap();
        client.send(numbered(n)).await.unwrap();
        clients.push(client);
    }
    let mut turned_away = clients.split_off(2);
    for client in &mut turned_away {
        // That the packet was lost with it may be told first.
        if within(client.recv()).await.is_err() {
            ended(client).await;
        }
    }
    assert_eq!(b.listener.turned_away(), 3);
    for n in 0..2 {
        let mut server = within(b.listener.accept()).await.unwrap();
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    let (_client, _server) = a.pair(&mut b).await;
    drop(turned_away);
}

#[tokio::test]
async fn a_packet_too_large_is_refused_with_both_sizes() {
    let memory = Memory::with_options(MemoryOptions::default().with_max_packet(100));
    let transport = memory.transport();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    let error = client.send(vec![0; 101].into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("101 bytes"), "{error}");
    assert!(error.to_string().contains("100 bytes"), "{error}");
    client.send(vec![0; 100].into()).await.unwrap();
    assert_eq!(receive(&mut server).await.len(), 100);
}

#[tokio::test]
async fn a_full_peer_makes_a_send_wait_within_its_limit() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_send_wait(Duration::from_millis(20));
    let a = open_with(&transport, options).await;
    let (_dialer, listener, _pump) = unspawned(&transport, SocketOptions::default()).await;
    let socket = a.dialer.dial(listener.local().unwrap()).unwrap();
    let error = within(async {
        loop {
            if let Err(error) = socket.send("x".into()).await {
                break error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("no room"), "{error}");
}

#[tokio::test]
async fn a_send_goes_on_when_there_is_room_again() {
    let transport = MemoryTransport::default();
    let a = open(&transport).await;
    let (_dialer, mut listener, pump) =
        unspawned(&transport, SocketOptions::default().with_receive_capacity(100_000)).await;
    let socket = a.dialer.dial(listener.local().unwrap()).unwrap();
    let mut sent = 0;
    // A send that is given up has sent nothing, so the same packet goes out again below.
    while poll(pin!(socket.send(numbered(sent)))).is_ready() {
        sent += 1;
    }
    let sender = tokio::spawn(async move {
        socket.send(numbered(sent)).await.unwrap();
        socket
    });
    tokio::spawn(pump);
    let mut server = within(listener.accept()).await.unwrap();
    for n in 0..=sent {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    drop(within(sender).await.unwrap());
    ended(&mut server).await;
}
