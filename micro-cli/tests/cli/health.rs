//! `micro health`.

use std::time::Duration;

use micro::{Context, Error, Server};
use serde_json::{Value, json};

use crate::node::Node;
use crate::world::World;

#[tokio::test]
async fn every_node_is_asked_and_all_are_well() {
    let (world, _echo) = World::with_echo().await;
    let _other = world.echo("2").await;
    let done = world.micro(&["health", "echo"]).run().await;
    let printed = done.fine_with("2 of 2 nodes of echo are well\n");
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(lines.len(), 2, "{printed}");
    for (line, node) in lines.iter().zip(["echo-1", "echo-2"]) {
        assert_eq!(line[..2], [node, "ok"]);
        assert!(line[2].ends_with(" ms"), "{printed}");
    }
}

#[tokio::test]
async fn as_json_a_node_is_an_object() {
    let (world, _echo) = World::with_echo().await;
    let done = world.micro(&["health", "echo", "--json"]).run().await;
    let printed = done.fine();
    let mut found: Value = serde_json::from_str(&printed).unwrap();
    assert!(found["millis"].take().as_f64().unwrap() > 0.0, "{printed}");
    let expected = json!({ "node": "echo-1", "version": "latest", "address": "echo.1", "well": true,
        "state": "ok", "millis": null });
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_does_not_answer_is_not_well_and_the_others_are() {
    let (world, _echo) = World::with_echo().await;
    let hangs = Server::new().handler("Debug.Health", async |_: Context, _: Value| {
        std::future::pending::<micro::Result<Value>>().await
    });
    let hangs = crate::world::service(&world.nats.address(), "echo", "hangs").server(hangs);
    let _hangs = hangs.build().unwrap().start().await.unwrap();
    let done = world.micro(&["health", "echo", "--timeout=300ms", "--json"]).run().await;
    let nodes: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> =
        nodes.iter().map(|node| (&node["node"], &node["well"], &node["state"])).collect();
    let expected = [
        (&json!("echo-1"), &json!(true), &json!("ok")),
        (&json!("echo-hangs"), &json!(false), &json!("no answer within 300ms")),
    ];
    assert_eq!(told, expected);
    assert!(nodes[1].get("millis").is_none(), "{done:?}");
    let (error, _) = done.failed_after_all();
    assert_eq!(
        (&error["code"], &error["detail"]),
        (&json!(503), &json!("1 of 2 nodes of echo are well"))
    );
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
}

/// Whoever is stopped answers no question either, the registry's as little as a call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_stopped_in_its_tracks_is_not_found_and_does_not_answer_at_its_address() {
    let (world, _echo) = World::with_echo().await;
    let paused = Node::start(&world, "paused").await;
    let health = world.micro(&["health", "echo"]).run().await;
    assert_eq!(health.fine_with("2 of 2 nodes of echo are well\n").lines().count(), 2);
    paused.pause();
    let health = world.micro(&["health", "echo"]).run().await;
    assert_eq!(health.fine_with("1 of 1 nodes of echo are well\n").lines().count(), 1);
    let at = ["call", "echo", "Echo.Who", "--address=echo.paused", "--timeout=300ms"];
    let done = world.micro(&at).run().await;
    let (error, hints) = done.failed();
    assert_eq!(error["code"], 408, "{error}");
    assert_eq!(hints, ["hint: whether it ran is not known"]);
}

#[tokio::test]
async fn what_a_node_says_of_itself_is_told() {
    let world = World::new().await;
    type Answer = fn() -> micro::Result<Value>;
    let ill = |answer: Answer| {
        Server::new().handler("Debug.Health", move |_: Context, _: Value| async move { answer() })
    };
    let nodes: [(&str, Answer, &str); 4] = [
        ("1", || Ok(json!({ "status": "starting" })), "answers that it is \"starting\""),
        ("2", || Ok(json!("fine")), "answers Debug.Health with something else"),
        ("3", || Err(Error::with_code(500, "out of paper")), "answers with an error: out of paper"),
        ("4", || Err(Error::not_found("no health here")), "answers, no health endpoint"),
    ];
    let (mut running, mut expected) = (Vec::new(), Vec::new());
    for (id, answer, state) in nodes {
        let address = format!("press.{id}");
        let service = crate::world::service(&world.nats.address(), "press", id).server(ill(answer));
        running.push(service.build().unwrap().start().await.unwrap());
        expected.push((address, state));
    }
    let done = world.micro(&["health", "press", "--json"]).run().await;
    let told: Vec<Value> =
        done.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = told
        .iter()
        .map(|node| (node["address"].as_str().unwrap().to_owned(), node["state"].as_str().unwrap()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(done.failed_after_all().0["detail"], "1 of 4 nodes of press are well");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_is_not_there() {
    let (world, _echo) = World::with_echo().await;
    let killed = Node::start(&world, "killed").await;
    // Somebody remembers it.
    let record = world.client().registry().get(&"echo".parse().unwrap()).await.unwrap();
    killed.kill().await;
    let nats = micro::nats::Nats::new([world.nats.address()]).unwrap();
    let rumour = micro::nats::NatsRegistry::with(&nats);
    let mut left = record[0].clone();
    left.nodes.retain(|node| node.id == "echo-killed");
    micro::registry::Registry::register(&rumour, &left, Default::default()).await.unwrap();
    let done = world.micro(&["health", "echo"]).run().await;
    let lines: Vec<&str> = done.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{done:?}");
    assert!(lines[0].starts_with("echo-1\tok\t"), "{done:?}");
    assert_eq!(lines[1], "echo-killed\tnobody is there\t");
    assert_eq!(done.failed_after_all().0["code"], 503);
}
