//! Whose turn it is where many have something at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::task::Poll;

use common::GREETING;
use micro_core::transport::{Arrival, Bind, Transport as _, recv};
use micro_transport_tcp::{Options, TcpTransport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const FLOODING: usize = 100;
/// Far more than it takes until each has had its turn, and far less than one of the packets takes.
const TURNS: usize = 40;

#[tokio::test]
async fn many_packets_that_are_never_whole_leave_a_small_one_its_turn() {
    let options = Options::default().with_unix_socket(false);
    let transport = TcpTransport::with_options(["127.0.0.1"], options).unwrap();
    let (port, mut incoming) = transport.open(Bind::Any).await.unwrap();
    let place = port.local().unwrap().split('/').next().unwrap().to_owned();
    let (mut streams, mut arrivals) = (Vec::new(), Vec::new());
    for _ in 0..=FLOODING {
        let mut stream = TcpStream::connect(&place).await.unwrap();
        stream.write_all(&[GREETING, &[0, 0, 0, 1, 7]].concat()).await.unwrap();
        recv(&mut *incoming, &mut arrivals).await.unwrap();
        stream.read_u8().await.unwrap();
        streams.push(stream);
    }
    let mut small = streams.pop().unwrap();
    let id = arrivals[FLOODING].peer().id();
    for stream in &mut streams {
        stream.write_all(&(96_u32 << 20).to_be_bytes()).await.unwrap();
    }
    let more = vec![0; 1 << 20];
    let mut came = Vec::new();
    for turn in 0..TURNS {
        for stream in &streams {
            while stream.try_write(&more).is_ok() {}
        }
        if turn == 5 {
            small.write_all(&[0, 0, 0, 1, 9]).await.unwrap();
        }
        tokio::task::yield_now().await;
        std::future::poll_fn(|cx| {
            let _ = incoming.poll_recv(cx, &mut came);
            Poll::Ready(())
        })
        .await;
        if came.iter().any(|arrival| arrival.peer().id() == id) {
            assert!(matches!(came[..], [Arrival::Packet { .. }]), "{came:?}");
            return;
        }
    }
    panic!("the small one had no turn in {TURNS}; {came:?} came");
}
