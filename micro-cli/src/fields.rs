//! Whether a request has the fields that its endpoint takes.

use std::collections::BTreeMap;

use micro::registry::Value;
use serde::de::IgnoredAny;

use crate::nearest::nearest;
use crate::types::{self, bare};

/// A field of a request that the registry does not know.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    /// It looks like another one, which the request does not have: more likely mistyped than meant.
    pub(crate) mistyped: bool,
    /// What is known, in words.
    pub(crate) text: String,
}

/// The first field that the type does not have, as far as the registry tells.
///
/// That is not all: go-micro leaves out what a type inherits from one that is not exported, and what it reads by itself;
/// ours leave out other spellings. So only what is like a field is called mistyped, and nothing below the request's own
/// fields is looked at. Names are alike in any case, with and without underscores: Go's JSON and protobuf's read either. A
/// type whose fields are not told takes any, and so does one that has a map for others.
pub(crate) fn unknown(body: &[u8], kind: &Value) -> Option<Unknown> {
    if types::fields(kind).next().is_none() || is_map(kind) {
        return None;
    }
    // Its values may be large.
    let given: BTreeMap<String, IgnoredAny> = serde_json::from_slice(body).ok()?;
    let mut unknown = None;
    for name in given.keys().filter(|name| !has(kind, name)) {
        let absent = |field: &&Value| !given.keys().any(|name| plain(name) == plain(&field.name));
        let absent = types::fields(kind).filter(absent).map(|field| field.name.as_str());
        if let Some(near) = nearest(name, absent).first() {
            let text = format!("{} has no field {name:?}, but {near:?}", bare(&kind.kind));
            return Some(Unknown { mistyped: true, text: text + &told(kind) });
        }
        let text = || format!("the registry knows no field {name:?} of {}", bare(&kind.kind));
        unknown.get_or_insert_with(|| Unknown { mistyped: false, text: text() + &told(kind) });
    }
    unknown
}

/// A field of Go's that has the name of its type may be an embedded struct, whose own fields stand in its place.
fn has(kind: &Value, name: &str) -> bool {
    let embedded = |value: &Value| value.name == value.kind;
    types::fields(kind).any(|field| {
        plain(&field.name) == plain(name)
            || embedded(field)
                && (field.values.is_empty()
                    || types::fields(field).any(|field| plain(&field.name) == plain(name)))
    })
}

/// Its keys are data.
fn is_map(kind: &Value) -> bool {
    kind.kind.trim_start_matches(['*', '[', ']']).starts_with("map[")
}

fn plain(name: &str) -> String {
    name.chars().filter(|&c| c != '_').flat_map(char::to_lowercase).collect()
}

fn told(kind: &Value) -> String {
    let names: Vec<&str> = types::fields(kind).map(|field| field.name.as_str()).collect();
    format!("; its fields: {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(name: &str, kind: &str, values: Vec<Value>) -> Value {
        Value { name: name.into(), kind: kind.into(), values }
    }

    fn request() -> Value {
        let address = vec![value("zip_code", "string", vec![])];
        value(
            "Req",
            "*Req",
            vec![
                value("name", "string", vec![]),
                value("colour", "string", vec![]),
                value("address", "Address", address),
                value("Base", "Base", vec![value("id", "string", vec![])]),
            ],
        )
    }

    #[test]
    fn fields_of_the_type_pass_in_any_spelling_and_so_do_those_of_embedded_types() {
        for body in [
            r#"{"name":1,"Name":2,"Colour":1,"id":"embedded","Base":{"id":"x"}}"#,
            r#"{"address":{"whatever":"is below"}}"#,
            "3",
            r#"[{"nmae":1}]"#,
            "no JSON",
        ] {
            assert_eq!(unknown(body.as_bytes(), &request()), None, "{body}");
        }
    }

    #[test]
    fn types_that_are_not_told_and_maps_take_any() {
        let item = || vec![value("name", "string", vec![])];
        for kind in ["map[string]Item", "[]map[string]Item"] {
            assert_eq!(unknown(br#"{"nmae":1}"#, &value("x", kind, item())), None);
        }
        assert_eq!(unknown(br#"{"nmae":1}"#, &value("Req", "Req", vec![])), None);
        let embeds = value("Req", "Req", vec![value("Base", "Base", vec![])]);
        assert_eq!(unknown(br#"{"whatever":1}"#, &embeds), None);
    }

    #[test]
    fn a_slip_is_mistyped_and_answered_with_the_nearest() {
        let said = unknown(br#"{"nmae":"Bob"}"#, &request()).unwrap();
        let text =
            r#"Req has no field "nmae", but "name"; its fields: name, colour, address, Base"#;
        assert_eq!(said, Unknown { mistyped: true, text: text.into() });
        assert!(unknown(br#"{"name":1,"color":2}"#, &request()).unwrap().mistyped);
    }

    #[test]
    fn another_field_may_be_meant_and_so_may_one_beside_the_one_that_it_is_like() {
        let said = unknown(br#"{"quantity":7}"#, &request()).unwrap();
        assert!(!said.mistyped);
        assert!(said.text.starts_with(r#"the registry knows no field "quantity" of Req; its"#));
        assert!(!unknown(br#"{"name":1,"names":2}"#, &request()).unwrap().mistyped);
    }

    #[test]
    fn the_insides_of_a_protobuf_message_of_v3_are_none_of_its_fields() {
        let inside = |name: &str, kind: &str| value(name, kind, vec![]);
        let state = value("MessageState", "MessageState", vec![inside("DoNotCopy", "DoNotCopy")]);
        let mut fields = vec![state, inside("int32", "int32"), inside("unknownFields", "[]uint8")];
        let nothing = value("Empty", "Empty", fields.clone());
        assert_eq!(unknown(br#"{"whatever":1}"#, &nothing), None);
        fields.push(value("name", "string", vec![]));
        let message = value("Req", "Req", fields);
        assert_eq!(unknown(br#"{"name":"Bob"}"#, &message), None);
        let said = unknown(br#"{"nmae":"Bob"}"#, &message).unwrap();
        assert_eq!(said.text, r#"Req has no field "nmae", but "name"; its fields: name"#);
    }
}
