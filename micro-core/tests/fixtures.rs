//! What real go-micro sends to the registry and as errors.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use micro_core::registry::Service;
use micro_core::{Error, ErrorKind};
use serde::Deserialize;
use serde_json::Value;

const REGISTRY: [(&str, &str); 3] = [
    ("v2", include_str!("fixtures/registry-v2.jsonl")),
    ("v3", include_str!("fixtures/registry-v3.jsonl")),
    ("v6", include_str!("fixtures/registry-v6.jsonl")),
];

const ERRORS: [(&str, &str); 3] = [
    ("v2", include_str!("fixtures/errors-v2.jsonl")),
    ("v3", include_str!("fixtures/errors-v3.jsonl")),
    ("v6", include_str!("fixtures/errors-v6.jsonl")),
];

#[derive(Deserialize)]
struct Recorded {
    exchange: String,
    body: String,
}

fn recorded(lines: &str) -> Vec<Recorded> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The JSON of the service in a message: an answer is one, any other message has one.
fn service_json(body: &str) -> Value {
    let body: Value = serde_json::from_str(body).unwrap();
    body.get("Service").unwrap_or(&body).clone()
}

fn services(lines: &str) -> Vec<(String, Value)> {
    recorded(lines).into_iter().map(|r| (r.exchange, service_json(&r.body))).collect()
}

/// Without what go-micro writes in any of four ways and reads as the same: a key that is missing,
/// `null`, an empty object or an empty list.
fn without_empties(json: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    match json {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| (key.clone(), without_empties(value)))
            .filter(|(_, value)| !is_empty(value))
            .collect(),
        Value::Array(list) => list.iter().map(without_empties).collect(),
        other => other.clone(),
    }
}

#[test]
fn each_service_is_read_and_written_again_field_by_field() {
    for (version, lines) in REGISTRY {
        let services = services(lines);
        assert_eq!(services.len(), 4, "{version}");
        for (exchange, json) in services {
            let service: Service = serde_json::from_value(json.clone()).unwrap();
            let ours = serde_json::to_value(&service).unwrap();
            assert_eq!(
                without_empties(&ours),
                without_empties(&json),
                "{exchange} of {version}: what is read is written"
            );
            let again: Service = serde_json::from_value(ours).unwrap();
            assert_eq!(again, service, "{exchange} of {version}");
        }
    }
}

#[test]
fn a_registration_says_who_is_where_and_what_can_be_called() {
    for (version, lines) in REGISTRY {
        let services: Vec<Service> = services(lines)
            .into_iter()
            .map(|(_, json)| serde_json::from_value(json).unwrap())
            .collect();
        let [registered, answered, asked, deregistered] = &services[..] else {
            panic!("four lines of {version}, not {}", services.len());
        };
        assert_eq!(answered, registered, "{version}");
        let name = registered.check().unwrap();
        assert_eq!((name.as_str(), &*registered.version), ("greeter", "latest"), "{version}");

        let [node] = &registered.nodes[..] else { panic!("one node of {version}") };
        assert!(node.id.starts_with("greeter-"), "{version}: {}", node.id);
        assert!(node.address.starts_with("_INBOX."), "{version}: {}", node.address);
        for (key, value) in [("transport", "nats"), ("protocol", "mucp"), ("server", "mucp")] {
            assert_eq!(node.metadata.get(key).map(String::as_str), Some(value), "{version} {key}");
        }
        let stream = registered.endpoints.iter().find(|e| e.name == "Greeter.Count").unwrap();
        assert_eq!(stream.metadata.get("stream").map(String::as_str), Some("true"), "{version}");
        let hello = registered.endpoints.iter().find(|e| e.name == "Greeter.Hello").unwrap();
        let fields = &hello.request.as_ref().unwrap().values;
        assert_eq!((&*fields[0].name, &*fields[0].kind), ("name", "string"), "{version}");
        let subscriber = registered.endpoints.iter().find(|e| e.metadata.contains_key("topic"));
        assert_eq!(subscriber.unwrap().metadata["topic"], "events", "{version}");

        assert_eq!((&*asked.name, asked.nodes.len()), ("greeter", 0), "{version}");
        assert_eq!(deregistered.nodes.len(), 1, "{version}");
        assert_eq!(deregistered.nodes[0].id, node.id, "{version}");
        assert!(deregistered.nodes[0].metadata.is_empty(), "{version}");
        assert!(deregistered.endpoints.is_empty(), "{version}");
    }
}

#[test]
fn each_error_goes_back_byte_for_byte() {
    for (version, lines) in ERRORS {
        let mut kinds = Vec::new();
        for recorded in recorded(lines) {
            let body: Value = serde_json::from_str(&recorded.body).unwrap();
            let text = body["Header"]["Micro-Error"].as_str().unwrap();
            let error = Error::from_wire(text);
            assert_eq!(error.to_wire(), text, "{} of {version}", recorded.exchange);
            assert!(text.contains(error.detail()), "{} of {version}", recorded.exchange);
            kinds.push((recorded.exchange, error.kind(), error.code()));
        }
        for (exchange, kind, code) in [
            ("error", ErrorKind::NotFound, 404),
            ("plain-error", ErrorKind::Other, 0),
            ("unknown-endpoint", ErrorKind::NotFound, 0),
        ] {
            assert!(kinds.contains(&(exchange.to_owned(), kind, code)), "{version}: {kinds:?}");
        }
    }
}
