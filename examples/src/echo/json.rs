//! How protobuf maps fields to JSON, where serde's own way is another.

use std::fmt::Display;

use serde::{Deserialize, Deserializer};

pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// `null` is the default.
pub(super) fn or_default<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// A number, or a text of one.
pub(super) fn int32<'de, D: Deserializer<'de>>(input: D) -> Result<i32, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected an int32, as a number or a text")]
    enum Int32 {
        Number(i32),
        Text(String),
    }
    match Option::deserialize(input)? {
        None => Ok(0),
        Some(Int32::Number(number)) => Ok(number),
        Some(Int32::Text(text)) => text.parse().map_err(|error| wrong("int32", error)),
    }
}

/// Writes standard base64, and reads URL-safe and unpadded too.
pub(super) mod base64 {
    use base64_simd::{STANDARD, forgiving_decode_to_vec};
    use micro::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &Bytes, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&STANDARD.encode_to_string(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
        let text = Option::<String>::deserialize(input)?.unwrap_or_default();
        let text = text.replace('-', "+").replace('_', "/");
        let bytes = forgiving_decode_to_vec(text.as_bytes());
        bytes.map(Bytes::from).map_err(|error| super::wrong("base64", error))
    }
}

pub(super) fn base64_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "string", "contentEncoding": "base64" })
}

fn wrong<E: serde::de::Error>(what: &str, error: impl Display) -> E {
    E::custom(format_args!("no {what}: {error}"))
}
