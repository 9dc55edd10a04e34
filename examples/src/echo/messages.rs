//! The messages of `echo.proto`: protobuf by prost, and JSON as protobuf maps it.

use std::collections::BTreeMap;

use micro::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::json;

/// What is asked. Each endpoint reads the fields that it needs.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize, JsonSchema)]
// The derived functions are those of the fields; see the implementations below.
#[serde(remote = "Self", default)]
pub struct Req {
    /// Whom to greet, or what to call a failure.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "json::or_default", skip_serializing_if = "json::is_default")]
    pub name: String,
    /// The code of the error that is asked for.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub code: i32,
    /// How long to sleep.
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub millis: i32,
    /// How many bytes to answer with.
    #[prost(int32, tag = "4")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub size: i32,
    /// How many messages to answer with.
    #[prost(int32, tag = "5")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub count: i32,
    /// A number to add, or to send back.
    #[prost(int32, tag = "6")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub value: i32,
    /// Bytes to measure; in JSON base64.
    #[prost(bytes = "bytes", tag = "7")]
    #[serde(with = "json::base64", skip_serializing_if = "json::is_default")]
    #[schemars(schema_with = "json::base64_schema")]
    pub data: Bytes,
}

/// What is answered.
#[derive(Clone, PartialEq, prost::Message, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Rsp {
    /// A text.
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "json::or_default", skip_serializing_if = "json::is_default")]
    pub greeting: String,
    /// The caller's metadata.
    #[prost(btree_map = "string, string", tag = "2")]
    #[serde(deserialize_with = "json::or_default", skip_serializing_if = "json::is_default")]
    pub meta: BTreeMap<String, String>,
    /// Bytes; in JSON base64.
    #[prost(bytes = "bytes", tag = "3")]
    #[serde(with = "json::base64", skip_serializing_if = "json::is_default")]
    #[schemars(schema_with = "json::base64_schema")]
    pub data: Bytes,
    /// Milliseconds to the deadline; 0 where there is none.
    #[prost(int32, tag = "4")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub left: i32,
    /// A number.
    #[prost(int32, tag = "5")]
    #[serde(deserialize_with = "json::int32", skip_serializing_if = "json::is_default")]
    pub value: i32,
}

impl Serialize for Req {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, out)
    }
}

/// Nothing, which is `null` in JSON, asks the same as a message without fields.
impl<'de> Deserialize<'de> for Req {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Fields(#[serde(with = "Req")] Req);
        Ok(Option::<Fields>::deserialize(input)?.map(|fields| fields.0).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::{from_str, json, to_value};

    use super::*;

    fn full() -> Req {
        let (name, data) = ("Bob".to_owned(), Bytes::from_static(&[0, 255, 62, 63]));
        Req { name, code: -1, millis: 2, size: 3, count: 4, value: i32::MAX, data }
    }

    #[test]
    fn json_is_that_of_protobuf() {
        let text = json!({ "name": "Bob", "code": -1, "millis": 2, "size": 3, "count": 4,
            "value": i32::MAX, "data": "AP8+Pw==" });
        assert_eq!(to_value(full()).unwrap(), text);
        assert_eq!(from_str::<Req>(&text.to_string()).unwrap(), full());
        assert_eq!(to_value(Req::default()).unwrap(), json!({}));
        assert_eq!(to_value(Rsp::default()).unwrap(), json!({}));
    }

    #[test]
    fn json_may_lack_fields_have_others_and_say_null() {
        for text in ["{}", "null", r#"{"name":null,"code":null,"data":null}"#, r#"{"other":[1]}"#] {
            assert_eq!(from_str::<Req>(text).unwrap(), Req::default(), "{text}");
        }
        let null = r#"{"greeting":null,"meta":null,"data":null,"left":null,"value":null}"#;
        assert_eq!(from_str::<Rsp>(null).unwrap(), Rsp::default());
    }

    #[test]
    fn a_number_may_be_a_text_and_base64_of_any_kind() {
        assert_eq!(from_str::<Req>(r#"{"code":"-7"}"#).unwrap().code, -7);
        for data in ["AP8+Pw==", "AP8+Pw", "AP8-Pw==", "AP8-Pw"] {
            let text = json!({ "data": data }).to_string();
            assert_eq!(from_str::<Req>(&text).unwrap().data, full().data, "{data}");
        }
        for wrong in
            [r#"{"code":"x"}"#, r#"{"code":2147483648}"#, r#"{"data":"*"}"#, r#"{"name":1}"#, "[1]"]
        {
            assert!(from_str::<Req>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn protobuf_has_the_numbers_of_the_proto_file() {
        let body = full().encode_to_vec();
        assert_eq!(Req::decode(&*body).unwrap(), full());
        assert_eq!(Req { size: 3, ..Req::default() }.encode_to_vec(), [4 << 3, 3]);
        let meta = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        let body = Rsp { meta, left: 1, ..Rsp::default() }.encode_to_vec();
        assert_eq!(body, [2 << 3 | 2, 6, 10, 1, b'a', 18, 1, b'b', 4 << 3, 1]);
    }
}
