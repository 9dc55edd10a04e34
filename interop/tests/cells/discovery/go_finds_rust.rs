//! Go looks for Rust.

use std::collections::{BTreeMap, BTreeSet};

use micro::nats::NatsRegistry;
use micro::registry::{Node, RegisterOptions, Registry, Service};
use micro_interop::{Command, Generation, GoClient, Helper, World, eventually, named};
use serde_json::Value;

async fn get(go: &GoClient, name: &str) -> Vec<Service> {
    go.ask::<Option<Vec<Service>>>(Command::new("get").with("service", name))
        .await
        .unwrap()
        .unwrap_or_default()
}

pub(crate) async fn one_query_tells_metadata_version_and_endpoints_whole(generation: Generation) {
    let world = World::start().await;
    let go = world.hurried_go_client(generation).await;
    let service = world
        .service("described")
        .version("1.2.3")
        .metadata("zone", "north")
        .metadata("Odd Key", "Grüße ✓")
        .raw_handler("Described.First", async |_, body| Ok(body))
        .raw_handler("Described.Second", async |_, body| Ok(body))
        .subscriber("described.events", async |_, (): ()| Ok(()));
    let running = service.build().unwrap().start().await.unwrap();

    let services = get(&go, "described").await;
    assert_eq!(services.len(), 1, "{services:?}");
    let service = &services[0];
    assert_eq!((&*service.name, &*service.version), ("described", "1.2.3"));
    assert_eq!(service.nodes.len(), 1, "{services:?}");
    let node = &service.nodes[0];
    assert_eq!((&node.id, &node.address), (&running.node().id, &running.node().address));
    let said = [
        ("zone", "north"),
        ("Odd Key", "Grüße ✓"),
        ("registry", "nats"),
        ("transport", "nats"),
        ("broker", "nats"),
        ("server", "mucp"),
        // Without it a go-micro client would speak JSON-RPC.
        ("protocol", "mucp"),
    ];
    for (key, value) in said {
        assert_eq!(node.metadata.get(key).map(String::as_str), Some(value), "{key}: {node:?}");
    }
    let names: BTreeSet<&str> = service.endpoints.iter().map(|endpoint| &*endpoint.name).collect();
    assert!(names.is_superset(&["Described.First", "Described.Second"].into()), "{names:?}");
    let subscriber = service
        .endpoints
        .iter()
        .find(|endpoint| endpoint.metadata.contains_key("subscriber"))
        .unwrap();
    let expected = [("subscriber", "true"), ("topic", "described.events")];
    let expected: BTreeMap<String, String> =
        expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    assert_eq!(subscriber.metadata, expected);
    running.stop().await.unwrap();
}

pub(crate) async fn the_types_of_a_rust_service_are_shown_where_it_gives_them(
    generation: Generation,
) {
    let world = World::start().await;
    let _echo = world.echo("echo").await;
    let _helper = Helper::start(&world, "helper").await;
    let go = world.hurried_go_client(generation).await;
    let services = get(&go, "echo").await;
    let call = services[0].endpoints.iter().find(|endpoint| endpoint.name == "Echo.Call").unwrap();
    let (request, response) = (call.request.as_ref().unwrap(), call.response.as_ref().unwrap());
    assert_eq!((&*request.kind, &*response.kind), ("Req", "Rsp"));
    let field = |wanted: &str| {
        request.values.iter().find(|value| value.name == wanted).map(|value| &*value.kind)
    };
    assert_eq!((field("name"), field("millis")), (Some("string"), Some("int32")), "{request:?}");

    let services = get(&go, "helper").await;
    let run = services[0].endpoints.iter().find(|endpoint| endpoint.name == "Peer.Run").unwrap();
    assert_eq!((&run.request, &run.response), (&None, &None));
}

/// go-micro does not look whether it has a node already: a second answer would be a second node.
pub(crate) async fn a_node_answers_one_query_once(generation: Generation) {
    let world = World::start().await;
    let _helper = Helper::start(&world, "helper").await;
    let _echo = world.echo("echo").await;
    let go = world.hurried_go_client(generation).await;
    for name in ["helper", "echo"] {
        for _ in 0..3 {
            let services = get(&go, name).await;
            assert_eq!(
                services.iter().map(|service| service.nodes.len()).sum::<usize>(),
                1,
                "{services:?}"
            );
        }
    }
    assert_eq!(get(&go, "nobody").await, []);
}

pub(crate) async fn a_list_names_each_service_and_version(generation: Generation) {
    let world = World::start().await;
    let go = world.hurried_go_client(generation).await;
    let first = Helper::start(&world, "first").await;
    let second = Helper::start(&world, "second").await;
    let services: Vec<Service> = go.ask(Command::new("list")).await.unwrap();
    let names: BTreeSet<&str> = services.iter().map(|service| &*service.name).collect();
    // go-micro keeps one version of each name, and in the older generations not even that (v3's plugin: nats.go:363).
    assert_eq!((services.len(), names), (2, ["first", "second"].into()), "{services:?}");
    drop((first, second));
}

pub(crate) async fn a_watch_tells_of_coming_and_going(generation: Generation) {
    let world = World::start().await;
    let go = world.hurried_go_client(generation).await;
    go.execute(Command::new("watch").with("name", "w").with("service", "helper"))
        .await
        .result
        .unwrap();
    let helper = Helper::start(&world, "helper").await;
    let _other = Helper::start(&world, "other").await;
    let id = helper.running.node().id.clone();
    let told = go.told("watch").await;
    assert_eq!(
        (&told["action"], &told["service"]["name"]),
        (&"create".into(), &"helper".into()),
        "{told}"
    );
    assert_eq!(told["service"]["nodes"][0]["id"], *id, "{told}");
    helper.running.stop().await.unwrap();
    let told = go.told("watch").await;
    assert_eq!(
        (&told["action"], &told["service"]["nodes"][0]["id"]),
        (&"delete".into(), &id.into()),
        "{told}"
    );
    assert!(go.is_alive().await);
}

pub(crate) async fn one_rust_service_is_found_by_both_generations(generation: Generation) {
    let world = World::start().await;
    let helper = Helper::start(&world, "helper").await;
    let (one, other) = tokio::join!(
        world.hurried_go_client(generation),
        world.hurried_go_client(generation.other())
    );
    for go in [one, other] {
        let services = get(&go, "helper").await;
        assert_eq!(services[0].nodes[0].id, helper.running.node().id);
    }
}

pub(crate) async fn a_go_client_chooses_among_all_rust_nodes(generation: Generation) {
    let world = World::start().await;
    let mut nodes = BTreeSet::new();
    let mut helpers = Vec::new();
    for _ in 0..3 {
        let helper = Helper::start(&world, "helper").await;
        nodes.insert(helper.running.node().id.clone());
        helpers.push(helper);
    }
    let go = world.hurried_go_client(generation).await;
    let chosen = async |go: &GoClient| {
        let chosen: Value = go
            .ask(Command::new("select").with("service", "helper").with("count", 100))
            .await
            .unwrap();
        chosen.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>()
    };
    assert_eq!(chosen(&go).await, nodes);
    // One that goes is chosen no more: go-micro's cache hears of it.
    let gone = helpers.pop().unwrap();
    nodes.remove(&gone.running.node().id);
    gone.running.stop().await.unwrap();
    eventually("the two that are left", async || (chosen(&go).await == nodes).then_some(())).await;
}

/// A node that does not say it gets JSON-RPC, which nobody here speaks.
pub(crate) async fn a_node_without_its_protocol_is_spoken_to_in_another_one(
    generation: Generation,
) {
    let world = World::start().await;
    let echo = world.echo("echo").await;
    let go = world.go_client(generation).await;
    let registry = NatsRegistry::with(&world.connection());
    let call = |name: &str| Command::call(name, "Echo.Call").body(&named("Ann"));
    for (name, protocol) in [("with", Some("mucp")), ("without", None)] {
        let mut node =
            Node::new(format!("{name}-1"), &echo.address).with_metadata("transport", "nats");
        if let Some(protocol) = protocol {
            node = node.with_metadata("protocol", protocol);
        }
        let service = Service::new(name, "1").with_node(node);
        registry.register(&service, RegisterOptions::default()).await.unwrap();
        let recorder = world.record(&echo.address).await;
        let outcome = go.execute(call(name)).await.result;
        let sent = recorder.end().await[0].json().unwrap();
        let content_type = sent["Header"]["Content-Type"].as_str().unwrap().to_owned();
        match protocol {
            Some(_) => {
                assert_eq!(outcome.unwrap()["greeting"], "Hello Ann");
                assert_eq!(content_type, "application/json");
            }
            None => {
                assert_eq!(content_type, "application/json-rpc");
                // Ours says 415, which JSON-RPC cannot read.
                assert_eq!(outcome.unwrap_err().id, "go.micro.client.codec");
            }
        }
    }
}
