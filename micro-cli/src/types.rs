//! The types of endpoints, as a registry tells them.

use micro::registry::{Endpoint, Service, Value};

/// The endpoint of this name, of whatever version has it.
pub(crate) fn endpoint<'a>(services: &'a [Service], name: &str) -> Option<&'a Endpoint> {
    called(services).find(|endpoint| endpoint.name == name)
}

/// What can be called, of all versions.
pub(crate) fn called(services: &[Service]) -> impl Iterator<Item = &Endpoint> {
    services
        .iter()
        .flat_map(|service| &service.endpoints)
        .filter(|endpoint| !is_subscriber(endpoint))
}

/// It is no endpoint that is called, but a topic that is listened to.
pub(crate) fn is_subscriber(endpoint: &Endpoint) -> bool {
    endpoint.metadata.get("subscriber").is_some_and(|said| said == "true")
}

/// It is a stream.
pub(crate) fn is_stream(endpoint: &Endpoint) -> bool {
    endpoint.metadata.get("stream").is_some_and(|said| said == "true")
}

/// The fields of a type that one gives: go-micro v2 and v3 also tell of the insides of a protobuf message, by their types.
pub(crate) fn fields(kind: &Value) -> impl Iterator<Item = &Value> + Clone {
    const INSIDES: [(&str, &str); 3] =
        [("MessageState", "MessageState"), ("int32", "int32"), ("unknownFields", "[]uint8")];
    let is_inside = |value: &Value| INSIDES.contains(&(&*value.name, &*value.kind));
    let is_message = kind.values.first().is_some_and(is_inside);
    kind.values.iter().filter(move |value| !(is_message && is_inside(value)))
}

/// The types with fields that these endpoints name, each once, in the order of their [bare] names.
pub(crate) fn named(endpoints: &[Endpoint]) -> Vec<&Value> {
    let mut found = Vec::new();
    for endpoint in endpoints {
        for value in [&endpoint.request, &endpoint.response].into_iter().flatten() {
            collect(value, &mut found);
        }
    }
    found.sort_by(|one: &&Value, other| bare(&one.kind).cmp(bare(&other.kind)));
    found
}

/// The name of a type without Go's marks for lists, maps and pointers, of which nobody has more than a few.
pub(crate) fn bare(kind: &str) -> &str {
    const MARKS: usize = 16;
    let mut bare = kind;
    for _ in 0..MARKS {
        let of = match bare.as_bytes() {
            [b'*', ..] => Some(&bare[1..]),
            [b'[', ..] | [b'm', b'a', b'p', b'[', ..] => bare.split_once(']').map(|(_, of)| of),
            _ => None,
        };
        match of {
            Some(of) => bare = of,
            None => return bare,
        }
    }
    bare
}

/// How many types are told of; more are no description that anybody reads.
const MOST: usize = 500;

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    let same =
        |known: &&Value| bare(&known.kind) == bare(&value.kind) && known.values == value.values;
    if fields(value).next().is_none() || found.len() >= MOST || found.iter().any(same) {
        return;
    }
    found.push(value);
    for field in fields(value) {
        collect(field, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_once_without_their_marks() {
        for kind in ["Req", "*Req", "[]Req", "map[string]Req", "[4]*Req", "map[string][]Req"] {
            assert_eq!(bare(kind), "Req");
        }
        assert_eq!(bare("[]"), "");
        let value = |kind: &str, values| Value { name: "x".into(), kind: kind.into(), values };
        let inner = |mark: &str| value(&format!("{mark}Inner"), vec![value("string", vec![])]);
        let outer = value("Outer", vec![inner("[]"), inner("*"), value("int32", vec![])]);
        let endpoint = Endpoint { request: Some(outer), ..Endpoint::new("A.B") };
        let endpoints = [endpoint.clone(), endpoint];
        let kinds: Vec<_> = named(&endpoints).iter().map(|value| bare(&value.kind)).collect();
        assert_eq!(kinds, ["Inner", "Outer"]);
    }
}
