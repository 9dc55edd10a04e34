//! Whether a request has the fields that its endpoint takes.

use micro::registry::Value;
use serde_json::Value as Json;

use crate::nearest::nearest;
use crate::types;

/// The first field that the type does not have, in words with those that it has.
///
/// A type whose fields the registry does not tell takes any. Names are alike in any case, with and without
/// underscores: Go's JSON and protobuf's read either. A field of Go's that has the name of its type is an embedded struct,
/// whose own fields stand in its place.
pub(crate) fn unknown(body: &[u8], kind: &Value) -> Option<String> {
    let json = serde_json::from_slice(body).ok()?;
    check(&json, kind)
}

fn check(json: &Json, kind: &Value) -> Option<String> {
    match json {
        // A list of what the type describes.
        Json::Array(items) => items.iter().find_map(|item| check(item, kind)),
        Json::Object(fields) if types::fields(kind).next().is_some() && !is_map(kind) => {
            fields.iter().find_map(|(name, value)| match field(kind, name) {
                Some(known) => check(value, known),
                None => Some(complain(name, kind)),
            })
        }
        _ => None,
    }
}

fn field<'a>(kind: &'a Value, name: &str) -> Option<&'a Value> {
    let embedded = || types::fields(kind).filter(|value| value.name == value.kind);
    (types::fields(kind).find(|value| plain(&value.name) == plain(name)))
        .or_else(|| embedded().find_map(|value| field(value, name)))
        // What it embeds may not be told.
        .or_else(|| embedded().find(|value| value.values.is_empty()))
}

/// Its keys are data.
fn is_map(kind: &Value) -> bool {
    kind.kind.starts_with("map[")
}

fn plain(name: &str) -> String {
    name.chars().filter(|&c| c != '_').flat_map(char::to_lowercase).collect()
}

fn complain(name: &str, kind: &Value) -> String {
    let known: Vec<&str> = types::fields(kind).map(|value| value.name.as_str()).collect();
    let fields = known.join(", ");
    match nearest(name, known).first() {
        Some(near) => {
            format!("{} has no field {name:?}, but {near:?}; its fields: {fields}", kind.kind)
        }
        None => format!("{} has no field {name:?}; its fields: {fields}", kind.kind),
    }
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
            "Req",
            vec![
                value("name", "string", vec![]),
                value("address", "Address", address.clone()),
                value("more", "[]Address", address.clone()),
                value("labels", "map[string]Address", address.clone()),
                value("Base", "Base", vec![value("id", "string", vec![])]),
            ],
        )
    }

    #[test]
    fn fields_of_the_type_pass_in_any_spelling_and_of_embedded_and_nested_types_too() {
        for body in [
            r#"{"name":1,"Name":2,"address":{"zipCode":"x"},"id":"embedded","Base":{"id":"x"}}"#,
            r#"{"more":[{"zip_code":"x"}],"labels":{"any key":{"x":1}}}"#,
            "3",
            "[]",
            "no JSON",
        ] {
            assert_eq!(unknown(body.as_bytes(), &request()), None, "{body}");
        }
        let untold = value("Req", "Req", vec![]);
        assert_eq!(unknown(br#"{"whatever":1}"#, &untold), None);
        let embeds = value("Req", "Req", vec![value("Base", "Base", vec![])]);
        assert_eq!(unknown(br#"{"whatever":1}"#, &embeds), None);
    }

    #[test]
    fn another_field_is_answered_with_the_nearest_and_all() {
        let said = unknown(br#"{"nmae":"Bob"}"#, &request()).unwrap();
        assert_eq!(
            said,
            r#"Req has no field "nmae", but "name"; its fields: name, address, more, labels, Base"#
        );
        let said = unknown(br#"{"more":[{},{"sip_code":1}]}"#, &request()).unwrap();
        assert!(said.starts_with(r#"[]Address has no field "sip_code", but "zip_code""#), "{said}");
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
        assert_eq!(said, r#"Req has no field "nmae", but "name"; its fields: name"#);
    }
}
