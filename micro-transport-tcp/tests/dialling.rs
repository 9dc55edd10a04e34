//! Who is reached by a dial, and what is known where nobody is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::Reserved;
use common::end::{End, patient, send};
use micro_transport_tcp::Options;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn tcp_alone() -> Options {
    patient().with_unix_socket(false)
}

/// Three packets to this address reach nobody.
async fn reaches_nobody(address: &str, options: Options) {
    let mut client = End::client(options).await;
    let peer = client.dial(address);
    for n in 0..3 {
        // Nothing else runs meanwhile, so that they all wait.
        assert!(send(&peer, format!("{n}")).await);
    }
    assert_eq!(client.undelivered().await, 3, "{address}");
    assert!(!send(&peer, "more").await);
    assert!(peer.ready().await.is_err());
    assert!(client.rest().is_empty());
}

#[tokio::test]
async fn where_nobody_listens_all_packets_are_undelivered() {
    reaches_nobody(&Reserved::default().address(), patient()).await;
    reaches_nobody("unix:/nowhere/at/all", patient()).await;
    reaches_nobody("no-such-host.invalid:1", patient()).await;
}

#[tokio::test]
async fn who_was_there_before_is_told_from_who_is_there_now() {
    let mut server = End::server(tcp_alone()).await;
    let former = format!("{}/{}", server.place(), "0123456789abcdef");
    reaches_nobody(&former, patient()).await;
    let mut client = End::client(patient()).await;
    for address in [server.address(), server.place()] {
        let peer = client.dial(&address);
        send(&peer, "hello").await;
        let (accepted, packet) = server.packet().await;
        assert_eq!(packet, "hello");
        send(&accepted, "welcome").await;
        assert_eq!(client.packet().await.1, "welcome");
        peer.close();
        assert_eq!(server.closed().await, (vec![], 0));
    }
}

#[tokio::test]
async fn somebody_who_speaks_something_else_is_nobody() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "", "short", "\u{9e}"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stranger = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 16];
            stream.read_exact(&mut greeting).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(&greeting[..8], b"\x9emicro\r\n");
        });
        reaches_nobody(&address, patient()).await;
        stranger.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_to_itself_is_nobody() {
    // What TCP makes of a dial now and then, when the port it dials from is the one it dials.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mirror = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut reading, mut writing) = stream.split();
        let _ = tokio::io::copy(&mut reading, &mut writing).await;
    });
    reaches_nobody(&address, patient()).await;
    mirror.await.unwrap();
}

#[tokio::test]
async fn who_does_not_answer_is_nobody_in_time() {
    // It accepts nobody, and its backlog is full: on Linux what else knocks is not even refused.
    let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        waiting.push(socket);
    }
    // It accepts, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    for address in
        [Some(silent), cfg!(target_os = "linux").then_some(address)].into_iter().flatten()
    {
        let address = address.to_string();
        let start = Instant::now();
        let timeout = Duration::from_millis(300);
        reaches_nobody(&address, tcp_alone().with_connect_timeout(timeout)).await;
        assert!(start.elapsed() >= timeout, "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let mut server = End::at("localhost:0", tcp_alone()).await;
    let client = End::client(patient()).await;
    let address = server.address();
    assert!(address.starts_with("localhost:"), "{address}");
    let peer = client.dial(&address);
    send(&peer, "hello").await;
    assert_eq!(server.packet().await.1, "hello");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn on_one_machine_the_unix_socket_is_preferred_and_tcp_is_there_without_it() {
    for (here, there, unix) in
        [(true, true, true), (false, true, false), (true, false, false), (false, false, false)]
    {
        let mut server = End::server(patient().with_unix_socket(here)).await;
        let client = End::client(patient().with_unix_socket(there)).await;
        let peer = client.dial(&server.address());
        send(&peer, "hello").await;
        let (accepted, packet) = server.packet().await;
        assert_eq!(packet, "hello");
        assert_eq!(accepted.remote().starts_with("unix:process "), unix, "{}", accepted.remote());
        // Without an id nobody can say whose socket it would be.
        let peer = client.dial(&server.place());
        send(&peer, "hello").await;
        assert!(server.packet().await.0.remote().starts_with("127.0.0.1:"));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_has_taken_the_name_of_a_unix_socket_is_passed_over() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let mut server = End::server(tcp_alone()).await;
    let id = server.address().split('/').nth(1).unwrap().to_owned();
    let name = SocketAddr::from_abstract_name(format!("micro-tcp-{id}")).unwrap();
    let squatter = UnixListener::bind_addr(&name).unwrap();
    let turns_away = std::thread::spawn(move || drop(squatter.accept().unwrap()));
    let client = End::client(patient()).await;
    let peer = client.dial(&server.address());
    send(&peer, "hello").await;
    assert!(server.packet().await.0.remote().starts_with("127.0.0.1:"));
    turns_away.join().unwrap();
}

#[tokio::test]
async fn a_packet_that_the_other_side_does_not_take_is_undelivered_or_handed_back() {
    let mut server = End::server(patient().with_max_packet(1_000)).await;
    let mut client = End::client(patient()).await;
    let early = client.dial(&server.address());
    assert!(send(&early, vec![1; 1_001]).await);
    assert_eq!(client.undelivered().await, 1);
    let peer = client.dial(&server.address());
    send(&peer, vec![1; 1_000]).await;
    server.packet().await;
    assert_eq!(peer.max_packet(), 1_000);
    let refused = peer.try_send(vec![1; 1_001].into());
    assert!(matches!(refused, Err(micro_core::transport::Refused::TooLarge(_))), "{refused:?}");
}
