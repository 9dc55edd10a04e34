//! What whoever sends learns of packets that nobody was given when the other side ends.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::end::{End, LIMIT, send};
use common::{Kind, World};
use micro_core::Transport;
use micro_core::transport::{Arrival, Bind, Incoming, Port, recv};
use micro_testkit::transport::Fixture as _;
use micro_transport_tcp::TcpTransport;

const KINDS: &[Kind] = &[
    Kind::TcpAlone,
    Kind::Tcp,
    Kind::Unix,
    #[cfg(feature = "tls")]
    Kind::Tls,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    ClosesThePeer,
    DropsThePort,
}

async fn server(transport: &dyn Transport) -> (Arc<dyn Port>, Box<dyn Incoming>, String) {
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    let address = port.local().unwrap().to_owned();
    (port, incoming, address)
}

async fn client(world: &World) -> End {
    let (port, incoming) = world.transport().await.open(Bind::ClientOnly).await.unwrap();
    End::pumped(TcpTransport::new([""; 0]).unwrap(), port, incoming)
}

/// Receives nothing, for a while, so that what is to be written is.
async fn wind_up(incoming: &mut dyn Incoming) {
    let mut nothing = Vec::new();
    let _ = tokio::time::timeout(Duration::from_millis(50), recv(incoming, &mut nothing)).await;
    assert!(nothing.is_empty(), "{nothing:?}");
}

#[tokio::test]
async fn packets_that_lay_unread_at_an_orderly_end_are_known_to_have_reached_nobody() {
    for kind in KINDS {
        for how in [How::ClosesThePeer, How::DropsThePort] {
            let world = World::new(*kind);
            let transport = world.transport().await;
            let (port, mut incoming, address) = server(&*transport).await;
            let mut client = client(&world).await;
            let peer = client.dial(&address);
            let mut arrivals = Vec::new();
            for n in 0..3 {
                send(&peer, format!("{n}")).await;
                recv(&mut *incoming, &mut arrivals).await.unwrap();
            }
            for n in 0..100 {
                send(&peer, format!("unread {n}")).await;
            }
            client.port.flush().await.unwrap();
            if how == How::ClosesThePeer {
                arrivals[0].peer().close();
                wind_up(&mut *incoming).await;
            }
            drop((arrivals, port, incoming));
            assert_eq!(client.closed().await, (vec![], 100), "{kind:?}, {how:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_each_packet_was_received_or_is_known_to_have_reached_nobody() {
    for kind in KINDS {
        for round in 0..8 {
            let how = [How::ClosesThePeer, How::DropsThePort][round % 2];
            let world = World::new(*kind);
            let transport = world.transport().await;
            let (port, mut incoming, address) = server(&*transport).await;
            let mut client = client(&world).await;
            let peer = client.dial(&address);
            let sending = tokio::spawn(async move {
                let mut taken = 0_u64;
                while send(&peer, vec![1; 100]).await {
                    taken += 1;
                }
                (taken, peer)
            });
            let (mut received, mut arrivals, mut held) = (0, Vec::new(), None);
            while received < 2_000 * round as u64 + 1 {
                recv(&mut *incoming, &mut arrivals).await.unwrap();
                for arrival in arrivals.drain(..) {
                    let Arrival::Packet { peer, .. } = arrival else { panic!("{arrival:?}") };
                    held = Some(peer);
                    received += 1;
                }
            }
            if how == How::ClosesThePeer {
                held.take().unwrap().close();
                wind_up(&mut *incoming).await;
            }
            drop((held, port, incoming));
            let (taken, _peer) = tokio::time::timeout(LIMIT, sending).await.unwrap().unwrap();
            let (_, lost) = client.closed().await;
            assert_eq!(received + lost, taken, "{kind:?}, {how:?}, round {round}");
        }
    }
}
