//! What there is, and how it is.

use std::collections::BTreeSet;

use micro_interop::{Generation, Process, World, eventually};
use serde_json::{Value, json};

use super::Fleet;

const ENDPOINTS: [&str; 13] = [
    "Echo.Blob",
    "Echo.Call",
    "Echo.Chat",
    "Echo.Count",
    "Echo.Fail",
    "Echo.Meta",
    "Echo.Panic",
    "Echo.Plain",
    "Echo.Proto",
    "Echo.Size",
    "Echo.Slow",
    "Echo.Sum",
    "Echo.Who",
];

pub(crate) async fn each_is_listed_with_its_node(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    let names: BTreeSet<String> = fleet.members().into_iter().map(|member| member.name).collect();
    let lines: String = names.iter().map(|name| format!("{name}\n")).collect();
    // A list takes go-micro's 100 ms, in which a busy machine may not be heard.
    eventually("a list of all", async || {
        (fleet.shell.prints(&["services"]).await == lines).then_some(())
    })
    .await;
    let mut expected: Vec<(String, Vec<String>)> =
        fleet.members().into_iter().map(|member| (member.name, vec![member.node])).collect();
    expected.sort();
    eventually("a list of all as JSON", async || {
        let listed = fleet.shell.json(&["services", "--json"], "").await;
        let listed: Vec<_> = listed[0].as_array().unwrap().iter().map(of_service).collect();
        (listed == expected).then_some(())
    })
    .await;
}

/// The name, and the nodes.
fn of_service(service: &Value) -> (String, Vec<String>) {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let nodes = service["nodes"].as_array().unwrap().iter();
    (text(&service["name"]), nodes.map(|node| text(&node["id"])).collect())
}

pub(crate) async fn each_is_described_with_its_nodes_endpoints_and_types(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    for member in fleet.members() {
        let json = fleet.shell.json(&["describe", &member.name, "--json"], "").await;
        let [service] = &json[0].as_array().unwrap()[..] else { panic!("{json:?}") };
        assert_eq!(of_service(service), (member.name.clone(), vec![member.node.clone()]));
        assert_eq!(service["nodes"][0]["address"], *member.address);
        let endpoints = service["endpoints"].as_array().unwrap();
        let endpoint = |name: &str| endpoints.iter().find(|endpoint| endpoint["name"] == name);
        for name in ENDPOINTS {
            let stream = ["Echo.Chat", "Echo.Count", "Echo.Sum"].contains(&name);
            let found = endpoint(name).unwrap_or_else(|| panic!("no {name}: {service}"));
            assert_eq!(found["metadata"]["stream"] == "true", stream, "{found}");
        }
        let call = endpoint("Echo.Call").unwrap();
        assert_eq!(
            (&call["request"]["type"], &call["response"]["type"]),
            (&json!("Req"), &json!("Rsp"))
        );

        let tree = fleet.shell.prints(&["describe", &member.name]).await;
        assert_eq!(tree.lines().next(), Some(&*member.name), "{tree}");
        // Whatever stands between, in whatever columns.
        let tree: Vec<String> = tree.lines().map(words).collect();
        let (lease, called) = match member.is_go {
            true => ("lease none told", "(Context) -> Stream, stream"),
            false => ("lease 6s", "(Req) -> Rsp, stream"),
        };
        let (node, address) = (member.node, format!("address {}", member.address));
        let chat = format!("Echo.Chat {called}");
        for line in [
            "version latest",
            &node,
            &address,
            lease,
            "dialects go-micro",
            "protocol mucp",
            "Echo.Call (Req) -> Rsp",
            &chat,
            "subscribes to",
            "events",
            "types",
            "Req",
            "name string",
            "millis int32",
        ] {
            assert!(tree.iter().any(|known| known == line), "no \"{line}\": {tree:#?}");
        }
        // v2 and v3 tell of the insides of a protobuf message too.
        assert!(!tree.iter().any(|line| line.contains("unknownFields")), "{tree:#?}");
    }
}

/// Without what a tree is drawn with.
fn words(line: &str) -> String {
    let words: Vec<&str> =
        line.split([' ', '│', '├', '└', '─']).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

pub(crate) async fn a_watch_sees_each_come_and_go(generation: Generation) {
    let world = World::start().await;
    let shell = world.shell();
    let mut json = shell.start(&["watch", "--json"]);
    let text = shell.start(&["watch"]);
    json.logs("watching; nodes now: 0").await;
    text.logs("watching; nodes now: 0").await;
    for name in ["go", "other", "echo"] {
        let (process, node) = match name {
            "go" => started(world.go(generation, name).await),
            "other" => started(world.go(generation.other(), name).await),
            _ => {
                let echo = world.echo(name).await;
                (echo.process, echo.node)
            }
        };
        let added = json.line_with("change").await;
        assert_eq!((&added["change"], &added["service"]["name"]), (&json!("added"), &json!(name)));
        assert_eq!(added["service"]["nodes"][0]["id"], *node, "{added}");
        text.logs(&format!("+ {name} latest {node} at ")).await;
        process.stop().await;
        loop {
            let line = json.line_with("change").await;
            assert_eq!(line["service"]["name"], name, "{line}");
            match line["change"].as_str().unwrap() {
                // A second announcement says more, or less, than the first.
                "updated" => {}
                change => {
                    assert_eq!(change, "removed", "{line}");
                    break;
                }
            }
        }
        text.logs(&format!("- {name} latest {node} at ")).await;
    }
    assert_eq!((json.interrupt().await, text.interrupt().await), (0, 0));
}

fn started(go: micro_interop::GoService) -> (Process, String) {
    (go.process, go.node)
}

/// A peer is a bare server of go-micro's, which has no debug handler unless it is told to.
pub(crate) async fn each_is_asked_for_its_health(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    for member in fleet.members() {
        let health = fleet.shell.json(&["health", &member.name, "--json"], "").await;
        let [health] = &health[..] else { panic!("{health:?}") };
        let state = if member.is_go { "answers, no health endpoint" } else { "ok" };
        assert_eq!((&health["node"], &health["state"]), (&json!(member.node), &json!(state)));
        assert_eq!((&health["well"], &health["version"]), (&json!(true), &json!("latest")));
        let all = format!("1 of 1 nodes of {} are well\n", member.name);
        let text = fleet.shell.prints_and_says(&["health", &member.name], &all).await;
        assert!(text.starts_with(&format!("{}\t{state}\t", member.node)), "{text}");
    }
    // The packages of v6 that the peer is built from have none.
    if generation != Generation::V6 {
        let with = fleet.world.go_with(generation, "debugged", &["--debug"]).await;
        let health = fleet.shell.json(&["health", "debugged", "--json"], "").await;
        assert_eq!((&health[0]["node"], &health[0]["state"]), (&json!(with.node), &json!("ok")));
    }
}
