//! What can be set, and what cannot.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use common::end::{End, LIMIT, send};
use micro_core::ErrorKind;
use micro_transport_tcp::{Keepalive, Options, TcpTransport};

#[test]
fn options_with_which_nothing_would_ever_move_are_refused() {
    let keepalive = Keepalive::default;
    let keeps = |keepalive| Options::default().with_keepalive(keepalive);
    for (options, words) in [
        (Options::default().with_queue_packets(0), "queue"),
        (Options::default().with_queue_bytes(0), "queue"),
        (keeps(keepalive().with_idle(Duration::from_millis(999))), "whole seconds"),
        (keeps(keepalive().with_interval(Duration::ZERO)), "whole seconds"),
        (keeps(keepalive().with_idle(Duration::MAX)), "whole seconds"),
        (keeps(keepalive().with_probes(0)), "probes"),
        (keeps(keepalive().with_probes(128)), "probes"),
    ] {
        let error = TcpTransport::with_options([""; 0], options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn the_shortest_and_the_longest_times_work() {
    let second = Duration::from_secs(1);
    let shortest = Keepalive::default().with_idle(second).with_interval(second).with_probes(1);
    let most = Duration::from_secs(32_767);
    let longest = Keepalive::default().with_idle(most).with_interval(most).with_probes(127);
    for keepalive in [shortest, longest] {
        let options = Options::default().with_unix_socket(false).with_keepalive(keepalive);
        let options = options.with_connect_timeout(Duration::MAX).with_linger(Duration::MAX);
        let options = options.with_half_open_timeout(Duration::MAX);
        let mut server = End::server(options.clone()).await;
        let client = End::client(options).await;
        let peer = client.dial(&server.address());
        assert!(send(&peer, "hello").await);
        let (_accepted, packet) = server.packet().await;
        assert_eq!(packet, "hello");
        tokio::time::timeout(LIMIT, client.port.flush()).await.unwrap().unwrap();
        peer.close();
        assert_eq!(server.closed().await, (vec![], 0));
    }
}
