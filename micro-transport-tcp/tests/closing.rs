//! How connections end, and what is known of the packets then.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::GREETING;
use common::end::{End, LIMIT, patient, send};
use micro_core::ErrorKind;
use micro_core::transport::{Arrival, Bind, Refused, Transport as _, recv};
use micro_transport_tcp::{Keepalive, Options, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// More than the system's buffers hold.
const MUCH: usize = 64 << 10;
const PACKETS: usize = 200;

fn tcp_alone() -> Options {
    patient().with_unix_socket(false)
}

#[tokio::test]
async fn a_closed_peer_still_writes_what_it_took_to_whoever_reads_slowly() {
    let transport = TcpTransport::new([""; 0]).unwrap();
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    let client = End::client(patient()).await;
    let peer = client.dial(port.local().unwrap());
    for _ in 0..PACKETS {
        assert!(peer.try_send(vec![0; MUCH].into()).is_ok());
    }
    peer.close();
    drop(peer);
    let mut server = End::pumped(transport, port, incoming);
    let mut held = Vec::new();
    for _ in 0..PACKETS {
        let (peer, packet) = server.packet().await;
        assert_eq!(packet.len(), MUCH);
        held.push(peer);
    }
    assert_eq!(server.closed().await, (vec![], 0));
}

#[tokio::test]
async fn whoever_closes_and_flushes_is_heard_in_full_though_more_comes_for_them() {
    let mut server = End::server(tcp_alone()).await;
    let transport = TcpTransport::with_options([""; 0], patient()).unwrap();
    let (port, mut incoming) = transport.open(Bind::ClientOnly).await.unwrap();
    let peer = port.dial(&server.address()).unwrap();
    assert!(peer.try_send("question".into()).is_ok());
    let mut arrivals = Vec::new();
    let (accepted, _) = tokio::select! {
        question = server.packet() => question,
        _ = recv(&mut *incoming, &mut arrivals) => panic!("{arrivals:?}"),
    };
    for _ in 0..PACKETS {
        assert!(send(&accepted, vec![0; MUCH]).await);
    }
    accepted.close();
    assert!(peer.try_send("nobody reads it".into()).is_ok());
    let leaves = tokio::spawn(async move {
        server.port.flush().await.unwrap();
        server.gone().await;
    });
    let mut came = 0;
    let unheard = loop {
        recv(&mut *incoming, &mut arrivals).await.unwrap();
        came += arrivals.iter().filter(|one| matches!(one, Arrival::Packet { .. })).count();
        if let Some(Arrival::Closed { packets, .. }) = arrivals.drain(..).last() {
            break packets;
        }
    };
    assert_eq!((came, unheard), (PACKETS, 1));
    leaves.await.unwrap();
}

#[tokio::test]
async fn a_closed_peer_waits_no_longer_than_it_may_for_whoever_does_not_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let linger = Duration::from_millis(200);
    let client = End::client(patient().with_linger(linger)).await;
    let peer = client.dial(&address);
    for _ in 0..PACKETS {
        assert!(peer.try_send(vec![0; MUCH].into()).is_ok());
    }
    let mut stream = greeted(&listener).await;
    let late = client.port.flush().await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Unavailable);
    assert!(late.to_string().contains(&address), "{late}");
    let start = Instant::now();
    peer.close();
    // Read from only when it is over: before that everything would come.
    tokio::time::timeout(LIMIT, client.port.flush()).await.unwrap().unwrap_err();
    tokio::time::sleep(linger).await;
    let mut came = Vec::new();
    let _ = stream.read_to_end(&mut came).await;
    assert!(came.len() < PACKETS * MUCH, "all {} bytes came", came.len());
    assert!(start.elapsed() >= linger);
}

/// Accepts a connection as another implementation may.
async fn greeted(listener: &TcpListener) -> TcpStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = vec![0; GREETING.len()];
    stream.read_exact(&mut greeting).await.unwrap();
    stream.write_all(b"\x9emicro\r\n\x01\x02\x05\x01\x00\x00\x00\x00").await.unwrap();
    stream
}

#[tokio::test]
async fn what_was_not_written_is_counted_when_the_other_side_goes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = End::client(patient()).await;
    let peer = client.dial(&address);
    let stream = tokio::spawn(async move { (greeted(&listener).await, listener) });
    let mut taken = 0;
    loop {
        match peer.try_send(vec![0; MUCH].into()) {
            Ok(()) => taken += 1,
            Err(Refused::Full(_)) => {
                let ready = tokio::time::timeout(Duration::from_millis(200), peer.ready());
                if ready.await.is_err() {
                    break;
                }
            }
            Err(refused) => panic!("{refused:?}"),
        }
    }
    let (mut stream, _listener) = stream.await.unwrap();
    // Three packets are read in full, and a part of the fourth.
    let mut read = vec![0; 3 * (4 + MUCH) + 100];
    stream.read_exact(&mut read).await.unwrap();
    drop(stream);
    let (_, unwritten) = client.closed().await;
    // The queue was full, and what the system had taken is not known.
    assert!(unwritten >= 500, "{unwritten} of {taken}");
    assert!(unwritten <= taken - 3, "{unwritten} of {taken}");
    assert!(matches!(peer.try_send("".into()), Err(Refused::Closed(_))));
}

#[tokio::test]
async fn what_was_flushed_arrives_though_the_port_is_dropped_at_once() {
    for unix_socket in [false, true] {
        let mut server = End::server(patient().with_unix_socket(unix_socket)).await;
        let client = End::client(patient()).await;
        let peer = client.dial(&server.address());
        for n in 0..1_000 {
            send(&peer, format!("{n}")).await;
        }
        client.port.flush().await.unwrap();
        client.gone().await;
        let mut held = Vec::new();
        for n in 0..1_000 {
            let (peer, packet) = server.packet().await;
            assert_eq!(packet, format!("{n}"));
            held.push(peer);
        }
        assert_eq!(server.closed().await, (vec![], 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_each_packet_arrives_or_is_undelivered_when_listening_stops() {
    for round in 0..6 {
        let mut server = End::server(patient().with_unix_socket(round % 2 == 0)).await;
        let address = server.address();
        let mut client = End::client(patient()).await;
        let stopped = Arc::new(AtomicBool::new(false));
        let dialling = tokio::spawn({
            let (port, stopped) = (client.port.clone(), stopped.clone());
            async move {
                let (mut taken, mut peers, mut late) = (0_u64, Vec::new(), 0);
                while late < 20 {
                    late += u32::from(stopped.load(Ordering::Acquire));
                    let peer = port.dial(&address).unwrap();
                    for _ in 0..3 {
                        taken += u64::from(send(&peer, "packet").await);
                    }
                    peers.push(peer);
                    tokio::task::yield_now().await;
                    if peers.len() % 100 == 0 {
                        // So that it is not thousands of connections.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                }
                (taken, peers)
            }
        });
        let mut early = Vec::new();
        for _ in 0..round * 30 {
            early.push(server.packet().await.0);
        }
        server.port.stop_listening().await.unwrap();
        stopped.store(true, Ordering::Release);
        let (taken, _peers) = dialling.await.unwrap();
        let (mut heard, mut undelivered, mut held) = (early.len() as u64, 0, early);
        while heard + undelivered < taken {
            tokio::select! {
                (peer, _) = server.packet() => {
                    heard += 1;
                    held.push(peer);
                }
                packets = client.undelivered() => undelivered += packets,
            }
        }
        assert_eq!(heard + undelivered, taken);
        assert!(undelivered >= 60, "of {taken} packets {undelivered} reached nobody");
        // Those that were heard are heard on.
        let Some(last) = held.last() else { continue };
        send(last, "you are heard").await;
        assert_eq!(client.packet().await.1, "you are heard");
        assert!(server.rest().is_empty() && client.rest().is_empty());
    }
}

#[tokio::test]
async fn who_waits_in_the_backlog_when_listening_stops_is_told_that_nobody_is_there() {
    let transport = TcpTransport::with_options(["127.0.0.1"], tcp_alone()).unwrap();
    // Never polled, so nobody is accepted.
    let (port, _incoming) = transport.open(Bind::Any).await.unwrap();
    let mut client = End::client(tcp_alone()).await;
    let peer = client.dial(port.local().unwrap());
    send(&peer, "hello").await;
    let told = tokio::time::timeout(Duration::from_millis(100), client.next()).await;
    assert!(told.is_err(), "{told:?}");
    port.stop_listening().await.unwrap();
    let start = Instant::now();
    assert_eq!(client.undelivered().await, 1);
    assert!(start.elapsed() < LIMIT / 2, "{:?}", start.elapsed());
}

#[tokio::test]
async fn who_was_accepted_and_not_greeted_when_listening_stops_never_is() {
    let mut server = End::server(tcp_alone()).await;
    let mut slow = TcpStream::connect(server.place()).await.unwrap();
    slow.write_all(&GREETING[..8]).await.unwrap();
    // Who comes after it is served, so it was accepted.
    let client = End::client(tcp_alone()).await;
    let peer = client.dial(&server.address());
    send(&peer, "hello").await;
    let (accepted, _) = server.packet().await;
    server.port.stop_listening().await.unwrap();
    let _ = slow.write_all(&GREETING[8..]).await;
    let mut greeting = Vec::new();
    let _ = slow.read_to_end(&mut greeting).await;
    assert!(greeting.is_empty(), "it was greeted: {greeting:?}");
    send(&peer, "still here").await;
    let (same, packet) = server.packet().await;
    assert_eq!((same.id(), packet), (accepted.id(), "still here".into()));
}

#[tokio::test]
async fn a_peer_that_nobody_holds_is_closed_when_its_packets_are_written() {
    let mut server = End::server(patient()).await;
    let client = End::client(patient()).await;
    let peer = client.dial(&server.address());
    for n in 0..100 {
        send(&peer, format!("{n}")).await;
    }
    drop(peer);
    let mut held = Vec::new();
    for n in 0..100 {
        let (peer, packet) = server.packet().await;
        assert_eq!(packet, format!("{n}"));
        held.push(peer);
    }
    match server.next().await {
        Arrival::Closed { packets: 0, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_takes_nothing_for_too_long_has_vanished() {
    let second = Duration::from_secs(1);
    let keepalive = Keepalive::default().with_idle(second).with_interval(second).with_probes(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut client = End::client(patient().with_keepalive(keepalive)).await;
    let peer = client.dial(&address);
    for _ in 0..PACKETS {
        assert!(peer.try_send(vec![0; MUCH].into()).is_ok());
    }
    let start = Instant::now();
    let _silent = greeted(&listener).await;
    let (_, unwritten) = client.closed().await;
    assert!(start.elapsed() >= second * 2, "{:?}", start.elapsed());
    assert!((1..PACKETS as u64).contains(&unwritten), "{unwritten}");
}
