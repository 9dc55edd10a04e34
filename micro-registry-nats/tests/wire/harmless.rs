//! What kills go-micro processes is never sent.

use std::time::Duration;

use micro_core::Registry;
use micro_core::registry::{RegisterOptions, ServiceName, WatchOptions};
use micro_registry_nats::Options;
use micro_registry_nats::micro_nats::async_nats::Message;
use micro_testkit::server::NatsServer;
use serde_json::Value;
use tokio_stream::StreamExt;

use crate::go::{GoPeer, v3, v6};
use crate::{Watch, find, greeter, plain, register, registry, service, within};

#[tokio::test]
async fn nothing_that_kills_go_micro_is_ever_sent() {
    let mut server = NatsServer::start().await;
    let watched = scenario(&mut server).await;
    assert!(watched.len() > 50, "only {} messages", watched.len());
    let mut seen = std::collections::BTreeSet::new();
    for message in &watched {
        seen.insert(check(message));
    }
    // Or it would have proved nothing.
    for kind in ["get", "list", "create", "delete", "heartbeat", "answer"] {
        assert!(seen.contains(kind), "no {kind} in {seen:?}");
    }
}

/// Everything that this crate does, and somebody who wants it to do harm; returns all messages
/// that were not his.
async fn scenario(server: &mut NatsServer) -> Vec<Message> {
    let sniffer = GoPeer::new(server, v6()).await;
    let mut all = sniffer.subscribe(">").await;
    let lease = Duration::from_millis(300);
    let options = || Options::default().with_lease(lease).with_register_interval(lease);
    let (one, two) = (registry(server, options()), plain(server));
    let mut watch = Watch::synced(&two).await;
    let everything = one.watch(WatchOptions::default()).await.unwrap();
    register(&one, &service("1", "a")).await;
    register(&two, &service("2", "b")).await;
    let ttl = RegisterOptions::default().with_ttl(lease);
    one.register(&service("1", "ends"), ttl).await.unwrap();
    watch.until(&["a", "b", "ends"]).await;
    watch.until(&["a", "b"]).await;
    find(&one, &["a", "b"]).await;
    let _ = one.get(&ServiceName::new("nobody").unwrap()).await;
    two.list().await.unwrap();
    // Said goodbye to already, and never there.
    for nobody in ["ends", "never"] {
        one.deregister(&service("1", nobody)).await.unwrap();
    }

    let attacker = GoPeer::new(server, v3()).await;
    let farewell =
        r#"{"Service":{"name":"greeter","version":"1","nodes":[{"id":"a"}]},"Action":"delete"}"#;
    attacker.publish("micro.nats.watch", None, &attack(farewell)).await;
    let heartbeat = r#"{"id":"x","version":"","lease":10,"hash":"0"}"#;
    attacker.publish("micro.lease.greeter", None, &attack(heartbeat)).await;
    watch.until(&["b"]).await;
    watch.until(&["a", "b"]).await;
    for reply in ATTACKED {
        for query in [&attacker.spoken.get, &attacker.spoken.list] {
            for subject in ["micro.nats.query", "micro.registry.nats.query"] {
                attacker.publish(subject, Some(reply), &attack(query)).await;
            }
        }
    }
    let attacks = ATTACKED.len() as u64 * 4;
    within("reading the attacks", async {
        while one.dropped_messages() < attacks || two.dropped_messages() < attacks {
            tokio::task::yield_now().await;
        }
    })
    .await;

    drop(everything);
    one.deregister(&service("1", "a")).await.unwrap();
    watch.until(&["b"]).await;
    register(&one, &service("1", "c")).await;
    watch.until(&["b", "c"]).await;
    within("close", one.close()).await.unwrap();
    watch.until(&["b"]).await;
    assert!(two.get(&greeter()).await.is_ok());
    within("close", two.close()).await.unwrap();
    sniffer.round_trip().await;
    all.unsubscribe().await.unwrap();
    let mut messages = Vec::new();
    while let Some(message) = all.next().await {
        let text = String::from_utf8_lossy(&message.payload);
        if !text.contains("an attack") {
            messages.push(message);
        }
    }
    messages
}

const ATTACKED: [&str; 7] = [
    "micro.nats.query",
    "micro.nats.watch",
    "micro.registry.nats.query",
    "micro.registry.nats.watch",
    "red.micro.nats.watch",
    "micro.lease.greeter",
    "at-a",
];

/// Marks what the attacker says, so that it is not taken for ours.
fn attack(body: &str) -> String {
    body.replacen('{', r#"{"who":"an attack","#, 1)
}

/// Panics if the message is one of those that kill; returns what it is.
fn check(message: &Message) -> &'static str {
    let subject = message.subject.as_str();
    let text = String::from_utf8_lossy(&message.payload);
    let what = format!("{subject} (reply {:?}): {text}", message.reply);
    let json = || -> Value {
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {what}"));
        assert!(value.is_object(), "{what}");
        value
    };
    let named = |service: &Value| service["name"].as_str().is_some_and(|name| !name.is_empty());
    let has_nodes = |service: &Value| {
        let nodes = service["nodes"].as_array();
        nodes.is_some_and(|nodes| {
            let has_id = |node: &Value| node["id"].as_str().is_some_and(|id| !id.is_empty());
            !nodes.is_empty() && nodes.iter().all(has_id)
        })
    };
    if subject.ends_with("nats.query") {
        let query = json();
        let reply = message.reply.as_deref().unwrap_or_default();
        assert!(reply.starts_with("_INBOX."), "{what}");
        match query["Action"].as_str() {
            Some("get") => assert!(named(&query["Service"]), "{what}"),
            Some("list") => return "list",
            _ => panic!("{what}"),
        }
        "get"
    } else if subject.ends_with("nats.watch") {
        let announcement = json();
        let service = &announcement["Service"];
        assert!(named(service) && has_nodes(service), "{what}");
        assert_eq!(message.reply, None, "{what}");
        match announcement["Action"].as_str() {
            Some("create") => "create",
            Some("delete") => "delete",
            _ => panic!("{what}"),
        }
    } else if subject.starts_with("micro.lease.") {
        let heartbeat = json();
        assert!(heartbeat["id"].as_str().is_some_and(|id| !id.is_empty()), "{what}");
        assert!(heartbeat["lease"].as_u64().is_some_and(|lease| lease > 0), "{what}");
        "heartbeat"
    } else if subject.starts_with("_INBOX.") {
        // A round trip to the server and back.
        if text.is_empty() {
            return "round trip";
        }
        let answer = json();
        assert!(named(&answer) && has_nodes(&answer), "{what}");
        "answer"
    } else {
        panic!("a message on a subject that is nobody's: {what}")
    }
}
