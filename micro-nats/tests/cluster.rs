//! A cluster of three as one list.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures_util::StreamExt;
use micro_nats::{Nats, NatsOptions, State};
use micro_testkit::server::NatsCluster;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

async fn nats(list: &str) -> Nats {
    let options = NatsOptions::default().with_addresses(list.parse().unwrap());
    let nats = Nats::with_options(options.with_connect_wait(LIMIT)).unwrap();
    nats.connected().await.unwrap();
    nats
}

/// The index of the server that it is connected to.
fn server_of(nats: &Nats, cluster: &NatsCluster) -> usize {
    let port = nats.client().unwrap().server_info().port;
    let ending = format!(":{port}");
    cluster.addresses().iter().position(|address| address.ends_with(&ending)).unwrap()
}

#[tokio::test]
async fn a_connection_moves_to_another_server_of_its_list_when_its_own_is_killed() {
    let mut cluster = NatsCluster::start(3).await;
    let list = cluster.addresses().join(",");
    let (ours, others) = (nats(&list).await, nats(&list).await);
    let mut messages = ours.subscribe("move", None).await.unwrap();
    ours.round_trip().await.unwrap();
    for epoch in [2, 3] {
        let server = server_of(&ours, &cluster);
        cluster.server(server).kill().await;
        let mut states = ours.states();
        let moved = states.wait_for(|state| *state == State::Connected { epoch });
        timeout(LIMIT, moved).await.expect("another server in time").unwrap();
        assert_ne!(server_of(&ours, &cluster), server);
        ours.round_trip().await.unwrap();
        // Interest travels between servers in its own time, so the first may find nobody.
        let message = timeout(LIMIT, async {
            loop {
                others.publish("move", None, "to the other".into()).await.unwrap();
                let next = timeout(Duration::from_millis(100), messages.next()).await;
                if let Ok(Some(message)) = next {
                    return message;
                }
            }
        });
        assert_eq!(message.await.unwrap().payload, "to the other");
        cluster.server(server).restart().await;
        cluster.joined().await;
    }
}

#[tokio::test]
async fn a_server_that_is_not_in_the_list_is_found_through_one_that_is() {
    let mut cluster = NatsCluster::start(3).await;
    let only = cluster.addresses()[0].clone();
    let nats = nats(&only).await;
    cluster.server(0).kill().await;
    let mut states = nats.states();
    let moved = states.wait_for(|state| *state == State::Connected { epoch: 2 });
    timeout(LIMIT, moved).await.expect("another server in time").unwrap();
    assert_ne!(server_of(&nats, &cluster), 0);
}

#[tokio::test]
async fn the_reasons_of_all_servers_are_told_when_none_is_there() {
    let mut cluster = NatsCluster::start(2).await;
    let addresses = cluster.addresses();
    for index in 0..2 {
        cluster.server(index).kill().await;
    }
    let options = NatsOptions::default().with_addresses(addresses.join(",").parse().unwrap());
    let nats = Nats::with_options(options.with_connect_wait(Duration::from_secs(1))).unwrap();
    let text = nats.connected().await.unwrap_err().to_string();
    assert!(text.starts_with(&format!("NATS at {} is not reachable", addresses.join(","))));
    for address in &addresses {
        assert!(text.matches(address.as_str()).count() >= 2, "{text}");
    }
}
