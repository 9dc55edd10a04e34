//! Descriptions that are too large.

use micro_core::registry::{Endpoint, Node, Service, ServiceName, Value};
use micro_core::{ErrorKind, Registry};
use micro_testkit::server::NatsServer;

use crate::go::{GoPeer, v6};
use crate::{Watch, find, greeter, plain, register, service, within};

const MAX: usize = 4096;

async fn small_server() -> NatsServer {
    NatsServer::start_configured(&format!("max_payload: {MAX}")).await
}

/// A service whose endpoints have types of this many bytes.
fn with_types(bytes: usize) -> Service {
    let value = Value { name: "x".repeat(bytes), kind: "string".into(), values: Vec::new() };
    let mut service = service("1", "a");
    service.endpoints.push(Endpoint { request: Some(value), ..Endpoint::new("Greeter.Hello") });
    service
}

#[tokio::test]
async fn a_description_that_is_too_large_loses_the_types_of_its_endpoints_first() {
    let server = small_server().await;
    let (ours, sees) = (plain(&server), plain(&server));
    ours.nats().connected().await.unwrap();
    let mut watch = Watch::synced(&sees).await;
    register(&ours, &with_types(2 * MAX)).await;
    watch.until(&["a"]).await;
    let found = sees.get(&greeter()).await.unwrap();
    assert_eq!(found[0].endpoints, [Endpoint::new("Greeter.Hello")]);
    let peer = GoPeer::new(&server, v6()).await;
    assert_eq!(peer.ask(&peer.spoken.get).await[0]["endpoints"][0]["name"], "Greeter.Hello");
}

#[tokio::test]
async fn a_description_that_is_too_large_even_so_is_refused_with_both_sizes() {
    let server = small_server().await;
    let registry = plain(&server);
    registry.nats().connected().await.unwrap();
    register(&registry, &service("1", "b")).await;
    let mut large = service("1", "a");
    large.metadata.insert("k".into(), "x".repeat(2 * MAX));
    let error = registry.register(&large, Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.detail().contains(&format!("limit of {MAX} bytes")), "{error}");
    find(&registry, &["b"]).await;
}

#[tokio::test]
async fn what_the_server_takes_is_known_to_the_first_registration() {
    let server = small_server().await;
    let registry = plain(&server);
    registry.nats().connected().await.unwrap();
    let mut large = service("1", "a");
    large.metadata.insert("k".into(), "x".repeat(2 * MAX));
    let error = registry.register(&large, Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

#[tokio::test]
async fn a_server_that_takes_more_than_others_do_is_sent_no_more_than_they_take() {
    let server = NatsServer::start_configured("max_payload: 8MB\n").await;
    let (ours, sees) = (plain(&server), plain(&server));
    ours.nats().connected().await.unwrap();
    let mut large = service("1", "a");
    large.metadata.insert("k".into(), "x".repeat(700_000));
    register(&ours, &large).await;
    find(&sees, &["a"]).await;
    large.metadata.insert("k".into(), "x".repeat(1 << 20));
    let error = ours.register(&large, Default::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // Too large for them only with the types of its endpoints.
    register(&ours, &with_types(2 << 20)).await;
    find(&sees, &["a"]).await;
    assert_eq!(sees.get(&greeter()).await.unwrap()[0].endpoints, [Endpoint::new("Greeter.Hello")]);
    assert_eq!(sees.dropped_messages(), 0);
}

#[tokio::test]
async fn a_description_that_turns_out_to_be_too_large_only_later_loses_its_types_then() {
    let mut server = NatsServer::stopped(&["-c", "/dev/null"]);
    let (ours, sees) = (plain(&server), plain(&server));
    // Before it is connected, a server takes 1 MiB as far as is known.
    register(&ours, &with_types(2 * MAX)).await;
    let config = tempfile_with(&format!("max_payload: {MAX}"));
    server.set_args(&["-c", config.path().to_str().unwrap()]);
    server.restart().await;
    find(&sees, &["a"]).await;
    assert_eq!(sees.get(&greeter()).await.unwrap()[0].endpoints, [Endpoint::new("Greeter.Hello")]);
}

#[tokio::test]
async fn more_nodes_than_fit_into_one_message_go_in_several() {
    let server = small_server().await;
    let (ours, sees) = (plain(&server), plain(&server));
    ours.nats().connected().await.unwrap();
    let mut watch = Watch::synced(&sees).await;
    let mut many = Service::new("greeter", "1");
    for id in 0..100 {
        many.nodes.extend(service("1", &format!("node-{id:03}")).nodes);
    }
    register(&ours, &many).await;
    let ids = crate::ids(&[many]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    watch.until(&ids).await;
    find(&sees, &ids).await;
}

#[tokio::test]
async fn a_large_description_of_many_nodes_holds_nobody_up() {
    let server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    let other = Service::new("other", "1").with_node(Node::new("o", "at-o"));
    register(&ours, &other).await;
    let mut watch = Watch::synced(&sees).await;
    let mut crowd = Service::new("greeter", "1");
    crowd.metadata.insert("k".into(), "x".repeat(300_000));
    for id in 0..2000 {
        let node = Node::new(format!("node-{id:04}"), "somewhere");
        crowd.nodes.push(node.with_metadata("micro-lease", "60000"));
    }
    let ids = crate::ids(&[crowd.clone()]);
    let peer = GoPeer::new(&server, v6()).await;
    let crowd = serde_json::to_string(&crowd).unwrap();
    let announcement = format!(r#"{{"Service":{crowd},"Action":"create"}}"#);
    peer.publish(&peer.spoken.watch_subject, None, &announcement).await;
    peer.round_trip().await;
    let found = within("a lookup", sees.get(&ServiceName::new("other").unwrap())).await.unwrap();
    assert_eq!(found, [other]);
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    watch.until(&ids).await;
}

fn tempfile_with(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}
