//! The wire as the README says it, spoken by somebody else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bytes::{Bytes, BytesMut};
use common::GREETING;
use common::end::{End, patient, send};
use futures_util::{SinkExt, StreamExt};
use micro_core::transport::Arrival;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

#[tokio::test]
async fn anybody_can_dial_who_greets_and_frames_packets() {
    let options = patient().with_max_packet(0x0102_0304).with_unix_socket(false);
    let mut server = End::server(options).await;
    let mut stream = TcpStream::connect(server.place()).await.unwrap();
    stream.write_all(GREETING).await.unwrap();
    let mut greeting = vec![0; 32];
    stream.read_exact(&mut greeting).await.unwrap();
    let id = server.address().split('/').nth(1).unwrap().to_owned();
    assert_eq!(id.len(), 16);
    let expected = [b"\x9emicro\r\n\x01\x02\x15\x01\x02\x03\x04\x10", id.as_bytes()].concat();
    assert_eq!(greeting, expected);

    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    let mut held = Vec::new();
    for packet in ["", "hello", "again"] {
        framed.send(Bytes::from(packet)).await.unwrap();
        let (peer, came) = server.packet().await;
        assert_eq!(came, packet);
        assert_eq!(peer.max_packet(), 1 << 20, "the dialler takes no more");
        send(&peer, "answer").await;
        assert_eq!(framed.next().await.unwrap().unwrap(), "answer");
        // A peer that nobody holds is closed.
        held.push(peer);
    }
    framed.get_mut().shutdown().await.unwrap();
    assert_eq!(server.closed().await, (vec![], 0));
}

#[tokio::test]
async fn anybody_can_be_dialled_who_greets_and_frames_packets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("{}/somebody", listener.local_addr().unwrap());
    let mut client = End::client(patient().with_max_packet(1 << 20)).await;
    let peer = client.dial(&address);
    send(&peer, "held until the greeting").await;
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut greeting = BytesMut::zeroed(GREETING.len());
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, GREETING);
    stream.write_all(b"\x9emicro\r\n\x01\x02\x0d\x00\x00\xff\xff\x08somebody").await.unwrap();

    let mut framed = Framed::new(stream, LengthDelimitedCodec::new());
    assert_eq!(framed.next().await.unwrap().unwrap(), "held until the greeting");
    assert_eq!(peer.max_packet(), 0xffff, "the acceptor takes no more");
    framed.send(Bytes::from("answer")).await.unwrap();
    assert_eq!(client.packet().await.1, "answer");
    peer.close();
    let (mut stream, mut farewell) = (framed.into_inner(), Vec::new());
    stream.read_to_end(&mut farewell).await.unwrap();
    assert_eq!(farewell, b"\xff\xff\xff\xff\x00\x00\x00\x00\x00\x00\x00\x01", "one was heard");
    drop(stream);
    assert!(client.rest().is_empty(), "a closed peer yields nothing");
}

#[tokio::test]
async fn whoever_says_farewell_says_how_much_was_heard() {
    let mut server = End::server(patient()).await;
    for (heard, unheard) in [(0, 3), (1, 2), (3, 0), (u64::MAX, 0)] {
        let mut stream = TcpStream::connect(server.place()).await.unwrap();
        stream.write_all(GREETING).await.unwrap();
        stream.write_all(b"\x00\x00\x00\x05hello").await.unwrap();
        let (peer, _) = server.packet().await;
        for packet in ["a", "b", "c"] {
            send(&peer, packet).await;
        }
        server.port.flush().await.unwrap();
        let farewell = [&[0xff; 4][..], &u64::to_be_bytes(heard)].concat();
        for part in farewell.chunks(5) {
            stream.write_all(part).await.unwrap();
        }
        assert_eq!(server.closed().await, (vec![], unheard), "{heard} were heard");
        assert!(!send(&peer, "too late").await);
    }
    assert_eq!(server.transport.dropped().total(), 0);
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_packet_ends_this_peer_alone() {
    let mut server = End::server(patient()).await;
    let client = End::client(patient()).await;
    let peer = client.dial(&server.address());
    send(&peer, "first").await;
    let (other, _) = server.packet().await;

    let mut stream = TcpStream::connect(server.place()).await.unwrap();
    stream.write_all(GREETING).await.unwrap();
    stream.write_all(b"\x00\x00\x00\x05whole\x00\x00\x00\x05par").await.unwrap();
    let (broken, packet) = server.packet().await;
    assert_eq!(packet, "whole");
    // The greeting has not been read, so this is a reset.
    drop(stream);
    match server.next().await {
        Arrival::Closed { peer, packets: 0 } => assert_eq!(peer.id(), broken.id()),
        other => panic!("{other:?}"),
    }
    assert!(!send(&broken, "too late").await);
    send(&peer, "second").await;
    let (same, packet) = server.packet().await;
    assert_eq!((same.id(), packet), (other.id(), "second".into()));
}

#[tokio::test]
async fn a_frame_too_long_ends_its_peer_and_is_counted() {
    let mut server = End::server(patient().with_max_packet(1_000)).await;
    let mut stream = TcpStream::connect(server.place()).await.unwrap();
    stream.write_all(GREETING).await.unwrap();
    stream.write_all(b"\x00\x00\x00\x02ok\xff\xff\xff\xfe").await.unwrap();
    let (_peer, packet) = server.packet().await;
    assert_eq!(packet, "ok");
    assert_eq!(server.closed().await, (vec![], 0));
    assert_eq!(server.transport.dropped().too_long, 1);
    assert_eq!(server.transport.dropped().total(), 1);
}
