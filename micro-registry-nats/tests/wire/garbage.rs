//! Nothing that comes can do harm.

use bytes::Bytes;
use micro_core::Registry;
use micro_testkit::server::NatsServer;

use crate::go::{GoPeer, next, v3, v6};
use crate::{Watch, find, plain, register, service, within};

fn garbage() -> Vec<Bytes> {
    let deep = "[".repeat(50_000);
    let texts = [
        String::new(),
        " ".into(),
        "null".into(),
        "{}".into(),
        "[]".into(),
        "\"\"".into(),
        "0".into(),
        "{".into(),
        r#"{"Action":"get"}"#.into(),
        r#"{"Action":"get","Service":null}"#.into(),
        r#"{"Action":"get","Service":{}}"#.into(),
        r#"{"Action":"create"}"#.into(),
        r#"{"Action":"create","Service":{"name":"greeter","nodes":[null]}}"#.into(),
        r#"{"Action":"delete"}"#.into(),
        r#"{"Action":"delete","Service":{"name":"greeter","version":"1"}}"#.into(),
        r#"{"Action":"delete","Service":{"name":"greeter","version":"1","nodes":[]}}"#.into(),
        r#"{"Action":"override","Service":{"name":"greeter","version":"1","nodes":[{"id":"a"}]}}"#
            .into(),
        r#"{"Service":{"name":"greeter"},"Action":7}"#.into(),
        r#"{"name":"greeter","version":"1"}"#.into(),
        r#"{"name":"greeter","version":"1","nodes":[null]}"#.into(),
        r#"{"name":7}"#.into(),
        r#"{"id":"","lease":1,"hash":""}"#.into(),
        r#"{"id":"a","lease":-1,"hash":""}"#.into(),
        r#"{"id":"a","lease":0,"hash":""}"#.into(),
        deep.clone(),
        format!(r#"{{"Action":"create","Service":{{"name":"greeter","endpoints":{deep}"#),
        "x".repeat(1 << 20),
        format!(r#"{{"Action":"create","Service":{{"name":"{}"#, "x".repeat((1 << 20) - 64)),
    ];
    let mut garbage: Vec<Bytes> = texts.into_iter().map(Bytes::from).collect();
    garbage.push(Bytes::from_static(b"\x00\xff\xfe\x80"));
    garbage
}

#[tokio::test]
async fn garbage_on_every_subject_that_is_listened_to_changes_nothing() {
    let server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    let peer = GoPeer::new(&server, v6()).await;
    let mut queries = peer.subscribe("micro.nats.query").await;
    register(&ours, &service("1", "a")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["a"]).await;
    // The watcher's own query tells where it takes answers.
    let inbox = next(&mut queries).await.reply.unwrap().to_string();
    drop(queries);

    let subjects = [
        "micro.nats.query",
        "micro.registry.nats.query",
        "micro.nats.watch",
        "micro.registry.nats.watch",
        "micro.lease.greeter",
        &inbox,
    ];
    let reply = peer.client.new_inbox();
    let mut answers = peer.subscribe(&reply).await;
    for subject in subjects {
        for body in garbage() {
            let to = subject.to_owned();
            peer.client.publish_with_reply(to, reply.clone(), body).await.unwrap();
        }
    }
    // Replies to where nobody may answer, or none at all.
    for reply in [None, Some("micro.nats.watch"), Some("micro.lease.greeter"), Some("at-a")] {
        for query in [&peer.spoken.get, &peer.spoken.list] {
            peer.publish("micro.nats.query", reply, query).await;
        }
    }
    let expected = garbage().len() as u64;
    within("reading all of it", async {
        // Two query subjects here, two watch subjects and the answers there; both hear the lease.
        while ours.dropped_messages() < 3 * expected + 8 || sees.dropped_messages() < 4 * expected {
            tokio::task::yield_now().await;
        }
    })
    .await;

    assert!(!watch.changes_within(std::time::Duration::from_millis(100)).await);
    assert_eq!(watch.ids(), ["a"]);
    find(&sees, &["a"]).await;
    let peer_too = GoPeer::registered(&server, v3()).await;
    watch.until(&["a", &peer_too.spoken.id()]).await;
    assert_eq!(peer.ask(&peer.spoken.get).await.len(), 1);
    ours.deregister(&service("1", "a")).await.unwrap();
    watch.until(&[&peer_too.spoken.id()]).await;
    // Of the garbage nothing was answered but by silence.
    answers.unsubscribe().await.unwrap();
    assert!(tokio_stream::StreamExt::next(&mut answers).await.is_none());
}

#[tokio::test]
async fn names_that_are_no_subjects_are_listed_and_watched() {
    let server = NatsServer::start().await;
    let sees = plain(&server);
    let mut watcher = sees.watch(Default::default()).await.unwrap();
    let mut spoken = v6();
    for body in [&mut spoken.register, &mut spoken.answer, &mut spoken.deregister] {
        *body = body.replacen(r#""name":"greeter""#, r#""name":"a b.*.>""#, 1);
    }
    let peer = GoPeer::registered(&server, spoken).await;
    within("the node", async {
        loop {
            let change = watcher.next().await.unwrap();
            if let micro_core::registry::Change::Added(service) = change {
                assert_eq!(service.name, "a b.*.>");
                return;
            }
        }
    })
    .await;
    peer.say_goodbye().await;
    within("its end", async {
        while !matches!(watcher.next().await.unwrap(), micro_core::registry::Change::Removed(_)) {}
    })
    .await;
    let listed = sees.list().await.unwrap();
    assert_eq!(listed[0].name, "a b.*.>");
}
