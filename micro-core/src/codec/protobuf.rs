//! Protobuf, alone and beside JSON.

use std::borrow::Cow;

use bytes::Bytes;

use super::{Codec, Decode, Encode, JSON, Json, PROTOBUF, essence, known_content_type};
use crate::{Error, Result};

/// Protobuf by prost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf;

impl Codec for Protobuf {
    const CONTENT_TYPE: &'static str = PROTOBUF;

    fn accepts(content_type: &str) -> bool {
        matches!(content_type, "" | PROTOBUF | "application/x-protobuf" | "application/proto")
    }
}

impl<T: prost::Message> Encode<T> for Protobuf {
    fn encode(value: &T) -> Result<Bytes> {
        Ok(value.encode_to_vec().into())
    }
}

impl<T: prost::Message + Default> Decode<T> for Protobuf {
    fn decode(body: Bytes) -> Result<T> {
        T::decode(body).map_err(|error| {
            Error::invalid_input(format!("the body is not the message expected: {error}"))
        })
    }
}

/// JSON or protobuf, as the message's content type says; protobuf where it says nothing. A reply is
/// in the content type of its request, and whatever has none to go by is protobuf.
///
/// `T` is a prost message whose JSON is its own serde implementation. What other languages expect
/// there is protobuf's JSON mapping: keys in lowerCamelCase (with a field's own name accepted too),
/// 64-bit integers as strings, bytes as base64, an enum's value by its name, and fields that have
/// their default left out or not, which both are right. `pbjson-build` writes such implementations.
///
/// ```
/// use micro_core::Bytes;
/// use micro_core::codec::{Decode, Encode, JSON, JsonOrProtobuf, PROTOBUF};
///
/// // google.protobuf.StringValue: in JSON a bare string.
/// let value = "Bob".to_owned();
/// assert_eq!(JsonOrProtobuf::encode_as(&value, JSON)?, r#""Bob""#);
/// assert_eq!(JsonOrProtobuf::encode_as(&value, PROTOBUF)?, "\n\u{3}Bob");
/// let read: String = JsonOrProtobuf::decode_as(Bytes::from(r#""Bob""#), JSON)?;
/// assert_eq!(read, value);
/// # Ok::<(), micro_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct JsonOrProtobuf;

impl JsonOrProtobuf {
    fn is_json(content_type: &str) -> bool {
        essence(content_type).eq_ignore_ascii_case(JSON)
    }
}

impl Codec for JsonOrProtobuf {
    const CONTENT_TYPE: &'static str = PROTOBUF;
    const READS: &'static str = "application/json and application/protobuf";

    fn accepts(content_type: &str) -> bool {
        Json::accepts(content_type) || Protobuf::accepts(content_type)
    }

    /// That of the request without its parameters and in lower case, or protobuf.
    fn reply_content_type(request: Option<Cow<'static, str>>) -> Cow<'static, str> {
        match request {
            None => PROTOBUF.into(),
            // As those that need nothing made.
            Some(Cow::Borrowed(JSON)) => JSON.into(),
            Some(Cow::Borrowed(PROTOBUF)) => PROTOBUF.into(),
            Some(given) => match essence(&given).to_ascii_lowercase().as_str() {
                "" => PROTOBUF.into(),
                essence => known_content_type(essence),
            },
        }
    }
}

impl<T> Encode<T> for JsonOrProtobuf
where
    Json: Encode<T>,
    Protobuf: Encode<T>,
{
    fn encode(value: &T) -> Result<Bytes> {
        Protobuf::encode(value)
    }

    fn encode_as(value: &T, content_type: &str) -> Result<Bytes> {
        if Self::is_json(content_type) { Json::encode(value) } else { Protobuf::encode(value) }
    }
}

impl<T> Decode<T> for JsonOrProtobuf
where
    Json: Decode<T>,
    Protobuf: Decode<T>,
{
    fn decode(body: Bytes) -> Result<T> {
        Protobuf::decode(body)
    }

    fn decode_as(body: Bytes, content_type: &str) -> Result<T> {
        if Self::is_json(content_type) { Json::decode(body) } else { Protobuf::decode(body) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{OCTET_STREAM, check_content_type};
    use super::*;
    use crate::ErrorKind;

    const BOB_JSON: &str = r#""Bob""#;
    const BOB_PROTOBUF: &str = "\n\u{3}Bob";

    fn read(body: &'static str, content_type: &str) -> Result<String> {
        check_content_type::<JsonOrProtobuf>(Some(content_type))?;
        JsonOrProtobuf::decode_as(Bytes::from(body), content_type)
    }

    #[test]
    fn a_body_is_read_as_its_content_type_says_and_as_protobuf_without_one() {
        for json in [JSON, "Application/JSON", "application/json; charset=utf-8"] {
            assert_eq!(read(BOB_JSON, json).unwrap(), "Bob", "{json}");
            assert!(read(BOB_PROTOBUF, json).is_err(), "{json}");
        }
        for protobuf in ["", PROTOBUF, "application/x-protobuf", "Application/Proto; v=1"] {
            assert_eq!(read(BOB_PROTOBUF, protobuf).unwrap(), "Bob", "{protobuf}");
            assert!(read(BOB_JSON, protobuf).is_err(), "{protobuf}");
        }
    }

    #[test]
    fn a_reply_is_in_the_content_type_of_the_request_without_case_and_parameters() {
        let reply = |given: Option<&'static str>| {
            let content_type = JsonOrProtobuf::reply_content_type(given.map(Into::into));
            let body = JsonOrProtobuf::encode_as(&"Bob".to_owned(), &content_type).unwrap();
            (content_type, body)
        };
        for (given, content_type, body) in [
            (None, PROTOBUF, BOB_PROTOBUF),
            (Some(""), PROTOBUF, BOB_PROTOBUF),
            (Some(PROTOBUF), PROTOBUF, BOB_PROTOBUF),
            (Some("application/x-Protobuf; a=b"), "application/x-protobuf", BOB_PROTOBUF),
            (Some(JSON), JSON, BOB_JSON),
            (Some("Application/JSON; charset=utf-8"), JSON, BOB_JSON),
        ] {
            assert_eq!(reply(given), (content_type.into(), body.into()), "{given:?}");
        }
    }

    #[test]
    fn another_content_type_is_refused_and_both_that_are_read_are_named() {
        let error = read(BOB_JSON, OCTET_STREAM).unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::UnsupportedMediaType, 415));
        for name in [OCTET_STREAM, JSON, PROTOBUF] {
            assert!(error.detail().contains(name), "{error}");
        }
    }
}
