//! Finding and being found.

use std::time::{Duration, Instant};

use bytes::Bytes;
use micro_core::Registry;
use micro_core::registry::WatchOptions;
use micro_registry_nats::{Generations, Options};
use micro_testkit::server::NatsServer;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::go::{GoPeer, next, v2, v3, v6};
use crate::{Watch, find, greeter, ids, is_not_found, plain, register, registry, service, within};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn go_services_of_each_version_are_found() {
    for spoken in [v6(), v3(), v2()] {
        let server = NatsServer::start().await;
        let peer = GoPeer::registered(&server, spoken).await;
        let registry = plain(&server);
        let expected = [peer.spoken.service()];
        assert_eq!(registry.get(&greeter()).await.unwrap(), expected);
        assert_eq!(registry.list().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn go_clients_of_each_version_find_us_and_get_one_answer_equal_to_their_own() {
    for spoken in [v6(), v3(), v2()] {
        let server = NatsServer::start().await;
        let registry = plain(&server);
        register(&registry, &spoken.service()).await;
        let peer = GoPeer::new(&server, spoken).await;
        for query in [&peer.spoken.get, &peer.spoken.list] {
            let mut answers = peer.ask(query).await;
            assert_eq!(answers.len(), 1, "{answers:?}");
            let metadata = answers[0]["nodes"][0]["metadata"].as_object_mut().unwrap();
            assert_eq!(metadata.remove("micro-lease"), Some(json!("6000")));
            // go-micro writes an empty map as `{}`, we as `null`, which it reads as the same.
            let mut expected: Value = serde_json::from_str(&peer.spoken.answer).unwrap();
            let empty = expected["endpoints"][1]["metadata"].take();
            assert_eq!(empty, json!({}));
            assert_eq!(answers[0], expected);
        }
    }
}

#[tokio::test]
async fn go_clients_that_ask_for_others_get_no_answer() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    register(&registry, &service("1", "a")).await;
    let peer = GoPeer::new(&server, v6()).await;
    assert!(peer.ask(&peer.spoken.get.replace("greeter", "nobody")).await.is_empty());
}

#[tokio::test]
async fn go_watchers_of_each_generation_are_told_of_us_with_at_least_one_node() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    for spoken in [v6(), v3()] {
        let peer = GoPeer::new(&server, spoken).await;
        let mut told = peer.subscribe(&peer.spoken.watch_subject).await;
        register(&registry, &service("1", "a")).await;
        registry.deregister(&service("1", "a")).await.unwrap();
        for action in ["create", "delete"] {
            let result: Value = serde_json::from_slice(&next(&mut told).await.payload).unwrap();
            assert_eq!(result["Action"], action);
            assert_eq!(result["Service"]["name"], "greeter");
            assert_eq!(result["Service"]["nodes"][0]["id"], "a");
        }
    }
}

#[tokio::test]
async fn a_service_that_is_seen_in_both_generations_counts_once() {
    let server = NatsServer::start().await;
    let newer = GoPeer::registered(&server, v6().with_id("greeter-1")).await;
    let _older = GoPeer::registered(&server, v3().with_id("greeter-1")).await;
    let services = plain(&server).get(&greeter()).await.unwrap();
    assert_eq!((services.len(), ids(&services)), (1, vec![newer.spoken.id()]));
}

#[tokio::test]
async fn a_query_that_comes_on_the_subjects_of_both_generations_is_answered_once() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    register(&registry, &service("1", "a")).await;
    let peer = GoPeer::new(&server, v6()).await;
    let inbox = peer.client.new_inbox();
    let mut answers = peer.subscribe(&inbox).await;
    for (id, queries) in [("one", 2), ("two", 1)] {
        let query = peer.spoken.get.replacen('{', &format!(r#"{{"Micro":{{"id":"{id}"}},"#), 1);
        for subject in ["micro.nats.query", "micro.registry.nats.query"].iter().take(queries) {
            peer.publish(subject, Some(&inbox), &query).await;
        }
        // Of a second answer to the first query this would be told.
        assert!(!next(&mut answers).await.payload.is_empty());
    }
    // Both subjects have been read up to here once their next queries are answered.
    for subject in ["micro.nats.query", "micro.registry.nats.query"] {
        let fence = peer.client.new_inbox();
        let mut fenced = peer.subscribe(&fence).await;
        peer.publish(subject, Some(&fence), &peer.spoken.list).await;
        next(&mut fenced).await;
    }
    answers.unsubscribe().await.unwrap();
    assert!(within("the end", tokio_stream::StreamExt::next(&mut answers)).await.is_none());
}

#[tokio::test]
async fn watchers_see_go_services_of_each_version_come_and_go() {
    for spoken in [v6(), v3(), v2()] {
        let server = NatsServer::start().await;
        let registry = plain(&server);
        let mut watch = Watch::synced(&registry).await;
        let peer = GoPeer::new(&server, spoken).await;
        peer.announce().await;
        watch.until(&[&peer.spoken.id()]).await;
        peer.say_goodbye().await;
        watch.until(&[]).await;
    }
}

#[tokio::test]
async fn when_nobody_listens_it_is_not_found_at_once() {
    let server = NatsServer::start().await;
    let registry = registry(&server, Options::default().with_query_limit(5 * SECOND));
    registry.nats().connected().await.unwrap();
    let outcome = timeout(3 * SECOND, registry.get(&greeter())).await.expect("long before 5 s");
    assert!(is_not_found(&outcome), "{outcome:?}");
    let listed = timeout(3 * SECOND, registry.list()).await.expect("long before 5 s");
    assert!(listed.unwrap().is_empty());
}

#[tokio::test]
async fn when_all_listeners_are_silent_it_is_not_found_after_the_limit() {
    let server = NatsServer::start().await;
    let peer = GoPeer::new(&server, v6()).await;
    let _silent = peer.subscribe("micro.nats.query").await;
    let limit = Duration::from_millis(300);
    let registry = registry(&server, Options::default().with_query_limit(limit));
    registry.nats().connected().await.unwrap();
    let started = Instant::now();
    let outcome = within("get", registry.get(&greeter())).await;
    assert!(is_not_found(&outcome), "{outcome:?}");
    assert!(started.elapsed() >= limit);
}

#[tokio::test]
async fn what_is_found_is_told_long_before_the_limit_also_when_others_are_silent() {
    let server = NatsServer::start().await;
    let peer = GoPeer::registered(&server, v6()).await;
    let _silent = peer.subscribe("micro.registry.nats.query").await;
    let registry = registry(&server, Options::default().with_query_limit(10 * SECOND));
    registry.nats().connected().await.unwrap();
    for _ in 0..3 {
        let found = timeout(2 * SECOND, registry.get(&greeter())).await.expect("before 10 s");
        assert_eq!(ids(&found.unwrap()), [peer.spoken.id()]);
    }
}

#[tokio::test]
async fn a_quorum_ends_a_query_without_a_quiet_time() {
    let server = NatsServer::start().await;
    let _one = GoPeer::registered(&server, v6().with_id("greeter-1")).await;
    let _two = GoPeer::registered(&server, v3().with_id("greeter-2")).await;
    let slow = Options::default().with_query_limit(10 * SECOND).with_quiet(10 * SECOND);
    let registry = registry(&server, slow.with_quorum(2));
    registry.nats().connected().await.unwrap();
    let found = timeout(3 * SECOND, registry.get(&greeter())).await.expect("before 10 s");
    assert_eq!(ids(&found.unwrap()), ["greeter-1", "greeter-2"]);
}

#[tokio::test]
async fn a_query_is_done_when_all_known_nodes_have_answered() {
    let server = NatsServer::start().await;
    let (one, two) = (plain(&server), plain(&server));
    register(&one, &service("1", "a")).await;
    register(&two, &service("1", "b")).await;
    let slow = Options::default().with_query_limit(10 * SECOND).with_quiet(SECOND);
    let registry = registry(&server, slow);
    let mut watch = Watch::synced(&registry).await;
    watch.until(&["a", "b"]).await;
    let found = timeout(SECOND, registry.get(&greeter())).await.expect("before the quiet time");
    assert_eq!(ids(&found.unwrap()), ["a", "b"]);
}

#[tokio::test]
async fn answers_that_come_late_still_reach_watchers() {
    let server = NatsServer::start().await;
    let prompt = GoPeer::registered(&server, v6().with_id("greeter-1")).await;
    let late = GoPeer::new(&server, v3().with_id("greeter-2")).await;
    let mut queries = late.subscribe("micro.nats.query").await;
    let options = Options::default().with_query_limit(10 * SECOND);
    let registry = registry(&server, options);
    let mut watch = Watch::synced(&registry).await;
    watch.until(&["greeter-1"]).await;
    let query = next(&mut queries).await;
    let answer = Bytes::from(late.spoken.answer.clone());
    late.client.publish(query.reply.unwrap(), answer).await.unwrap();
    watch.until(&["greeter-1", "greeter-2"]).await;
    drop(prompt);
}

#[tokio::test]
async fn who_is_too_slow_for_a_lookup_but_known_to_live_is_found() {
    let server = NatsServer::start().await;
    let _prompt = GoPeer::registered(&server, v6().with_id("greeter-1")).await;
    let registry = plain(&server);
    let mut watch = Watch::synced(&registry).await;
    let silent = GoPeer::new(&server, v6().with_id("greeter-2")).await;
    silent.announce().await;
    watch.until(&["greeter-1", "greeter-2"]).await;
    let found = within("get", registry.get(&greeter())).await.unwrap();
    assert_eq!(ids(&found), ["greeter-1", "greeter-2"]);
}

#[tokio::test]
async fn what_is_registered_here_is_found_here_and_elsewhere() {
    let server = NatsServer::start().await;
    let (one, two) = (plain(&server), plain(&server));
    register(&one, &service("1", "a")).await;
    register(&two, &service("1", "b")).await;
    find(&one, &["a", "b"]).await;
    find(&two, &["a", "b"]).await;
    let clone = one.clone();
    drop(one);
    find(&clone, &["a", "b"]).await;
}

#[tokio::test]
async fn fleets_of_different_namespaces_do_not_see_each_other() {
    let server = NatsServer::start().await;
    let red = || Options::default().with_namespace("red");
    let (in_red, also_in_red, outside) =
        (registry(&server, red()), registry(&server, red()), plain(&server));
    let mut watch_red = Watch::synced(&also_in_red).await;
    let mut watch_outside = Watch::synced(&outside).await;
    let mut all = GoPeer::new(&server, v6()).await.subscribe("micro.>").await;
    register(&in_red, &service("1", "red")).await;
    watch_red.until(&["red"]).await;
    find(&also_in_red, &["red"]).await;
    assert!(is_not_found(&outside.get(&greeter()).await));
    register(&outside, &service("1", "plain")).await;
    watch_outside.until(&["plain"]).await;
    assert_eq!(watch_red.ids(), ["red"]);
    find(&also_in_red, &["red"]).await;
    find(&outside, &["plain"]).await;
    assert_eq!(outside.list().await.unwrap(), [service("1", "plain")]);
    // Nothing of red's came on go-micro's subjects.
    let mut last = String::new();
    while !last.contains("plain") {
        last = String::from_utf8(next(&mut all).await.payload.to_vec()).unwrap();
        assert!(!last.contains("red"), "{last}");
    }
}

#[tokio::test]
async fn one_generation_alone_can_be_chosen() {
    for (generations, chosen, other) in
        [(Generations::Newer, v6(), v3()), (Generations::Older, v3(), v6())]
    {
        let server = NatsServer::start().await;
        let ours = registry(&server, Options::default().with_generations(generations));
        register(&ours, &service("1", "a")).await;
        let _found = GoPeer::registered(&server, chosen.with_id("greeter-1")).await;
        let unfound = GoPeer::registered(&server, other.with_id("greeter-2")).await;
        find(&ours, &["a", "greeter-1"]).await;
        assert!(ids(&ours.list().await.unwrap()).iter().all(|id| *id != unfound.spoken.id()));
        let told = unfound.ask(&unfound.spoken.get).await;
        assert!(told.iter().all(|told| told["nodes"][0]["id"] != "a"), "{told:?}");
    }
}

#[tokio::test]
async fn many_watchers_come_and_go_and_the_last_leaves_no_subscription_behind() {
    let server = NatsServer::start().await;
    let registry = plain(&server);
    for _ in 0..5 {
        let mut watch = Watch::synced(&registry).await;
        let all = registry.watch(WatchOptions::default()).await.unwrap();
        let peer = GoPeer::new(&server, v6()).await;
        peer.announce().await;
        watch.until(&[&peer.spoken.id()]).await;
        drop((watch, all));
    }
    // Alone with the subject of answers the server says that nobody listens.
    let nats = registry.nats().clone();
    within("the end of the subscriptions", async {
        loop {
            let inbox = nats.new_inbox();
            let mut answers = nats.subscribe(&inbox, None).await.unwrap();
            nats.publish("micro.nats.watch", Some(&inbox), Bytes::from_static(b"{}"))
                .await
                .unwrap();
            nats.round_trip().await.unwrap();
            let soon = timeout(SECOND / 10, tokio_stream::StreamExt::next(&mut answers));
            if soon.await.is_ok() {
                return;
            }
        }
    })
    .await;
}
