//! `micro publish` and `micro subscribe`.

use std::fs;

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::program::{LIMIT, Program};
use crate::world::World;

#[tokio::test]
async fn what_is_published_is_heard_a_line_each() {
    let world = World::new().await;
    let mut all = world.subscriber(&["orders.created"]).await;
    assert_eq!(world.prints(&["publish", "orders.created", "{ \"id\": 1 }"]).await, "");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("order.json"), "{\n\"id\": 2\n}").unwrap();
    let from_file = world.micro(&["publish", "orders.created", "@order.json"]);
    from_file.folder(folder.path()).run().await.fine();
    world.micro(&["publish", "orders.created", "-"]).input("{\"id\":3}\n").run().await.fine();
    world.prints(&["publish", "orders.created"]).await;
    for expected in [r#"{"id":1}"#, r#"{"id":2}"#, r#"{"id":3}"#, "{}"] {
        assert_eq!(all.line().await, expected);
    }
}

#[tokio::test]
async fn a_count_ends_after_so_many() {
    let world = World::new().await;
    let two = world.subscriber(&["events", "--count", "2"]).await;
    for number in 1..=3 {
        world.prints(&["publish", "events", &number.to_string()]).await;
    }
    let done = two.end().await;
    assert_eq!(done.fine(), "1\n2\n");
}

#[tokio::test]
async fn members_of_a_queue_share_and_others_hear_all() {
    let world = World::new().await;
    let (tell, mut told) = mpsc::channel(100);
    let mut members = JoinSet::new();
    for member in 0..2 {
        let mut program = world.subscriber(&["jobs", "--queue=workers"]).await;
        let tell = tell.clone();
        members.spawn(async move {
            loop {
                tell.send((member, program.line().await)).await.unwrap();
            }
        });
    }
    let all = world.subscriber(&["jobs", "--count=40"]).await;
    let publisher = world.client();
    for number in 0..40 {
        publisher.publish("jobs", &number).await.unwrap();
    }
    let all = lines(all).await;
    assert_eq!(all, (0..40).map(|number| number.to_string()).collect::<Vec<_>>());
    let (mut shared, mut heard) = (Vec::new(), [0; 2]);
    while shared.len() < all.len() {
        let (member, line): (usize, _) = timeout(LIMIT, told.recv()).await.unwrap().unwrap();
        heard[member] += 1;
        shared.push(line);
    }
    assert!(heard.iter().all(|heard| *heard > 0), "a member of two heard none of 40: {heard:?}");
    shared.sort_by_key(|line| line.parse::<u32>().unwrap());
    assert_eq!(shared, all);
}

#[tokio::test]
async fn a_wildcard_hears_all_topics_that_it_matches() {
    let world = World::new().await;
    let any = world.subscriber(&["orders.*.done", "--json", "--count=2"]).await;
    let deep = world.subscriber(&["orders.>", "--count=3"]).await;
    for topic in ["orders.1.done", "orders.1.begun", "orders.2.done"] {
        world.prints(&["publish", topic, &format!("\"{topic}\"")]).await;
    }
    let heard = lines(any).await;
    let topics: Vec<_> = heard
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["topic"].clone())
        .collect();
    assert_eq!(topics, ["orders.1.done", "orders.2.done"]);
    assert_eq!(lines(deep).await, ["\"orders.1.done\"", "\"orders.1.begun\"", "\"orders.2.done\""]);
}

#[tokio::test]
async fn as_json_an_event_has_its_topic_its_metadata_and_its_body_whatever_that_is() {
    let world = World::new().await;
    let mut events = world.subscriber(&["events", "--json"]).await;
    world
        .prints(&["publish", "events", "{\"b\":1.10,\"a\":2}", "-m", "tenant=green", "-mnote=a=b"])
        .await;
    let line = events.line().await;
    assert!(line.contains(r#""body":{"b":1.10,"a":2}"#), "{line}");
    let event: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(event["topic"], "events");
    let header = event["header"].as_object().unwrap();
    assert_eq!((&header["tenant"], &header["note"]), (&json!("green"), &json!("a=b")));
    assert_eq!(header["Content-Type"], "application/json");
    let text = ["publish", "events", "no { JSON", "--raw", "--content-type=text/plain"];
    world.prints(&text).await;
    let event = events.json().await;
    assert_eq!(
        (&event["text"], &event["header"]["Content-Type"]),
        (&json!("no { JSON"), &json!("text/plain"))
    );
    let bytes = world.micro(&[
        "publish",
        "events",
        "-",
        "--raw",
        "--content-type=application/octet-stream",
    ]);
    bytes.input([0, 255, 10]).run().await.fine();
    assert_eq!(events.json().await["base64"], "AP8K");
}

#[tokio::test]
async fn a_text_that_is_no_json_is_printed_as_it_is() {
    let world = World::new().await;
    let mut events = world.subscriber(&["events"]).await;
    world.prints(&["publish", "events", "no { JSON", "--raw", "--content-type=text/plain"]).await;
    assert_eq!(events.line().await, "no { JSON");
}

#[tokio::test]
async fn raw_bodies_are_printed_one_after_the_other() {
    let world = World::new().await;
    let raw = world.subscriber(&["events", "--raw", "--count=2"]).await;
    for body in ["{ \"a\" : 1 }", "\n\tb"] {
        world.prints(&["publish", "events", body, "--raw"]).await;
    }
    assert_eq!(raw.end().await.fine(), "{ \"a\" : 1 }\n\tb");
}

/// All lines up to its end, which is a good one.
async fn lines(program: Program) -> Vec<String> {
    program.end().await.fine().lines().map(str::to_owned).collect()
}
