use micro_core::registry::{Endpoint, Node, Value};

use super::encode::encode;
use super::*;

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn greeter() -> Service {
    let mut service = Service::new("greeter", "1").with_node(Node::new("greeter-1", "a"));
    service.endpoints.push(Endpoint {
        request: Some(Value { name: "Req".into(), kind: "Req".into(), values: vec![] }),
        ..Endpoint::new("Greeter.Hello")
    });
    service
}

#[test]
fn queries_are_go_micros_with_one_key_more() {
    assert_eq!(
        text(&encode_query(&Target::Name("greeter".into()), "i")),
        r#"{"Service":{"name":"greeter","version":"","metadata":null,"endpoints":null,"nodes":null},"Action":"get","Micro":{"id":"i"}}"#
    );
    assert_eq!(
        text(&encode_query(&Target::All, "i")),
        r#"{"Service":null,"Action":"list","Micro":{"id":"i"}}"#
    );
}

#[test]
fn a_farewell_has_nodes_without_metadata_and_never_none() {
    let node = Node::new("greeter-1", "a").with_metadata("k", "v");
    assert_eq!(
        text(&encode_farewell("greeter", "1", &[node], "i").unwrap()),
        r#"{"Service":{"name":"greeter","version":"1","metadata":null,"endpoints":null,"nodes":[{"metadata":null,"id":"greeter-1","address":"a"}]},"Action":"delete","Micro":{"id":"i"}}"#
    );
    assert_eq!(encode_farewell("greeter", "1", &[], "i"), None);
}

fn announce(service: &Service, lease: Duration) -> Bytes {
    encode_announcements("create", service, lease, &Ids::new(), 10_000).remove(0)
}

fn put(bytes: &Bytes) -> Told {
    match decode_announcement(bytes).unwrap().event {
        Event::Put(told) => told,
        other => panic!("not an announcement of nodes: {other:?}"),
    }
}

#[test]
fn the_lease_goes_over_the_wire_in_the_metadata_and_is_not_left_there() {
    let lease = Duration::from_secs(6);
    let bytes = announce(&greeter(), lease);
    assert!(text(&bytes).contains(r#""micro-lease":"6000""#));
    let told = put(&bytes);
    assert_eq!(told.service, greeter());
    assert_eq!(told.service.nodes[0].lease, Some(lease));
}

#[test]
fn leases_that_are_none_or_too_long_do_no_harm() {
    for (lease, expected) in [
        ("x", None),
        ("0", None),
        ("-1", None),
        ("18446744073709551615", Some(LONGEST_LEASE)),
        ("18446744073709551616", None),
    ] {
        let mut service = greeter();
        service.nodes[0].metadata.insert(LEASE_KEY.into(), lease.into());
        let told = decode_answer(&encode(&service)).unwrap();
        assert_eq!(told.service.nodes[0].lease, expected, "{lease}");
    }
    let heartbeat = format!(r#"{{"id":"a","lease":{},"hash":""}}"#, u64::MAX);
    assert_eq!(Heartbeat::decode(heartbeat.as_bytes()).unwrap().lease(), LONGEST_LEASE);
}

#[test]
fn a_large_description_loses_types_first_and_then_is_refused_with_both_sizes() {
    let size = |limit| match fit(&greeter(), limit) {
        Ok(Fit::WithoutTypes(size)) => size,
        other => panic!("{limit}: {other:?}"),
    };
    assert_eq!(fit(&greeter(), 10_000).unwrap(), Fit::Whole);
    let whole = (100..10_000).find(|max| matches!(fit(&greeter(), *max), Ok(Fit::Whole)));
    assert_eq!(size(whole.unwrap() - 1), whole.unwrap());
    let small = (100..10_000).find(|max| fit(&greeter(), *max).is_ok()).unwrap();
    let error = fit(&greeter(), small - 1).unwrap_err();
    assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge);
    assert!(error.detail().contains(&small.to_string()), "{error}");
    assert!(error.detail().contains(&(small - 1).to_string()), "{error}");
    // What was said to fit does, whatever the lease.
    let service = without_types(greeter());
    let sent = encode_announcements("create", &service, LONGEST_LEASE, &Ids::new(), small);
    assert!(sent.len() == 1 && sent[0].len() <= small);
}

#[test]
fn answers_that_are_too_large_together_go_one_by_one() {
    let service = greeter().with_node(Node::new("greeter-2", "b"));
    let lease = Duration::from_secs(6);
    let whole = encode_answers(&service, lease, 10_000);
    assert_eq!(whole.len(), 1);
    let parts = encode_answers(&service, lease, whole[0].len() - 1);
    let ids: Vec<_> =
        parts.iter().map(|part| decode_answer(part).unwrap().service.nodes[0].id.clone()).collect();
    assert_eq!(ids, ["greeter-1", "greeter-2"]);
}

#[test]
fn the_hash_is_of_everything_but_the_lease() {
    let service = greeter();
    let hash = Description::of(&service).with(&service.nodes[0]);
    let told = put(&announce(&service, Duration::from_secs(9)));
    assert_eq!(Description::of(&told.service).with(&told.service.nodes[0]), hash);
    let other = Node { address: "b".into(), ..service.nodes[0].clone() };
    assert_ne!(Description::of(&service).with(&other), hash);
    assert!(Heartbeat::new("1", "greeter-1", Duration::from_secs(6), hash).is_of(hash));
}

#[test]
fn garbage_is_garbage_and_nothing_worse() {
    let deep = "[".repeat(100_000);
    let nested = format!(r#"{{"Service":{{"name":"a","endpoints":{deep}"#);
    let in_unknown_key = format!(r#"{{"Action":"get","x":{deep}"#);
    for garbage in [
        "",
        " ",
        "null",
        "{}",
        "[]",
        "\"\"",
        "1",
        "\u{0}\u{1}",
        r#"["get"]"#,
        r#"[null,"get"]"#,
        r#"{"Action":"get"}"#,
        r#"{"Action":"get","Service":null}"#,
        r#"{"Action":"get","Service":{}}"#,
        r#"{"Action":"get","Service":[]}"#,
        r#"{"Action":"get","Service":{"name":null}}"#,
        r#"{"Action":null}"#,
        r#"{"Action":"create"}"#,
        r#"{"Action":"create","Service":{"name":"a"}}"#,
        r#"{"Action":"create","Service":{"name":"a","nodes":[null]}}"#,
        r#"{"Action":"create","Service":{"name":"a","nodes":[{}]}}"#,
        r#"{"Action":"delete","Service":{"name":"a","nodes":null}}"#,
        r#"{"Action":"explode","Service":{"name":"a","nodes":[{"id":"1"}]}}"#,
        &nested,
        &in_unknown_key,
    ] {
        let bytes = garbage.as_bytes();
        let start: String = garbage.chars().take(60).collect();
        assert!(decode_query(bytes).is_err(), "{start}");
        assert!(decode_announcement(bytes).is_err(), "{start}");
        assert!(decode_answer(bytes).is_err(), "{start}");
        assert!(Heartbeat::decode(bytes).is_err(), "{start}");
    }
}

#[test]
fn the_hash_of_a_node_is_that_of_the_service_with_it_alone_as_it_is_encoded() {
    let alone = greeter();
    let crowd = alone.clone().with_node(Node::new("greeter-2", "b").with_metadata("k", "v"));
    let fnv = |bytes: &[u8]| {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    };
    assert_eq!(Description::of(&crowd).with(&crowd.nodes[0]), fnv(&encode(&alone)));
    let other = Service { nodes: vec![crowd.nodes[1].clone()], ..alone };
    assert_eq!(Description::of(&crowd).with(&crowd.nodes[1]), fnv(&encode(&other)));
}
