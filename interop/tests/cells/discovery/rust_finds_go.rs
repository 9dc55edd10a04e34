//! Rust looks for Go.

use std::collections::BTreeSet;
use std::time::Duration;

use micro::registry::{Change, Service, ServiceName, WatchOptions, Watcher};
use micro::{Client, ErrorKind};
use micro_interop::{Command, Generation, Helper, World, limited};

/// A client whose queries collect answers for their whole time, however busy the machine is.
fn patient(world: &World) -> Client {
    let time = Duration::from_millis(300);
    let registry =
        micro::nats::registry::Options::default().with_query_limit(time).with_quiet(time);
    world.client_with(micro::ClientOptions::default(), registry)
}

fn name(text: &str) -> ServiceName {
    text.parse().unwrap()
}

pub(crate) async fn one_query_tells_metadata_version_and_endpoints_whole(generation: Generation) {
    let world = World::start().await;
    let args = [
        "--version",
        "1.2.3",
        "--metadata",
        "zone=north",
        "--metadata",
        "Odd Key=Grüße ✓",
        "--topic",
        "news",
    ];
    let go = world.go_with(generation, "described", &args).await;
    let client = patient(&world);
    let services = client.registry().get(&name("described")).await.unwrap();
    assert_eq!(services.len(), 1, "{services:?}");
    let service = &services[0];
    assert_eq!((&*service.name, &*service.version), ("described", "1.2.3"));
    assert_eq!(service.nodes.len(), 1, "{services:?}");
    let node = &service.nodes[0];
    assert_eq!((&node.id, &node.address), (&go.node, &go.address));
    let said =
        [("zone", "north"), ("Odd Key", "Grüße ✓"), ("transport", "nats"), ("protocol", "mucp")];
    for (key, value) in said {
        assert_eq!(node.metadata.get(key).map(String::as_str), Some(value), "{key}: {node:?}");
    }
    let streams = |service: &Service| {
        let streams = service
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.name.starts_with("Echo."))
            .filter(|endpoint| endpoint.metadata.get("stream").is_some_and(|s| s == "true"));
        streams.map(|endpoint| endpoint.name.clone()).collect::<BTreeSet<_>>()
    };
    assert_eq!(streams(service), ["Echo.Chat", "Echo.Count", "Echo.Sum"].map(str::to_owned).into());
    let subscriber = service
        .endpoints
        .iter()
        .find(|endpoint| endpoint.metadata.contains_key("subscriber"))
        .unwrap();
    assert_eq!(subscriber.metadata["topic"], "news");
    let missing = client.registry().get(&name("nobody")).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

pub(crate) async fn the_types_of_a_go_service_are_shown(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let services = patient(&world).registry().get(&name("echo")).await.unwrap();
    let call = services[0].endpoints.iter().find(|endpoint| endpoint.name == "Echo.Call").unwrap();
    let (request, response) = (call.request.as_ref().unwrap(), call.response.as_ref().unwrap());
    assert_eq!((&*request.kind, &*response.kind), ("Req", "Rsp"));
    let field = |wanted: &str| {
        request.values.iter().find(|value| value.name == wanted).map(|value| &*value.kind)
    };
    assert_eq!((field("name"), field("millis")), (Some("string"), Some("int32")), "{request:?}");
}

pub(crate) async fn a_list_names_each_service_and_version(generation: Generation) {
    let world = World::start().await;
    let one = world.go_with(generation, "echo", &["--version", "1"]).await;
    let two = world.go_with(generation, "echo", &["--version", "2"]).await;
    let _helper = Helper::start(&world, "helper").await;
    let list = patient(&world).registry().list().await.unwrap();
    let known: BTreeSet<_> = list.iter().map(|s| (&*s.name, &*s.version, s.nodes.len())).collect();
    assert_eq!(known, [("echo", "1", 1), ("echo", "2", 1), ("helper", "latest", 1)].into());
    drop((one, two));
}

pub(crate) async fn a_watch_tells_of_coming_and_going(generation: Generation) {
    let world = World::start().await;
    let client = patient(&world);
    let options = WatchOptions::default().with_name(name("echo"));
    let mut watcher = client.registry().watch(options).await.unwrap();
    assert_eq!(next(&mut watcher).await, Change::Synced);
    let go = world.go(generation, "echo").await;
    let Change::Added(added) = next(&mut watcher).await else { panic!("it is not added") };
    assert_eq!(added.nodes[0].id, go.node);
    go.process.stop().await;
    loop {
        match next(&mut watcher).await {
            Change::Updated(_) => {}
            Change::Removed(removed) => return assert_eq!(removed.nodes[0].id, go.node),
            other => panic!("{other:?}"),
        }
    }
}

async fn next(watcher: &mut Watcher) -> Change {
    limited("a change", watcher.next()).await.expect("the registry is open")
}

/// Two generations of go-micro ask on different subjects.
pub(crate) async fn one_rust_process_sees_both_generations_which_do_not_see_each_other(
    generation: Generation,
) {
    let world = World::start().await;
    let (one, other) = (world.go(generation, "echo"), world.go(generation.other(), "echo"));
    let (one, other) = tokio::join!(one, other);
    let services = patient(&world).registry().get(&name("echo")).await.unwrap();
    let nodes: BTreeSet<&str> =
        services.iter().flat_map(|s| &s.nodes).map(|node| &*node.id).collect();
    assert_eq!(nodes, [&*one.node, &*other.node].into());
    assert_eq!(services.iter().map(|service| service.nodes.len()).sum::<usize>(), 2);

    let go = world.go_client(generation).await;
    let seen: Vec<Service> = go.ask(Command::new("get").with("service", "echo")).await.unwrap();
    let seen: Vec<&str> =
        seen.iter().flat_map(|service| &service.nodes).map(|node| &*node.id).collect();
    assert_eq!(seen, [&*one.node]);
}

pub(crate) async fn a_node_of_ours_seen_on_both_subjects_counts_once(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let _helper = Helper::start(&world, "helper").await;
    let client = patient(&world);
    let mut watcher = client.registry().watch(WatchOptions::default()).await.unwrap();
    let mut nodes = Vec::new();
    loop {
        match next(&mut watcher).await {
            Change::Added(service) => nodes.extend(service.nodes.clone()),
            Change::Synced => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    let list = client.registry().list().await.unwrap();
    assert_eq!(list.iter().map(|service| service.nodes.len()).sum::<usize>(), 2, "{list:?}");
}
