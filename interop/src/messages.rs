//! The messages of `interop/echo.proto`, in protobuf and in its JSON.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an echo service takes.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "interop/echo.proto says it")]
pub struct Req {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[prost(int32, tag = "2")]
    #[serde(skip_serializing_if = "is_zero")]
    pub code: i32,
    #[prost(int32, tag = "3")]
    #[serde(skip_serializing_if = "is_zero")]
    pub millis: i32,
    #[prost(int32, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub size: i32,
    #[prost(int32, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    pub count: i32,
    #[prost(int32, tag = "6")]
    #[serde(skip_serializing_if = "is_zero")]
    pub value: i32,
    #[prost(bytes = "bytes", tag = "7")]
    #[serde(
        skip_serializing_if = "Bytes::is_empty",
        serialize_with = "to_text",
        deserialize_with = "from_text"
    )]
    pub data: Bytes,
}

/// What an echo service gives.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "interop/echo.proto says it")]
pub struct Rsp {
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub greeting: String,
    #[prost(btree_map = "string, string", tag = "2")]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub meta: BTreeMap<String, String>,
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(
        skip_serializing_if = "Bytes::is_empty",
        serialize_with = "to_text",
        deserialize_with = "from_text"
    )]
    pub data: Bytes,
    #[prost(int32, tag = "4")]
    #[serde(skip_serializing_if = "is_zero")]
    pub left: i32,
    #[prost(int32, tag = "5")]
    #[serde(skip_serializing_if = "is_zero")]
    pub value: i32,
}

impl Req {
    /// With a name.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

fn is_zero(number: &i32) -> bool {
    *number == 0
}

fn to_text<S: Serializer>(data: &Bytes, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&base64(data))
}

fn from_text<'de, D: Deserializer<'de>>(input: D) -> Result<Bytes, D::Error> {
    let text = Option::<String>::deserialize(input)?.unwrap_or_default();
    base64_simd::STANDARD.decode_to_vec(text).map(Bytes::from).map_err(serde::de::Error::custom)
}

/// Bytes as JSON carries them.
pub(crate) fn base64(data: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(data)
}
