//! Many peers that end in every way at once, and an account of each packet.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::BTreeMap;

use bytes::Bytes;
use common::end::{End, patient, send};
use micro_core::transport::{Arrival, Bind, Peer, PeerId, Transport as _, recv};
use micro_transport_tcp::TcpTransport;
use tokio::task::JoinSet;

const PEERS: usize = 40;

/// How a peer ends, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    /// Its packets are all that it says.
    Closed,
    Forgotten,
    /// The other side closes it in the middle.
    Refused,
    /// It stays.
    Never,
}

fn ends(number: usize) -> Ends {
    [Ends::Closed, Ends::Forgotten, Ends::Refused, Ends::Never][number % 4]
}

/// Some hundreds of packets, of none to many bytes, each with the number of its peer and its own.
fn packet(peer: usize, n: usize) -> Bytes {
    let size = 16 + [0, 1, 100, 3_000, 70_000][(peer + n * 7) % 5];
    let mut packet = vec![peer as u8; size];
    packet[..8].copy_from_slice(&(peer as u64).to_be_bytes());
    packet[8..16].copy_from_slice(&(n as u64).to_be_bytes());
    packet.into()
}

fn numbers(packet: &Bytes) -> (usize, usize) {
    let number = |at: usize| u64::from_be_bytes(packet[at..at + 8].try_into().unwrap()) as usize;
    (number(0), number(8))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_packet_arrives_in_order_or_is_counted_where_its_peer_was_refused() {
    for unix_socket in [false, true] {
        let mut server = End::server(patient().with_unix_socket(unix_socket)).await;
        let mut client = End::client(patient()).await;
        let mut sending = JoinSet::new();
        let mut ids = BTreeMap::new();
        for number in 0..PEERS {
            let peer = client.dial(&server.address());
            ids.insert(peer.id(), number);
            sending.spawn(async move {
                let mut taken = 0;
                while taken < 300 && send(&peer, packet(number, taken)).await {
                    taken += 1;
                }
                match ends(number) {
                    Ends::Closed => peer.close(),
                    Ends::Forgotten => return (number, taken, None),
                    _ => {}
                }
                (number, taken, Some(peer))
            });
        }
        let (mut taken, mut peers) = (BTreeMap::new(), Vec::<Peer>::new());
        let mut arrived = BTreeMap::<usize, usize>::new();
        let mut held = BTreeMap::<PeerId, (usize, Peer)>::new();
        let (mut closed_here, mut closed_there) = (0, BTreeMap::new());
        let all = |arrived: &BTreeMap<usize, usize>, taken: &BTreeMap<usize, usize>| {
            let whole = |number: &usize| arrived.get(number) == taken.get(number);
            taken.len() == PEERS
                && (0..PEERS).filter(|number| ends(*number) != Ends::Refused).all(|n| whole(&n))
        };
        while !all(&arrived, &taken) || closed_here < PEERS / 2 || closed_there.len() < PEERS / 4 {
            tokio::select! {
                Some(sent) = sending.join_next() => {
                    let (number, count, peer) = sent.unwrap();
                    taken.insert(number, count);
                    peers.extend(peer);
                }
                arrival = server.next() => match arrival {
                    Arrival::Packet { peer, packet: came } => {
                        let (number, n) = numbers(&came);
                        assert!(came == packet(number, n), "packet {n} of {number} is another");
                        let next = arrived.entry(number).or_default();
                        assert_eq!(n, *next, "of peer {number}");
                        *next += 1;
                        if ends(number) == Ends::Refused && n == 50 {
                            peer.close();
                        }
                        held.insert(peer.id(), (number, peer));
                    }
                    Arrival::Closed { peer, packets } => {
                        let (number, _) = held[&peer.id()];
                        assert!(matches!(ends(number), Ends::Closed | Ends::Forgotten), "{number}");
                        assert_eq!(packets, 0);
                        closed_here += 1;
                    }
                    other => panic!("{other:?}"),
                },
                arrival = client.next() => match arrival {
                    Arrival::Closed { peer, packets } => {
                        let number = ids[&peer.id()];
                        assert_eq!(ends(number), Ends::Refused, "{number}");
                        assert!(closed_there.insert(number, packets).is_none(), "told twice");
                    }
                    other => panic!("{other:?}"),
                },
            }
        }
        for (number, unheard) in closed_there {
            let (arrived, taken) = (arrived.get_mut(&number).unwrap(), taken[&number] as u64);
            // What was heard may not have been asked for yet.
            while *arrived as u64 + unheard < taken {
                let (came, _) = numbers(&server.packet().await.1);
                *arrived += usize::from(came == number);
            }
            assert_eq!(*arrived as u64 + unheard, taken, "{number}: {arrived} and {unheard}");
        }
        // Who stays is there.
        for peer in peers.iter().filter(|peer| ends(ids[&peer.id()]) == Ends::Never) {
            assert!(send(peer, packet(ids[&peer.id()], 300)).await);
            assert_eq!(numbers(&server.packet().await.1), (ids[&peer.id()], 300));
        }
    }
}

/// A port that a service drops when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_port_that_is_dropped_under_load_every_peer_knows_what_was_not_heard() {
    for unix_socket in [false, true] {
        let options = patient().with_unix_socket(unix_socket);
        let transport = TcpTransport::with_options([""; 0], options).unwrap();
        let (server, mut incoming) = transport.open(Bind::Any).await.unwrap();
        let mut client = End::client(patient()).await;
        let mut sending = JoinSet::new();
        let mut ids = BTreeMap::new();
        for number in 0..PEERS {
            let peer = client.dial(server.local().unwrap());
            ids.insert(peer.id(), number);
            sending.spawn(async move {
                let mut taken = 0;
                while send(&peer, packet(number, taken)).await {
                    taken += 1;
                    tokio::task::yield_now().await;
                }
                (number, taken as u64, peer)
            });
        }
        let (mut heard, mut held) = (BTreeMap::<usize, u64>::new(), BTreeMap::new());
        let mut arrivals = Vec::new();
        while heard.len() < PEERS || heard.values().sum::<u64>() < 2_000 {
            recv(&mut *incoming, &mut arrivals).await.unwrap();
            for arrival in arrivals.drain(..) {
                let Arrival::Packet { peer, packet } = arrival else { panic!("{arrival:?}") };
                *heard.entry(numbers(&packet).0).or_default() += 1;
                held.insert(peer.id(), peer);
            }
        }
        drop((incoming, server));
        let mut unheard = BTreeMap::new();
        while unheard.len() < PEERS {
            match client.next().await {
                Arrival::Closed { peer, packets } => unheard.insert(ids[&peer.id()], packets),
                other => panic!("{other:?}"),
            };
        }
        for (number, taken, _peer) in sending.join_all().await {
            let (heard, unheard) = (heard[&number], unheard[&number]);
            assert_eq!(heard + unheard, taken, "{number}: {heard} and {unheard}");
        }
    }
}
