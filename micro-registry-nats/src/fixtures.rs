//! What real go-micro processes sent, against what this crate reads and writes.

use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::Service;
use serde_json::Value;

use crate::message::{
    Event, Ids, Question, Target, Told, decode_announcement, decode_answer, decode_query,
    encode_announcements, encode_answers, encode_farewell, encode_query,
};

const FILES: [&str; 3] = [
    include_str!("../tests/fixtures/go-micro-v6.jsonl"),
    include_str!("../tests/fixtures/go-micro-v3.jsonl"),
    include_str!("../tests/fixtures/go-micro-v2.jsonl"),
];

const LEASE: Duration = Duration::from_secs(6);

/// The bodies of one exchange, in order, of each version.
fn bodies(exchange: &str) -> Vec<Vec<String>> {
    let of_file = |file: &&str| {
        let lines = file.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = lines.filter(|line| line["exchange"] == exchange);
        found.map(|line| line["body"].as_str().unwrap().to_owned()).collect()
    };
    FILES.iter().map(of_file).collect()
}

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

/// What go-micro wrote, with the one thing that we write otherwise: where a map is empty but
/// there, go-micro writes `{}`; we write `null`, as it does for a map that is not there. To either
/// reader both are an empty map.
fn with_null_for_empty(mut value: Value) -> Value {
    match &mut value {
        Value::Object(map) if map.is_empty() => return Value::Null,
        Value::Array(list) if list.is_empty() => return Value::Null,
        Value::Object(map) => map.values_mut().for_each(|v| *v = with_null_for_empty(v.take())),
        Value::Array(list) => list.iter_mut().for_each(|v| *v = with_null_for_empty(v.take())),
        _ => {}
    }
    value
}

/// What we wrote, without what go-micro does not write: the lease of each node, and the id of the
/// message. It ignores both.
fn without_ours(payload: &Bytes) -> Value {
    let mut value = json(payload);
    value.as_object_mut().unwrap().remove("Micro");
    let service = if value.get("Service").is_some() { &mut value["Service"] } else { &mut value };
    let nodes = service.get_mut("nodes").and_then(Value::as_array_mut);
    for node in nodes.into_iter().flatten() {
        let metadata = node["metadata"].as_object_mut();
        assert!(metadata.is_none_or(|metadata| metadata.remove("micro-lease").is_some()));
    }
    with_null_for_empty(value)
}

fn read_service(told: &Told) -> &Service {
    let service = &told.service;
    assert_eq!((service.name.as_str(), service.version.as_str()), ("greeter", "latest"));
    assert_eq!(service.nodes.len(), 1);
    assert_eq!(service.nodes[0].metadata["protocol"], "mucp");
    assert_eq!(service.endpoints.len(), 3);
    let hello = &service.endpoints[1];
    assert_eq!(hello.name, "Greeter.Hello");
    assert_eq!(hello.request.as_ref().unwrap().values[5].kind, "int64");
    assert_eq!(service.endpoints[2].response, None);
    assert_eq!(service.endpoints[2].metadata["topic"], "events");
    assert_eq!(service.nodes[0].lease, None, "go-micro knows no leases");
    service
}

#[test]
fn announcements_of_each_version_are_read_and_ours_are_equal_to_them() {
    for bodies in bodies("register") {
        let announcement = decode_announcement(bodies[0].as_bytes()).unwrap();
        assert_eq!(announcement.id, None);
        let Event::Put(told) = announcement.event else { panic!("not a registration") };
        let service = read_service(&told);
        let ours = encode_announcements("create", service, LEASE, &Ids::new(), usize::MAX);
        assert_eq!(ours.len(), 1);
        assert_eq!(without_ours(&ours[0]), with_null_for_empty(json(bodies[0].as_bytes())));
    }
}

#[test]
fn answers_of_each_version_are_read_and_ours_are_equal_to_them() {
    for exchange in ["list", "call"] {
        for bodies in bodies(exchange) {
            let told = decode_answer(bodies[1].as_bytes()).unwrap();
            let ours = encode_answers(read_service(&told), LEASE, usize::MAX);
            assert_eq!(ours.len(), 1);
            assert_eq!(without_ours(&ours[0]), with_null_for_empty(json(bodies[1].as_bytes())));
        }
    }
}

#[test]
fn queries_of_each_version_are_read_and_ours_are_equal_to_them() {
    for (exchange, target) in [("list", Target::All), ("call", Target::Name("greeter".into()))] {
        for bodies in bodies(exchange) {
            let question = decode_query(bodies[0].as_bytes()).unwrap();
            assert_eq!(question, Question { target: target.clone(), id: None });
            let ours = encode_query(&target, "id");
            assert_eq!(without_ours(&ours), json(bodies[0].as_bytes()));
        }
    }
}

#[test]
fn farewells_of_each_version_are_read_and_ours_are_equal_to_them() {
    for bodies in bodies("deregister") {
        let announcement = decode_announcement(bodies[0].as_bytes()).unwrap();
        let Event::Delete(service) = announcement.event else { panic!("not a farewell") };
        assert!(service.nodes[0].id.starts_with("greeter-"));
        assert!(service.nodes[0].metadata.is_empty());
        let ours = encode_farewell("greeter", "latest", &service.nodes, "id").unwrap();
        assert_eq!(without_ours(&ours), json(bodies[0].as_bytes()));
    }
}
