//! What others register may be as large as a message: it is shown in time, and not a thousand times as large.

use serde_json::{Map, Value, json};

use crate::hostile::is_harmless;
use crate::program::Done;
use crate::registrant::Registrant;
use crate::world::World;

/// The most that anything of a message of 1 MiB is shown as.
const MOST: usize = 10_000_000;

/// Looks at it in each way, and gives what `describe` printed.
async fn looked_at(service: &Value) -> String {
    let world = World::new().await;
    let _hostile = Registrant::start(&world, service).await;
    assert_eq!(bounded(world.micro(&["services"]).run().await).fine(), "hostile\n");
    // Nobody is at its address.
    let lines: [&[&str]; 3] = [
        &["health", "hostile", "--timeout=100ms"],
        &["call", "hostile", "Hostile.Call", "{}", "--timeout=1s"],
        &["call", "hostile", "Hostile.Call", r#"{"zzzzzzzzzzzz":1}"#, "--timeout=1s"],
    ];
    for words in lines {
        let done = bounded(world.micro(words).run().await);
        assert_eq!(done.code(), Some(1), "{words:?} {}", start(&done.stderr));
        is_harmless(&done.stderr);
    }
    let json = bounded(world.micro(&["describe", "hostile", "--json"]).run().await).fine();
    let told: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(told[0]["endpoints"][0]["name"], "Hostile.Call");
    let tree = bounded(world.micro(&["describe", "hostile"]).run().await).fine();
    is_harmless(&tree);
    tree
}

/// It ended by itself, and did not say too much.
#[track_caller]
fn bounded(done: Done) -> Done {
    assert!(done.code().is_some(), "a signal ended it: {}", start(&done.stderr));
    assert!(!done.stderr.contains("panicked"), "{}", start(&done.stderr));
    let (out, err) = (done.stdout.len(), done.stderr.len());
    assert!(out < MOST && err < MOST, "{out} bytes and {err} of errors");
    done
}

fn start(text: &str) -> &str {
    text.get(..1000).unwrap_or(text)
}

/// A service of one node and one endpoint.
fn hostile(kind: Value, of_service: Value, of_node: Value, of_endpoint: Value) -> Value {
    let node = json!({ "id": "hostile-1", "address": "hostile.1", "metadata": of_node });
    let endpoint = json!({ "name": "Hostile.Call", "request": kind, "response": kind,
        "metadata": of_endpoint });
    json!({ "name": "hostile", "version": "1", "metadata": of_service, "endpoints": [endpoint],
        "nodes": [node] })
}

/// One key that is long, and many that are not.
fn metadata(long: usize, many: usize) -> Value {
    let short = (0..many).map(|number| (format!("k{number}"), "v".into()));
    short.chain([("k".repeat(long), "v".into())]).collect::<Map<_, _>>().into()
}

fn value(kind: &str, fields: Vec<Value>) -> Value {
    json!({ "name": "x", "type": kind, "values": fields })
}

#[tokio::test]
async fn a_key_of_metadata_that_is_very_long_is_shown_cut_short() {
    for at in 0..3 {
        let mut of = [json!({}), json!({}), json!({})];
        of[at] = metadata(70_000, 1);
        let [of_service, of_node, of_endpoint] = of;
        let service = hostile(value("Req", vec![]), of_service, of_node, of_endpoint);
        let tree = looked_at(&service).await;
        assert!(tree.contains("kkk") && tree.contains("k0"), "{}", start(&tree));
        assert!(tree.len() < 10_000, "{at}: {} bytes", tree.len());
    }
}

#[tokio::test]
async fn a_long_key_among_many_does_not_become_as_many_spaces_on_each_line() {
    for at in 0..3 {
        let mut of = [json!({}), json!({}), json!({})];
        of[at] = metadata(60_000, 40_000);
        let [of_service, of_node, of_endpoint] = of;
        let service = hostile(value("Req", vec![]), of_service, of_node, of_endpoint);
        let tree = looked_at(&service).await;
        assert!(tree.contains("k39999"), "{at}: {}", start(&tree));
    }
}

#[tokio::test]
async fn a_long_field_among_many_does_not_either() {
    let field = |name: String| json!({ "name": name, "type": "string", "values": null });
    let short = (0..8000).map(|number| field(format!("k{number}")));
    let fields = short.chain([field("k".repeat(60_000))]).collect();
    let tree = looked_at(&hostile(value("Req", fields), json!({}), json!({}), json!({}))).await;
    assert!(tree.contains("k7999"), "{}", start(&tree));
}

#[tokio::test]
async fn marks_of_a_type_are_not_followed_for_ever() {
    for mark in ["*", "[]", "map[", "map[]", "[*"] {
        let kind = mark.repeat(200_000 / mark.len());
        let fields = vec![value(&kind, vec![value("string", vec![])]), value("string", vec![])];
        let service = hostile(value(&kind, fields), json!({}), json!({}), json!({}));
        let tree = looked_at(&service).await;
        assert!(tree.contains("Hostile.Call"), "{mark}: {}", start(&tree));
    }
}
