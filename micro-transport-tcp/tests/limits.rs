//! What one side may take of the other, and what it does not get.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::GREETING;
use common::end::{End, LIMIT, patient, send, until};
use micro_core::transport::{Arrival, Bind, Refused, Transport as _};
use micro_transport_tcp::TcpTransport;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_thousand_connections_are_served() {
    const PEERS: usize = 1_000;
    // Both ends of each are here.
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(4_096).min(4_096);
    if files.current.is_some_and(|now| now < most) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..files }).unwrap();
    }
    let mut server = End::server(patient()).await;
    let mut client = End::client(patient()).await;
    let address = server.address();
    let peers: Vec<_> = (0..PEERS).map(|_| client.dial(&address)).collect();
    for (n, peer) in peers.iter().enumerate() {
        assert!(send(peer, format!("{n}")).await);
    }
    let mut accepted = Vec::new();
    for _ in 0..PEERS {
        let (peer, packet) = server.packet().await;
        send(&peer, packet).await;
        accepted.push(peer);
    }
    for _ in 0..PEERS {
        let (peer, packet) = client.packet().await;
        let n: usize = str::from_utf8(&packet).unwrap().parse().unwrap();
        assert_eq!(peer.id(), peers[n].id());
    }
    assert_eq!(server.transport.dropped().total(), 0);
}

#[tokio::test]
async fn who_is_one_too_many_is_not_greeted_and_counted() {
    let mut server = End::server(patient().with_max_connections(2)).await;
    let mut client = End::client(patient()).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let peer = client.dial(&server.address());
        send(&peer, "hello").await;
        held.push((peer, server.packet().await.0));
    }
    let third = client.dial(&server.address());
    send(&third, "hello").await;
    assert_eq!(client.undelivered().await, 1);
    // Over the Unix socket, and over TCP after that.
    let tried = if cfg!(target_os = "linux") { 2 } else { 1 };
    assert_eq!(server.transport.dropped().too_many, tried);
    // When one goes, there is room again.
    let (_kept, accepted) = held.pop().unwrap();
    drop(accepted);
    assert_eq!(client.closed().await, (vec![], 0));
    let next = client.dial(&server.address());
    send(&next, "next").await;
    assert_eq!(server.packet().await.1, "next");
}

#[tokio::test]
async fn a_flood_of_half_open_connections_starves_nobody() {
    // None goes by itself.
    let options = patient().with_half_open_timeout(LIMIT * 10);
    let options = options.with_max_half_open(10).with_unix_socket(false);
    let mut server = End::server(options).await;
    let client = End::client(patient()).await;
    let mut flood = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(server.place()).await.unwrap();
        // Some say nothing, some only greet, some begin a packet.
        stream.write_all([&b""[..], GREETING, &GREETING[..5]][n % 3]).await.unwrap();
        flood.push(stream);
        if n % 10 == 9 {
            let peer = client.dial(&server.address());
            send(&peer, "I am real").await;
            assert_eq!(server.packet().await.1, "I am real");
        }
    }
    let transport = server.transport.clone();
    until("all but the limit are closed", || transport.dropped().half_open >= 90).await;
    for mut stream in flood.drain(..90) {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
    }
}

#[tokio::test]
async fn who_sends_no_first_packet_is_closed_in_time() {
    let timeout = Duration::from_millis(50);
    let options = patient().with_half_open_timeout(timeout).with_max_packet(1 << 20);
    let mut server = End::server(options).await;
    let most = [GREETING, &200_000_u32.to_be_bytes(), &[7; 190_000]].concat();
    for bytes in [b"", GREETING, &[GREETING, b"\x00\x00\x00\x05half"].concat(), &most] {
        let mut stream = TcpStream::connect(server.place()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
    }
    assert_eq!(server.transport.dropped().half_open, 4);
    // Who is known has all the time.
    let client = End::client(patient()).await;
    let peer = client.dial(&server.address());
    send(&peer, "first").await;
    let (_accepted, _) = server.packet().await;
    tokio::time::sleep(timeout * 4).await;
    assert!(matches!(server.rest()[..], [Arrival::Closed { .. }] | []));
    send(&peer, "second").await;
    assert_eq!(server.packet().await.1, "second");
}

#[tokio::test]
async fn who_goes_on_with_a_large_first_packet_gets_the_time_for_one_anew() {
    let options = patient().with_half_open_timeout(Duration::from_secs(3));
    let mut server = End::server(options).await;
    let mut stream = TcpStream::connect(server.place()).await.unwrap();
    stream.write_all(&[GREETING, &300_000_u32.to_be_bytes()].concat()).await.unwrap();
    for pause in [1_600, 1_600, 0] {
        stream.write_all(&[7; 100_000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    assert_eq!(server.packet().await.1.len(), 300_000);
}

#[tokio::test]
async fn a_reader_that_is_slow_makes_its_peer_full_and_takes_no_memory() {
    let transport = TcpTransport::new([""; 0]).unwrap();
    // Nobody receives once it has been greeted.
    let (port, mut incoming) = transport.open(Bind::Any).await.unwrap();
    let client = End::client(patient().with_queue_bytes(1 << 20)).await;
    let peer = client.dial(port.local().unwrap());
    send(&peer, vec![0; 1_000]).await;
    let mut arrivals = Vec::new();
    micro_core::transport::recv(&mut *incoming, &mut arrivals).await.unwrap();
    let packet = bytes::Bytes::from(vec![0; 64 << 10]);
    let mut taken = 0;
    loop {
        match peer.try_send(packet.clone()) {
            Ok(()) => taken += packet.len(),
            Err(Refused::Full(_)) => {
                // What the system still takes makes room; when it takes no more, that is all.
                let ready = tokio::time::timeout(Duration::from_millis(300), peer.ready());
                if ready.await.is_err() {
                    break;
                }
            }
            Err(refused) => panic!("{refused:?}"),
        }
        assert!(taken < 64 << 20, "{taken} bytes were taken that nobody reads");
    }
    assert!(taken >= 1 << 20, "only {taken}");
    // Once somebody reads, there is room, and all of it comes.
    let mut server = End::pumped(transport, port, incoming);
    tokio::time::timeout(LIMIT, peer.ready()).await.unwrap().unwrap();
    let mut came = 0;
    while came < taken {
        came += server.packet().await.1.len();
    }
    assert_eq!(came, taken);
}

#[tokio::test]
async fn a_packet_of_any_size_goes_through_a_small_queue() {
    let mut server = End::server(patient()).await;
    let client = End::client(patient().with_queue_bytes(10).with_queue_packets(2)).await;
    let peer = client.dial(&server.address());
    let large: bytes::Bytes = (0..20 << 20).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
    for _ in 0..2 {
        assert!(send(&peer, large.clone()).await);
    }
    let mut held = Vec::new();
    for _ in 0..2 {
        let (peer, packet) = server.packet().await;
        assert!(packet == large);
        held.push(peer);
    }
}

#[tokio::test]
async fn one_that_floods_leaves_the_others_their_turn() {
    let mut server = End::server(patient()).await;
    let flooding = End::client(patient()).await;
    let flood = flooding.dial(&server.address());
    let flooder = tokio::spawn(async move { while send(&flood, vec![1; 500]).await {} });
    let mut held = vec![server.packet().await.0];
    let client = End::client(patient()).await;
    let peer = client.dial(&server.address());
    for n in 0..50_u8 {
        send(&peer, vec![2; 1 + usize::from(n)]).await;
        let mut between = 0_u64;
        loop {
            let (from, packet) = server.packet().await;
            if packet[0] == 2 {
                held.push(from);
                break;
            }
            between += 1;
            assert!(between < 500_000, "the other one has no turn");
        }
    }
    flooder.abort();
}
