//! What holds for any input: headers, errors, topics, services.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};

use micro_core::broker::{Topic, TopicFilter};
use micro_core::registry::{Endpoint, Node, Service, ServiceName, Value};
use micro_core::{Error, ErrorKind, Header};
use proptest::prelude::*;
use serde_json::json;

/// Keys that often meet again, also in another case, and go-micro's own.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[abAB]{1,2}",
        Just("Micro-ID".to_owned()),
        Just("Micro-Id".to_owned()),
        any::<String>()
    ]
}

fn pairs() -> impl Strategy<Value = Vec<(String, String)>> {
    prop::collection::vec((key(), any::<String>()), 0..30)
}

fn entries(header: &Header) -> Vec<(String, String)> {
    header.iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

/// The pairs with each key once: where it first came, with the value that came last.
fn last_values(pairs: &[(String, String)]) -> Vec<(String, String)> {
    let last: HashMap<_, _> = pairs.iter().cloned().collect();
    let mut seen = std::collections::HashSet::new();
    let firsts = pairs.iter().filter(|(k, _)| seen.insert(k.clone()));
    firsts.map(|(k, _)| (k.clone(), last[k].clone())).collect()
}

/// An object with the pairs in their order, also those with the same key.
fn object(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(k, v)| format!("{}:{}", json!(k), json!(v))).collect();
    format!("{{{}}}", pairs.join(","))
}

proptest! {
    #[test]
    fn a_header_comes_back_from_its_json_in_its_order(pairs in pairs()) {
        let header: Header = pairs.iter().cloned().collect();
        let json = serde_json::to_string(&header).unwrap();
        prop_assert_eq!(&json, &object(&entries(&header)));
        prop_assert_eq!(serde_json::from_str::<Header>(&json).unwrap(), header);
    }

    #[test]
    fn of_a_key_that_comes_twice_the_last_value_holds_in_the_first_place(pairs in pairs()) {
        let expected = last_values(&pairs);
        let collected: Header = pairs.iter().cloned().collect();
        prop_assert_eq!(entries(&collected), expected.clone());
        let read: Header = serde_json::from_str(&object(&pairs)).unwrap();
        prop_assert_eq!(entries(&read), expected);
    }

    #[test]
    fn a_header_is_a_map_that_keeps_its_order(
        start in pairs(),
        decoded in any::<bool>(),
        steps in prop::collection::vec((key(), prop::option::of(any::<String>())), 0..30),
    ) {
        // One that was decoded keeps its texts elsewhere than one that was built.
        let mut header: Header = match decoded {
            true => serde_json::from_str(&object(&start)).unwrap(),
            false => start.iter().cloned().collect(),
        };
        let mut model = last_values(&start);
        for (key, value) in steps {
            let at = model.iter().position(|(k, _)| *k == key);
            let before = at.map(|at| model[at].1.clone());
            prop_assert_eq!(header.get(&key), before.as_deref());
            match value {
                Some(value) => {
                    let old = header.insert(key.clone(), value.clone());
                    prop_assert_eq!(old, before.is_some());
                    prop_assert_eq!(header.get(&key), Some(&*value));
                    match at {
                        Some(at) => model[at].1 = value,
                        None => model.push((key, value)),
                    }
                }
                None => {
                    let old = header.remove(&key);
                    prop_assert_eq!(old.as_deref(), before.as_deref());
                    prop_assert_eq!(header.get(&key), None);
                    model.retain(|(k, _)| *k != key);
                }
            }
            prop_assert_eq!(entries(&header), model.clone());
            prop_assert_eq!((header.len(), header.is_empty()), (model.len(), model.is_empty()));
        }
    }

    #[test]
    fn ignoring_case_finds_the_exact_key_first_and_then_the_first_alike(pairs in pairs(), key in key()) {
        let header: Header = pairs.into_iter().collect();
        let alike: Vec<_> = header.iter().filter(|(k, _)| k.eq_ignore_ascii_case(&key)).collect();
        let exact = alike.iter().find(|(k, _)| *k == key).or(alike.first());
        prop_assert_eq!(header.get_ignore_case(&key), exact.map(|(_, v)| *v));
    }

    #[test]
    fn an_error_comes_back_from_the_wire_as_it_was(
        id in any::<String>(),
        code in prop_oneof![any::<i32>(), 0..600],
        detail in any::<String>(),
    ) {
        let error = Error::with_code(code, detail).with_id(id);
        let back = Error::from_wire(&error.to_wire());
        prop_assert_eq!(back.id(), error.id());
        prop_assert_eq!(back.code(), error.code());
        prop_assert_eq!(back.detail(), error.detail());
        prop_assert_eq!(back.status(), error.status());
        if code != 0 {
            prop_assert_eq!(back.kind(), error.kind());
        }
        prop_assert_eq!(back.to_wire(), error.to_wire());
        prop_assert_eq!(error.to_string(), error.detail());
    }

    #[test]
    fn the_four_fields_of_an_error_come_back_whatever_they_are(
        id in any::<String>(), code in any::<i32>(), detail in any::<String>(), status in any::<String>(),
    ) {
        let json = json!({"id": id, "code": code, "detail": detail, "status": status});
        let error = Error::from_wire(&json.to_string());
        let fields = (error.id(), error.code(), error.detail(), error.status());
        prop_assert_eq!(fields, (&*id, code, &*detail, &*status));
        let back: serde_json::Value = serde_json::from_str(&error.to_wire()).unwrap();
        prop_assert_eq!(back, json);
    }

    #[test]
    fn a_text_that_is_no_error_is_the_message_and_goes_back_as_it_came(
        text in prop_oneof![
            any::<String>(),
            "[{\\[]?\"?(id|code|detail)?\"?[:,]?[0-9]{0,12}\"?[}\\]]?",
        ],
    ) {
        let error = Error::from_wire(&text);
        match serde_json::from_str::<HashMap<String, serde_json::Value>>(&text) {
            Ok(_) => _ = error.to_wire(),
            Err(_) => {
                prop_assert_eq!((error.detail(), error.code()), (&*text, 0));
                prop_assert_eq!(error.to_wire(), text);
            }
        }
    }

    #[test]
    fn a_code_says_its_kind(code in any::<i32>()) {
        let error = Error::with_code(code, "");
        prop_assert_eq!(error.kind(), ErrorKind::from_code(code));
        prop_assert_eq!(error.code(), code);
    }
}

/// A part of a topic; few letters, so that different ones are often equal.
fn part() -> impl Strategy<Value = String> {
    "[ab]{1,2}"
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(part(), 1..5).prop_map(|parts| parts.join("."))
}

fn filter() -> impl Strategy<Value = String> {
    let parts = prop::collection::vec(prop_oneof![2 => part(), 1 => Just("*".to_owned())], 0..5);
    (parts, any::<bool>()).prop_map(|(mut parts, rest)| {
        if rest || parts.is_empty() {
            parts.push(">".to_owned());
        }
        parts.join(".")
    })
}

/// What NATS's documentation says, by recursion over the lists of parts.
fn means(filter: &[&str], topic: &[&str]) -> bool {
    match (filter, topic) {
        ([], []) => true,
        ([">"], [_, ..]) => true,
        (["*", filter @ ..], [_, topic @ ..]) => means(filter, topic),
        ([a, filter @ ..], [b, topic @ ..]) => a == b && means(filter, topic),
        _ => false,
    }
}

fn is_plain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '*' || c == '>')
    };
    text.len() <= 255 && text.split('.').all(part)
}

proptest! {
    #[test]
    fn a_filter_means_what_nats_says(filter in filter(), topic in topic()) {
        let parts: Vec<&str> = filter.split('.').collect();
        let of: Vec<&str> = topic.split('.').collect();
        let filter = TopicFilter::new(&*filter).unwrap();
        prop_assert_eq!(filter.matches(&Topic::new(&*topic).unwrap()), means(&parts, &of));
        prop_assert_eq!(filter.has_wildcards(), parts.contains(&"*") || parts.contains(&">"));
    }

    #[test]
    fn a_topic_is_a_filter_of_itself_alone(topic in topic(), other in topic()) {
        let topic = Topic::new(topic).unwrap();
        let other = Topic::new(other).unwrap();
        let filter = TopicFilter::from(topic.clone());
        prop_assert!(filter.matches(&topic));
        prop_assert_eq!(filter.matches(&other), topic == other);
    }

    #[test]
    fn names_and_topics_are_what_every_backend_can_carry(
        text in prop_oneof![any::<String>(), "[ab.*> \t\u{7f}é]{0,8}", "[a.]{250,260}"],
    ) {
        prop_assert_eq!(Topic::new(&*text).is_ok(), is_plain(&text));
        prop_assert_eq!(ServiceName::new(&*text).is_ok(), is_plain(&text));
        if let Ok(filter) = TopicFilter::new(&*text) {
            let parts: Vec<&str> = text.split('.').collect();
            let last = parts.len() - 1;
            for (i, part) in parts.iter().enumerate() {
                prop_assert!(is_plain(part) || *part == "*" || (*part == ">" && i == last));
            }
            prop_assert_eq!(filter.to_string(), text);
        } else {
            prop_assert!(!is_plain(&text));
        }
    }
}

fn metadata() -> impl Strategy<Value = BTreeMap<String, String>> {
    prop::collection::btree_map(any::<String>(), any::<String>(), 0..4)
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = (any::<String>(), any::<String>()).prop_map(|(name, kind)| {
        let mut value = Value::default();
        (value.name, value.kind) = (name, kind);
        value
    });
    leaf.prop_recursive(4, 16, 4, |inner| {
        (any::<String>(), prop::collection::vec(inner, 0..4)).prop_map(|(name, values)| {
            let mut value = Value::default();
            (value.name, value.values) = (name, values);
            value
        })
    })
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let values = (prop::option::of(value()), prop::option::of(value()));
    (any::<String>(), metadata(), values).prop_map(|(name, metadata, (request, response))| {
        let mut endpoint = Endpoint::new(name);
        endpoint.metadata = metadata;
        (endpoint.request, endpoint.response) = (request, response);
        endpoint
    })
}

fn node() -> impl Strategy<Value = Node> {
    (any::<String>(), any::<String>(), metadata()).prop_map(|(id, address, metadata)| {
        let mut node = Node::new(id, address);
        node.metadata = metadata;
        node
    })
}

fn service() -> impl Strategy<Value = Service> {
    let lists =
        (metadata(), prop::collection::vec(endpoint(), 0..3), prop::collection::vec(node(), 0..3));
    (any::<String>(), any::<String>(), lists).prop_map(|(name, version, lists)| {
        let mut service = Service::new(name, version);
        (service.metadata, service.endpoints, service.nodes) = lists;
        service
    })
}

/// How an empty map or list is written.
#[derive(Clone, Copy, Debug)]
enum Empty {
    Null,
    Missing,
    Written,
}

/// The same JSON, with what is `null` in it written another way.
fn rewrite(json: &mut serde_json::Value, empty: Empty) {
    match json {
        serde_json::Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match (&*value, empty) {
                    (serde_json::Value::Null, Empty::Written) if key == "metadata" => {
                        *value = json!({});
                    }
                    (serde_json::Value::Null, Empty::Written)
                        if ["endpoints", "nodes", "values"].contains(&&**key) =>
                    {
                        *value = json!([]);
                    }
                    _ => rewrite(value, empty),
                }
            }
            if matches!(empty, Empty::Missing) {
                map.retain(|_, value| !value.is_null());
            }
        }
        serde_json::Value::Array(list) => list.iter_mut().for_each(|v| rewrite(v, empty)),
        _ => {}
    }
}

proptest! {
    // Each is a tree of dozens of strings.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_service_comes_back_from_its_json_however_its_empty_parts_are_written(
        service in service(),
        empty in prop_oneof![Just(Empty::Null), Just(Empty::Missing), Just(Empty::Written)],
    ) {
        let mut json = serde_json::to_value(&service).unwrap();
        rewrite(&mut json, empty);
        let back: Service = serde_json::from_str(&json.to_string()).unwrap();
        prop_assert_eq!(back, service);
    }

    #[test]
    fn a_service_with_keys_that_nobody_knows_is_read_without_them(service in service()) {
        let mut json = serde_json::to_value(&service).unwrap();
        json["more"] = json!({"a": [1, null]});
        prop_assert_eq!(serde_json::from_value::<Service>(json).unwrap(), service);
    }

    #[test]
    fn no_text_makes_reading_a_service_panic(
        text in "[{\\[]?(\"(name|metadata|nodes|endpoints|values)\":)?(null|\\{\\}|\\[\\]|1|\"\")?[,}\\]]{0,3}",
    ) {
        if let Ok(service) = serde_json::from_str::<Service>(&text) {
            let json = serde_json::to_string(&service).unwrap();
            prop_assert_eq!(serde_json::from_str::<Service>(&json).unwrap(), service);
        }
    }
}
