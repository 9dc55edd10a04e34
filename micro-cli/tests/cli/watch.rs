//! `micro watch`.

use std::time::{Duration, Instant};

use micro::ServiceBuilder;

use crate::node::Node;
use crate::program::Program;
use crate::world::{World, service, start};

/// The next line without its time, which is checked.
async fn change(watch: &mut Program) -> String {
    let line = watch.line().await;
    let (time, change) = line.split_once(' ').unwrap();
    assert!(humantime_is(time), "{line}");
    change.to_owned()
}

/// `2026-01-02T03:04:05Z`
fn humantime_is(time: &str) -> bool {
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00Z"
}

fn greeter(world: &World, id: &str) -> ServiceBuilder {
    service(&world.nats.address(), "greeter", id).version("1.0.0")
}

#[tokio::test]
async fn nodes_are_told_as_they_are_there_come_change_and_go() {
    let (world, _echo) = World::with_echo().await;
    let mut watch = world.micro(&["watch"]).start();
    assert_eq!(change(&mut watch).await, "+ echo latest echo-1 at echo.1");
    assert_eq!(watch.says("watching").await, "watching; nodes now: 1");
    let first = start(greeter(&world, "1")).await;
    assert_eq!(change(&mut watch).await, "+ greeter 1.0.0 greeter-1 at greeter.1");
    let second = start(greeter(&world, "2")).await;
    assert_eq!(change(&mut watch).await, "+ greeter 1.0.0 greeter-2 at greeter.2");
    second.stop().await.unwrap();
    assert_eq!(change(&mut watch).await, "- greeter 1.0.0 greeter-2 at greeter.2");
    first.stop().await.unwrap();
    assert_eq!(change(&mut watch).await, "- greeter 1.0.0 greeter-1 at greeter.1");
    // The same node elsewhere.
    let moved = greeter(&world, "1").address("greeter.elsewhere");
    let _there = start(greeter(&world, "1")).await;
    assert_eq!(change(&mut watch).await, "+ greeter 1.0.0 greeter-1 at greeter.1");
    let _moved = start(moved).await;
    assert_eq!(change(&mut watch).await, "~ greeter 1.0.0 greeter-1 at greeter.elsewhere");
}

#[tokio::test]
async fn with_a_name_only_that_service_is_told_of() {
    let (world, _echo) = World::with_echo().await;
    let mut watch = world.micro(&["watch", "greeter"]).start();
    assert_eq!(watch.says("watching").await, "watching; nodes now: 0");
    let _other = world.echo("2").await;
    let _greeter = start(greeter(&world, "1")).await;
    assert_eq!(change(&mut watch).await, "+ greeter 1.0.0 greeter-1 at greeter.1");
}

#[tokio::test]
async fn as_json_a_change_is_a_line_with_the_service() {
    let (world, _echo) = World::with_echo().await;
    let mut watch = world.micro(&["watch", "--json"]).start();
    let added = watch.json().await;
    assert_eq!((&added["change"], &added["service"]["name"]), (&"added".into(), &"echo".into()));
    watch.says("watching").await;
    let greeter = start(greeter(&world, "1")).await;
    let added = watch.json().await;
    assert_eq!(added["change"], "added");
    assert_eq!(added["service"]["nodes"][0]["id"], "greeter-1");
    greeter.stop().await.unwrap();
    let removed = watch.json().await;
    assert_eq!(
        (&removed["change"], &removed["service"]["name"]),
        (&"removed".into(), &"greeter".into())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_is_gone_when_its_lease_ends() {
    let (world, _echo) = World::with_echo().await;
    let node = Node::start(&world, "killed").await;
    let mut watch = world.micro(&["watch", "echo"]).start();
    for _ in 0..2 {
        assert!(change(&mut watch).await.starts_with("+ echo latest echo-"));
    }
    node.kill().await;
    let since = Instant::now();
    assert_eq!(change(&mut watch).await, "- echo latest echo-killed at echo.killed");
    // A lease of six seconds, and a question; the rest is for a busy machine.
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}
