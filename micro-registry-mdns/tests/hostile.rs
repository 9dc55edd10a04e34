//! Whatever anybody sends, over multicast on loopback.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_core::registry::{Node, Service};
use micro_registry_mdns::fuzzing::{announcements, packet};
use micro_registry_mdns::{MdnsRegistry, Options};
use support::{LIMIT, Loopback, Observer, forever, greeter, name};

fn stranger(number: usize) -> Service {
    Service::new(format!("stranger-{number}"), "1").with_node(Node::new("a", "x"))
}

#[tokio::test]
async fn broken_packets_harm_nothing() {
    let network = Loopback::new();
    let (here, there) = (network.registry(), network.registry());
    let mut watched = Observer::synced(&there).await;
    let mut random = fastrand::Rng::with_seed(1);
    let (label, txt) = announcements(&stranger(0)).remove(0);
    let whole = packet(&label, &txt);
    for length in 0..whole.len() {
        network.send(&whole[..length]);
        let mut broken = whole.clone();
        broken[length] = random.u8(..);
        // One of them may be whole: another letter in a name.
        if broken[length] != whole[length] {
            network.send(&broken);
        }
        let noise: Vec<u8> = (0..length).map(|_| random.u8(..)).collect();
        network.send(&noise);
    }
    // A packet may be lost among so many.
    let begin = Instant::now();
    for number in 0_usize.. {
        if there.dropped_records() > 0 {
            break;
        }
        assert!(begin.elapsed() < LIMIT, "garbage is not seen as such");
        network.send(&packet(&format!("garbage {number}"), b"\x09txtvers=1\x07lease=1"));
        tokio::task::yield_now().await;
    }
    here.register(&greeter("a", "x"), forever()).await.unwrap();
    while !watched.nodes.contains(&"greeter 1 a x".to_owned()) {
        watched.next().await;
    }
}

#[tokio::test]
async fn who_speaks_from_another_port_says_nothing() {
    let network = Loopback::new();
    let registry = network.registry();
    let mut watched = Observer::synced(&registry).await;
    let said = |number: usize| {
        let (label, txt) = announcements(&stranger(number)).remove(0);
        packet(&format!("{label} {number}"), &txt)
    };
    let group = SocketAddr::from(([224, 0, 0, 251], network.port()));
    for _ in 0..10 {
        Loopback::stranger().send_to(&said(0), group).unwrap();
    }
    network.send(&said(1));
    watched.until(&["stranger-1 1 a x"]).await;
}

#[tokio::test]
async fn only_the_answer_to_what_was_asked_and_of_a_responder_is_heard() {
    let network = Arc::new(Loopback::new());
    let registry = network.registry();
    let asked = network.clone();
    let asked = tokio::task::spawn_blocking(move || asked.asked());
    let said = |number: usize, id: &[u8]| {
        let (label, txt) = announcements(&stranger(number)).remove(0);
        let mut packet = packet(&format!("{label} {number}"), &txt);
        packet[..2].copy_from_slice(id);
        packet
    };
    let answer = async {
        let (query, from) = asked.await.unwrap();
        let (id, other) = (&query[..2], [query[0], !query[1]]);
        network.answer(&said(0, &other), from);
        Loopback::stranger().send_to(&said(1, id), from).unwrap();
        network.answer(&said(2, id), from);
    };
    let (found, ()) = tokio::join!(registry.list(), answer);
    assert_eq!(found.unwrap(), [stranger(2)]);
}

#[tokio::test]
async fn many_questions_that_come_as_one_packet_stop_nobody() {
    let network = Loopback::new();
    let registry = network.registry();
    let mut service = Service::new("many", "1");
    service.nodes = (0..1000).map(|n| Node::new(format!("{n}"), "x")).collect();
    registry.register(&service, forever()).await.unwrap();
    registry.get(&name("many")).await.unwrap();
    let question = b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06_micro\x04_tcp\x05local\0\0\x0c\0\x01";
    for _ in 0..4 {
        // A quarter of a million answers.
        network.send_as_one(question);
    }
    let begin = Instant::now();
    tokio::time::sleep(Duration::from_millis(1)).await;
    registry.get(&name("many")).await.unwrap();
    assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn no_more_nodes_are_remembered_than_allowed_and_ones_own_always_are() {
    let network = Loopback::new();
    let few = |options: Options| MdnsRegistry::with_options(options.with_max_nodes(10)).unwrap();
    let registry = few(network.options());
    let mut watched = Observer::synced(&registry).await;
    for number in 0..500 {
        let (_, txt) = announcements(&stranger(number)).remove(0);
        let packet = packet(&format!("stranger {number}"), &txt);
        // One at a time, and again if it was lost on the way.
        let mut sent: Option<Instant> = None;
        while watched.nodes.len() + (registry.dropped_records() as usize) <= number {
            if sent.is_none_or(|at| at.elapsed() > LIMIT / 100) {
                network.send(&packet);
                sent = Some(Instant::now());
            }
            let change = tokio::time::timeout(Duration::from_millis(1), watched.next());
            let _ = change.await;
        }
    }
    registry.register(&greeter("own", "x"), forever()).await.unwrap();
    while watched.nodes.len() < 11 {
        watched.next().await;
    }
    assert!(watched.nodes.contains(&"greeter 1 own x".to_owned()), "{:?}", watched.nodes);
    assert_eq!(registry.list().await.unwrap().len(), 11);
}
