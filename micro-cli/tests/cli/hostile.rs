//! What others register and send steers no terminal.

use std::collections::BTreeMap;

use micro::nats::{Nats, NatsRegistry};
use micro::registry::{Endpoint, Node, RegisterOptions, Registry, Service, Value};
use micro::{Context, Error, Server};

use crate::world::World;

/// Clears the screen, renames the window, and in one character begins a command.
const ESCAPES: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{7f}";

/// A service whose every text has [`ESCAPES`], for as long as what is given back lives.
pub(crate) async fn register(world: &World) -> NatsRegistry {
    let bad = |text: &str| format!("{text}{ESCAPES}");
    let metadata = || BTreeMap::from([(bad("key"), bad("value"))]);
    let field = Value { name: bad("field"), kind: bad("string"), values: vec![] };
    let kind = Value { name: bad("Req"), kind: bad("Req"), values: vec![field] };
    let mut endpoint = Endpoint::new(bad("Hostile.Call"));
    endpoint.request = Some(kind.clone());
    endpoint.response = Some(kind);
    endpoint.metadata = metadata().into_iter().collect();
    let mut node = Node::new(bad("hostile-1"), bad("hostile.1"));
    node.metadata = metadata().into_iter().collect();
    let mut service = Service::new("hostile", bad("1.0"));
    service.metadata = metadata().into_iter().collect();
    service.endpoints = vec![endpoint];
    service.nodes = vec![node];
    let registry = NatsRegistry::with(&Nats::new([world.nats.address()]).unwrap());
    registry.register(&service, RegisterOptions::default()).await.unwrap();
    registry
}

/// It says nothing that a terminal obeys.
#[track_caller]
pub(crate) fn is_harmless(text: &str) {
    let steers = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!text.contains(steers), "{:?}", text.replace('\n', " | "));
}

#[tokio::test]
async fn names_of_others_are_shown_with_their_control_characters_escaped() {
    let world = World::new().await;
    let _registry = register(&world).await;
    for words in [&["services"][..], &["describe", "hostile"]] {
        let printed = world.prints(words).await;
        assert!(printed.contains("hostile"), "{printed}");
        is_harmless(&printed);
    }
    let done = world.micro(&["health", "hostile", "--timeout=100ms"]).run().await;
    assert!(done.stdout.starts_with("hostile-1"), "{done:?}");
    is_harmless(&done.stdout);
    is_harmless(&done.stderr);
    let mut watch = world.micro(&["watch"]).start();
    let line = watch.line().await;
    assert!(line.contains("hostile-1"), "{line}");
    is_harmless(&line);
}

#[tokio::test]
async fn hints_and_errors_are_harmless_too() {
    let world = World::new().await;
    let _registry = register(&world).await;
    let lines: [&[&str]; 3] = [
        &["call", "hostile", "Hostile.Cal", "{}", "--timeout=1s"],
        &["call", "hostile", &format!("Hostile.Call{ESCAPES}"), "{\"x\":1}"],
        &["describe", "hostil"],
    ];
    for words in lines {
        let done = world.micro(words).run().await;
        assert_ne!(done.code(), Some(0));
        is_harmless(&done.stderr);
        assert_eq!(done.stdout, "");
    }
}

#[tokio::test]
async fn the_error_of_a_handler_is_a_line_of_json_whatever_it_says() {
    let world = World::new().await;
    let server = Server::new().handler("Hostile.Call", async |_: Context, _: serde_json::Value| {
        Err::<(), _>(Error::with_code(418, format!("a\nb{ESCAPES}")).with_id(ESCAPES))
    });
    let _hostile = world.serve("hostile", "1", server).await;
    let done = world.micro(&["call", "hostile", "Hostile.Call"]).run().await;
    let (error, hints) = done.failed();
    assert_eq!((&error["detail"], hints.len()), (&format!("a\nb{ESCAPES}").into(), 0));
    is_harmless(&done.stderr);
}
