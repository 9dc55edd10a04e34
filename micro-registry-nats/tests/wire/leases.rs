//! How those go who say nothing, and how those stay who live.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_core::registry::{Change, Service, WatchOptions};
use micro_core::{Registry, Result};
use micro_registry_nats::Options;
use micro_testkit::server::NatsServer;
use serde_json::Value;

use crate::go::{GoPeer, next, v3, v6};
use crate::{Watch, find, greeter, plain, register, registry, service, within};

const LEASE: Duration = Duration::from_millis(300);

fn short() -> Options {
    Options::default().with_lease(LEASE)
}

/// Who asks waits longer than any machine is busy.
fn patient() -> Options {
    Options::default().with_query_limit(Duration::from_secs(10))
}

#[tokio::test]
async fn whoever_looks_is_told_the_leases_of_our_nodes_and_none_of_a_go_node() {
    let server = NatsServer::start().await;
    let lease = Duration::from_secs(7);
    let (ours, sees) = (registry(&server, Options::default().with_lease(lease)), plain(&server));
    register(&ours, &service("1", "ours")).await;
    let peer = GoPeer::registered(&server, v6()).await;
    let expected = BTreeMap::from([("ours".to_owned(), Some(lease)), (peer.spoken.id(), None)]);
    for registry in [&ours, &sees] {
        assert_eq!(leases_of_two(async || registry.get(&greeter()).await).await, expected);
        assert_eq!(leases_of_two(async || registry.list().await).await, expected);
        let mut watcher = registry.watch(WatchOptions::default()).await.unwrap();
        let mut told = BTreeMap::new();
        within("both nodes", async {
            while told.len() < 2 {
                let change = watcher.next().await.expect("the watcher goes on");
                if let Change::Added(service) | Change::Updated(service) = change {
                    told.extend(leases(&[Service::clone(&service)]));
                }
            }
        })
        .await;
        assert_eq!(told, expected);
    }
}

/// Looks until two nodes are found.
async fn leases_of_two(
    look: impl AsyncFn() -> Result<Vec<Service>>,
) -> BTreeMap<String, Option<Duration>> {
    within("both nodes", async {
        loop {
            let found = leases(&look().await.unwrap_or_default());
            if found.len() == 2 {
                return found;
            }
        }
    })
    .await
}

/// By the nodes' ids.
fn leases(services: &[Service]) -> BTreeMap<String, Option<Duration>> {
    let nodes = services.iter().flat_map(|service| &service.nodes);
    nodes.map(|node| (node.id.clone(), node.lease)).collect()
}

#[tokio::test]
async fn a_node_of_ours_that_dies_leaves_within_its_lease() {
    let server = NatsServer::start().await;
    let (dies, lives) = (registry(&server, short()), plain(&server));
    let mut watch = Watch::synced(&lives).await;
    register(&dies, &service("1", "a")).await;
    watch.until(&["a"]).await;
    drop(dies);
    watch.until(&[]).await;
}

#[tokio::test]
async fn a_node_of_ours_that_lives_stays_by_its_heartbeats_alone() {
    let server = NatsServer::start().await;
    let (lives, sees) = (registry(&server, short()), registry(&server, patient()));
    let peer = GoPeer::new(&server, v6()).await;
    let mut heartbeats = peer.subscribe("micro.lease.greeter").await;
    let mut queries = peer.subscribe("micro.nats.query").await;
    let mut watch = Watch::synced(&sees).await;
    assert!(!next(&mut queries).await.payload.is_empty(), "the watcher's own");
    register(&lives, &service("1", "a")).await;
    watch.until(&["a"]).await;
    for _ in 0..12 {
        let heartbeat: Value =
            serde_json::from_slice(&next(&mut heartbeats).await.payload).unwrap();
        assert_eq!((&heartbeat["id"], &heartbeat["lease"]), (&"a".into(), &300.into()));
        assert!(heartbeat["hash"].as_str().is_some_and(|hash| hash.len() == 16));
    }
    assert!(!watch.changes_within(LEASE).await);
    // On a machine that stood still it may have been asked for; not as a rule.
    queries.unsubscribe().await.unwrap();
    let mut asked = 0;
    while tokio_stream::StreamExt::next(&mut queries).await.is_some() {
        asked += 1;
    }
    assert!(asked < 6, "asked {asked} times in 12 heartbeats");
}

#[tokio::test]
async fn a_go_node_is_asked_when_its_time_is_over_and_stays_while_it_answers() {
    for spoken in [v6(), v3()] {
        let server = NatsServer::start().await;
        let registry = registry(&server, patient().with_unleased(LEASE));
        let mut watch = Watch::synced(&registry).await;
        let mut peer = GoPeer::registered(&server, spoken).await;
        watch.until(&[&peer.spoken.id()]).await;
        within("being asked", async {
            while peer.asked() < 3 {
                watch.changes_within(LEASE / 10).await;
                assert_eq!(watch.ids(), [peer.spoken.id()]);
            }
        })
        .await;
        peer.die().await;
        watch.until(&[]).await;
    }
}

#[tokio::test]
async fn a_node_with_a_tiny_lease_is_not_asked_for_all_the_time() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    let mut watch = Watch::synced(&registry).await;
    let mut spoken = v6();
    let mut service = spoken.service();
    service.nodes[0].metadata.insert("micro-lease".into(), "1".into());
    spoken.answer = serde_json::to_string(&service).unwrap();
    spoken.register = format!(r#"{{"Service":{},"Action":"create"}}"#, spoken.answer);
    let start = std::time::Instant::now();
    let peer = GoPeer::registered(&server, spoken).await;
    watch.until(&[&peer.spoken.id()]).await;
    within("being asked", async {
        while peer.asked() < 3 {
            watch.changes_within(LEASE / 10).await;
            assert_eq!(watch.ids(), [peer.spoken.id()]);
        }
    })
    .await;
    // Hundreds of queries a second would be far quicker; slower is any machine that is busy.
    assert!(
        start.elapsed() > Duration::from_millis(1500),
        "asked 3 times in {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_heartbeat_of_an_unknown_node_is_asked_after() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    let mut watch = Watch::synced(&registry).await;
    let mut peer = GoPeer::new(&server, v6()).await;
    peer.serve().await;
    let heartbeat = r#"{"id":"somebody","version":"latest","lease":6000,"hash":"0"}"#;
    peer.publish("micro.lease.greeter", None, heartbeat).await;
    watch.until(&[&peer.spoken.id()]).await;
}

#[tokio::test]
async fn the_heartbeat_of_another_description_is_asked_after() {
    let server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&ours, &service("1", "a")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["a"]).await;
    let peer = GoPeer::new(&server, v6()).await;
    let mut queries = peer.subscribe("micro.nats.query").await;
    let heartbeat = r#"{"id":"a","version":"1","lease":6000,"hash":"0123456789abcdef"}"#;
    peer.publish("micro.lease.greeter", None, heartbeat).await;
    let query: Value = serde_json::from_slice(&next(&mut queries).await.payload).unwrap();
    assert_eq!((&query["Action"], &query["Service"]["name"]), (&"get".into(), &"greeter".into()));
    assert_eq!(watch.ids(), ["a"]);
}

#[tokio::test]
async fn unknown_nodes_are_not_asked_after_with_every_heartbeat() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    let _watch = Watch::synced(&registry).await;
    let peer = GoPeer::new(&server, v6()).await;
    let mut queries = peer.subscribe("micro.nats.query").await;
    for id in 0..1000 {
        let heartbeat = format!(r#"{{"id":"{id}","version":"1","lease":6000,"hash":"0"}}"#);
        peer.publish("micro.lease.greeter", None, &heartbeat).await;
    }
    next(&mut queries).await;
    // It has read all of them when it has also answered what came after them.
    within("a lookup", registry.list()).await.unwrap();
    queries.unsubscribe().await.unwrap();
    let mut asked = 0;
    while tokio_stream::StreamExt::next(&mut queries).await.is_some() {
        asked += 1;
    }
    assert!(asked < 20, "asked {asked} times more for a thousand heartbeats");
}

#[tokio::test]
async fn who_is_said_to_be_gone_and_is_not_comes_back() {
    let server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    let mut watch = Watch::synced(&sees).await;
    register(&ours, &service("1", "a")).await;
    watch.until(&["a"]).await;
    let peer = GoPeer::new(&server, v6()).await;
    let farewell =
        r#"{"Service":{"name":"greeter","version":"1","nodes":[{"id":"a"}]},"Action":"delete"}"#;
    peer.publish("micro.nats.watch", None, farewell).await;
    watch.until(&[]).await;
    watch.until(&["a"]).await;
    find(&sees, &["a"]).await;
}
