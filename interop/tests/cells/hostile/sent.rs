//! What we send, as everybody on the server sees it.

use std::collections::BTreeSet;

use micro_interop::{Command, Generation, Helper, Recorded, Req, Rsp, World, eventually, named};
use serde_json::Value;

/// An exchange with something of everything: registering, leaving, lookups, calls that succeed and fail, events.
async fn exchange(world: &World, generation: Generation) {
    let go = world.go_client(generation).await;
    let client = world.client();
    let helper = Helper::start(world, "helper").await;
    go.ask::<Rsp>(Command::call("helper", "Peer.Run").body(&named("Bob"))).await.unwrap();
    for _ in 0..3 {
        client.call::<_, Rsp>("echo", "Echo.Call", &named("Bob")).await.unwrap();
    }
    client
        .call::<_, Rsp>("echo", "Echo.Fail", &Req { code: 409, ..Req::default() })
        .await
        .unwrap_err();
    client.call::<_, Rsp>("echo", "Echo.Nope", &Req::default()).await.unwrap_err();
    client.call::<_, Rsp>("nobody", "Echo.Nope", &Req::default()).await.unwrap_err();
    let slow = Req { millis: 200, ..named("slow") };
    let late = client
        .call::<_, Rsp>("echo", "Peer.Run", &slow)
        .timeout(std::time::Duration::from_millis(50));
    late.await.unwrap_err();
    client.publish("events", &named("Bob")).await.unwrap();
    client.registry().list().await.unwrap();
    helper.running.stop().await.unwrap();
}

/// wire.md and architecture.md list them: each of these ends or empties a go-micro process.
pub(crate) async fn nothing_that_ends_a_go_process_is_ever_sent(generation: Generation) {
    let world = World::start().await;
    let mut go = world.go(generation, "echo").await;
    // What the 503 of a server says is told to nobody while this listens; nothing here needs it.
    let recorder = world.record(">").await;
    exchange(&world, generation).await;
    let all = recorder.end().await;
    let listening: BTreeSet<&str> = [&*go.address].into();
    let (mut queries, mut news) = (0, 0);
    for message in &all {
        match message.subject.as_str() {
            "micro.nats.query" | "micro.registry.nats.query" => {
                queries += 1;
                query(message, &listening);
            }
            "micro.nats.watch" | "micro.registry.nats.watch" => {
                news += 1;
                announcement(message);
            }
            _ => {}
        }
    }
    let inboxes: BTreeSet<&str> = all
        .iter()
        .filter(|m| m.subject.ends_with(".query"))
        .filter_map(|m| m.reply.as_deref())
        .collect();
    for answer in all.iter().filter(|message| inboxes.contains(&*message.subject)) {
        assert!(
            answer.json().is_some_and(|json| json.is_object()),
            "an answer to a query: {answer:?}"
        );
    }
    assert!(queries >= 4 && news >= 4, "{queries} queries, {news} announcements");
    let requests: Vec<Value> = all
        .iter()
        .filter(|message| message.subject == go.address)
        .map(|m| m.json().expect("a packet is JSON"))
        .collect();
    assert!(requests.len() >= 6);
    for request in &requests {
        let header = request["Header"].as_object().unwrap();
        assert!(
            !header.contains_key("Connection") && !header.contains_key("Micro-Topic"),
            "{request}"
        );
    }
    assert!(go.process.is_alive());
}

fn query(message: &Recorded, listening: &BTreeSet<&str>) {
    let json = message.json().unwrap_or_else(|| panic!("{message:?}"));
    match json["Action"].as_str() {
        Some("get") => {
            assert!(json["Service"]["name"].is_string(), "a get without a service: {json}")
        }
        Some("list") => {}
        _ => panic!("an action that go-micro does not know: {json}"),
    }
    let reply = message.reply.as_deref().unwrap_or_else(|| panic!("nobody to answer to: {json}"));
    assert!(
        !reply.starts_with("micro.") && !listening.contains(reply),
        "answers would go to {reply}"
    );
}

fn announcement(message: &Recorded) {
    let json = message.json().unwrap_or_else(|| panic!("{message:?}"));
    assert!(json["Service"]["name"].is_string(), "{json}");
    match json["Action"].as_str() {
        Some("create" | "update") => {}
        Some("delete") => {
            let nodes = json["Service"]["nodes"].as_array();
            assert!(
                nodes.is_some_and(|nodes| !nodes.is_empty()),
                "a farewell without nodes takes all of them: {json}"
            );
        }
        _ => panic!("an action that go-micro does not know: {json}"),
    }
}

pub(crate) async fn a_go_process_survives_all_that_we_do(generation: Generation) {
    let world = World::start().await;
    let mut go = world.go(generation, "echo").await;
    let watcher = world.go_client(generation).await;
    watcher.execute(Command::new("watch").with("name", "w")).await.result.unwrap();
    for _ in 0..3 {
        exchange(&world, generation).await;
    }
    // Its watcher, its cache and its service are as they were.
    let mut told = Vec::new();
    while told.len() < 6 {
        let line = watcher.told("watch").await;
        if line["service"]["name"] == "helper" {
            told.push(
                line["action"]
                    .as_str()
                    .unwrap_or_else(|| panic!("the watch ended: {line}"))
                    .to_owned(),
            );
        }
    }
    assert_eq!(told, ["create", "delete", "create", "delete", "create", "delete"]);
    let call = Command::call("echo", "Echo.Call").body(&named("Bob"));
    let reply: Rsp = eventually("an answer", async || watcher.ask(call.clone()).await.ok()).await;
    assert_eq!(reply.greeting, "Hello Bob");
    assert!(go.process.is_alive() && watcher.is_alive().await);
}
