//! What the memory transport does beyond the contract, and its capacities.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::sync::Arc;
use std::time::Duration;

use micro_core::transport::{Arrival, Bind, Incoming, Peer, Port, Refused, recv};
use micro_core::{Bytes, ErrorKind, Transport};
use micro_memory::{Memory, MemoryOptions, MemoryTransport};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

type End = (Arc<dyn Port>, Box<dyn Incoming>);

async fn open(memory: &Memory, bind: Bind) -> End {
    memory.transport().open(bind).await.unwrap()
}

/// The next arrivals.
async fn next(incoming: &mut Box<dyn Incoming>) -> Vec<Arrival> {
    let mut out = Vec::new();
    timeout(LIMIT, recv(&mut **incoming, &mut out)).await.unwrap().unwrap();
    out
}

async fn one(incoming: &mut Box<dyn Incoming>) -> Arrival {
    let mut arrivals = next(incoming).await;
    assert_eq!(arrivals.len(), 1, "{arrivals:?}");
    arrivals.remove(0)
}

fn send(peer: &Peer, packet: &'static str) {
    assert!(peer.try_send(packet.into()).is_ok());
}

/// A dialler and a listener that have met: the listener's peer is returned last.
async fn met(memory: &Memory) -> (End, Peer, End, Peer) {
    let client = open(memory, Bind::ClientOnly).await;
    let mut server = open(memory, Bind::Any).await;
    let peer = client.0.dial(server.0.local().unwrap()).unwrap();
    send(&peer, "hello");
    let accepted = one(&mut server.1).await.peer().clone();
    (client, peer, server, accepted)
}

#[tokio::test]
async fn a_second_listener_at_an_address_is_a_conflict_that_names_it() {
    let memory = Memory::new();
    let _first = open(&memory, "greeter".into()).await;
    let second = memory.transport().open("greeter".into()).await;
    let error = second.err().expect("the address is taken");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.detail().contains("greeter"), "{error}");
    // Another world is another place.
    assert!(MemoryTransport::default().open("greeter".into()).await.is_ok());
}

#[tokio::test]
async fn an_address_is_free_once_nobody_listens_there() {
    let memory = Memory::new();
    let first = open(&memory, "greeter".into()).await;
    first.0.stop_listening().await.unwrap();
    let second = open(&memory, "greeter".into()).await;
    // The first one's end must not take the second one's place with it.
    first.0.stop_listening().await.unwrap();
    drop(first);
    let third = memory.transport().open("greeter".into()).await;
    assert_eq!(third.err().map(|error| error.kind()), Some(ErrorKind::Conflict));
    drop(second.1);
    assert!(memory.transport().open("greeter".into()).await.is_ok());
}

#[tokio::test]
async fn packets_that_nobody_read_are_counted_when_the_receiver_goes() {
    let memory = Memory::new();
    let (mut client, peer, mut server, accepted) = met(&memory).await;
    for packet in ["read", "read"] {
        send(&peer, packet);
    }
    assert_eq!(next(&mut server.1).await.len(), 2);
    for packet in ["unread", "unread", "unread"] {
        send(&peer, packet);
    }
    drop(server.1);
    let told = one(&mut client.1).await;
    assert!(matches!(&told, Arrival::Closed { packets: 3, peer: p } if p.id() == peer.id()));
    assert!(matches!(peer.try_send("late".into()), Err(Refused::Closed(_))));
    assert!(matches!(accepted.try_send("late".into()), Err(Refused::Closed(_))));
}

#[tokio::test]
async fn packets_that_nobody_read_are_counted_when_a_peer_is_closed() {
    let memory = Memory::new();
    let (mut client, peer, mut server, accepted) = met(&memory).await;
    send(&peer, "unread");
    send(&peer, "unread");
    accepted.close();
    assert!(matches!(one(&mut client.1).await, Arrival::Closed { packets: 2, .. }));
    // And what was on the way to a peer that is closed is dropped with it.
    let other = client.0.dial(server.0.local().unwrap()).unwrap();
    send(&other, "other");
    match one(&mut server.1).await {
        Arrival::Packet { packet, .. } => assert_eq!(packet, "other"),
        told => panic!("{told:?} came"),
    }
}

#[tokio::test]
async fn the_last_clone_of_a_peer_closes_it() {
    let memory = Memory::new();
    let (_client, peer, mut server, accepted) = met(&memory).await;
    let clone = peer.clone();
    drop(peer);
    send(&clone, "alive");
    assert!(matches!(one(&mut server.1).await, Arrival::Packet { .. }));
    drop(clone);
    assert!(matches!(one(&mut server.1).await, Arrival::Closed { packets: 0, .. }));
    drop(accepted);

    let (mut client, peer, _server, accepted) = met(&memory).await;
    drop(accepted);
    let told = one(&mut client.1).await;
    assert!(matches!(&told, Arrival::Closed { packets: 0, peer: p } if p.id() == peer.id()));
}

#[tokio::test]
async fn a_full_port_takes_as_many_as_its_option_says() {
    let memory = Memory::with_options(MemoryOptions::default().with_port_packets(3));
    let client = open(&memory, Bind::ClientOnly).await;
    let mut server = open(&memory, Bind::Any).await;
    let peer = client.0.dial(server.0.local().unwrap()).unwrap();
    for _ in 0..3 {
        send(&peer, "taken");
    }
    assert!(matches!(peer.try_send("fourth".into()), Err(Refused::Full(p)) if p == "fourth"));
    let waiting = tokio::spawn({
        let peer = peer.clone();
        async move { peer.ready().await }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    let _accepted = next(&mut server.1).await;
    timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap();
    send(&peer, "fourth");
}

#[tokio::test]
async fn a_port_is_full_of_bytes_too_but_takes_any_size() {
    let options = MemoryOptions::default().with_port_bytes(10).with_max_packet(100);
    let memory = Memory::with_options(options);
    let client = open(&memory, Bind::ClientOnly).await;
    let mut server = open(&memory, Bind::Any).await;
    let peer = client.0.dial(server.0.local().unwrap()).unwrap();
    assert_eq!(peer.max_packet(), 100);
    assert!(peer.try_send(Bytes::from(vec![0; 100])).is_ok());
    assert!(matches!(peer.try_send("x".into()), Err(Refused::Full(_))));
    let _accepted = next(&mut server.1).await;
    send(&peer, "x");
    assert!(matches!(peer.try_send(vec![0; 101].into()), Err(Refused::TooLarge(_))));
}

#[tokio::test]
async fn whoever_waits_for_room_is_told_of_the_end() {
    let memory = Memory::with_options(MemoryOptions::default().with_port_packets(1));
    for end in ["own", "other", "port"] {
        let (_client, peer, server, accepted) = met(&memory).await;
        send(&peer, "fills it");
        let waiting = tokio::spawn({
            let peer = peer.clone();
            async move { peer.ready().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        match end {
            "own" => peer.close(),
            "other" => accepted.close(),
            _ => drop(server.1),
        }
        let told = timeout(LIMIT, waiting).await.unwrap().unwrap().unwrap_err();
        assert_eq!(told.kind(), ErrorKind::Unavailable, "{end}");
    }
}

#[tokio::test]
async fn peers_of_before_are_heard_after_stop_listening() {
    let memory = Memory::new();
    let (mut client, peer, mut server, accepted) = met(&memory).await;
    let early = client.0.dial(server.0.local().unwrap()).unwrap();
    server.0.stop_listening().await.unwrap();
    send(&peer, "still here");
    assert!(
        matches!(one(&mut server.1).await, Arrival::Packet { peer, .. } if peer.id() == accepted.id())
    );
    // One that was dialled but had sent nothing is new.
    send(&early, "too late");
    assert!(
        matches!(one(&mut client.1).await, Arrival::Undelivered { packets: 1, peer } if peer.id() == early.id())
    );
}

#[tokio::test]
async fn a_port_can_dial_itself() {
    let memory = Memory::new();
    let (port, mut incoming) = open(&memory, Bind::Any).await;
    let peer = port.dial(port.local().unwrap()).unwrap();
    send(&peer, "to myself");
    let accepted = one(&mut incoming).await.peer().clone();
    assert!(accepted.accepted() && accepted.id() != peer.id());
    send(&accepted, "and back");
    assert!(
        matches!(one(&mut incoming).await, Arrival::Packet { peer: p, .. } if p.id() == peer.id())
    );
    drop(incoming);
    assert!(matches!(peer.try_send("late".into()), Err(Refused::Closed(_))));
}

/// Every packet is either received or told as unheard: none is lost, none is counted twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_taken_arrived_or_was_counted_whenever_the_receiver_goes() {
    let memory = Memory::with_options(MemoryOptions::default().with_port_packets(50));
    for round in 0..200 {
        let (mut client, peer, mut server, accepted) = met(&memory).await;
        let senders = [0; 3].map(|_| {
            let peer = peer.clone();
            tokio::spawn(async move {
                let mut taken = 0_u64;
                loop {
                    match peer.try_send("packet".into()) {
                        Ok(()) => taken += 1,
                        Err(Refused::Full(_)) if peer.ready().await.is_ok() => {}
                        Err(_) => return taken,
                    }
                    if taken.is_multiple_of(16) {
                        tokio::task::yield_now().await;
                    }
                }
            })
        });
        let mut received = 0;
        while received < 100 + round {
            received += next(&mut server.1).await.len() as u64;
        }
        match round % 3 {
            0 => drop(server.1),
            1 => accepted.close(),
            _ => drop(accepted),
        }
        let mut taken = 0;
        for sender in senders {
            taken += timeout(LIMIT, sender).await.unwrap().unwrap();
        }
        let Arrival::Closed { packets, .. } = one(&mut client.1).await else {
            panic!("the peer was not closed");
        };
        assert_eq!(received + packets, taken, "round {round}");
    }
}

#[tokio::test]
async fn a_world_is_freed_with_its_last_handle() {
    let memory = Memory::new();
    let packet = Bytes::from(vec![1, 2, 3]);
    let (client, peer, server, accepted) = met(&memory).await;
    assert!(peer.try_send(packet.clone()).is_ok());
    assert!(accepted.try_send(packet.clone()).is_ok());
    assert!(!packet.is_unique());
    // Dropped with packets on the way in both directions.
    drop((client, server, peer, accepted));
    assert!(packet.is_unique());
}
