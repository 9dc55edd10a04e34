//! A node that answers the registry later than the others, and in time.

use std::time::Duration;

use serde_json::{Value, json};

use crate::program::Done;
use crate::registrant::Registrant;
use crate::world::World;

/// Far later than the others, and far sooner than the 100 ms that a query has.
const LATE: Duration = Duration::from_millis(30);

/// How often one looks: on a busy machine late may be too late.
const TRIES: usize = 4;

/// `echo-1` answers at once, `echo-late` does not; both are at the same address.
async fn with_late_node() -> (World, micro::Running, Registrant) {
    let (world, echo) = World::with_echo().await;
    let node =
        json!({ "id": "echo-late", "address": "echo.1", "metadata": { "protocol": "mucp" } });
    let service = json!({ "name": "echo", "version": "latest", "metadata": null, "endpoints": null,
        "nodes": [node] });
    let late = Registrant::late(&world, &service, LATE).await;
    (world, echo, late)
}

/// The first run that shows it, or the last.
async fn run(world: &World, words: &[&str]) -> Done {
    let mut done = world.micro(words).run().await;
    for _ in 1..TRIES {
        if done.stdout.contains("echo-late") {
            break;
        }
        done = world.micro(words).run().await;
    }
    done
}

#[tokio::test]
async fn describe_shows_it() {
    let (world, _echo, _late) = with_late_node().await;
    let tree = run(&world, &["describe", "echo"]).await.fine();
    assert!(tree.contains("echo-1") && tree.contains("echo-late"), "{tree}");
    let told: Value =
        serde_json::from_str(&run(&world, &["describe", "echo", "--json"]).await.fine()).unwrap();
    let nodes = told[0]["nodes"].as_array().unwrap().iter();
    let mut ids: Vec<_> = nodes.map(|node| node["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["echo-1", "echo-late"]);
}

#[tokio::test]
async fn health_asks_it() {
    let (world, _echo, _late) = with_late_node().await;
    let done = run(&world, &["health", "echo"]).await;
    let printed = done.fine_with("2 of 2 nodes of echo are well\n");
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!((lines[0][0], lines[0][1]), ("echo-1", "ok"));
    assert_eq!((lines[1][0], lines[1][1]), ("echo-late", "ok"));
}
