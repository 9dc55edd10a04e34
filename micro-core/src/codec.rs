//! Bodies: how a value becomes bytes, by content type.
//!
//! A codec is a type without values; a typed call or handler names one. Those here are
//! [`Json`] (serde), `Protobuf` (prost), `JsonOrProtobuf` (both, by content type; these two by the
//! feature `protobuf`) and [`Raw`] (bytes as they are); an application may add its own.

#[cfg(feature = "protobuf")]
mod protobuf;

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "protobuf")]
pub use self::protobuf::{JsonOrProtobuf, Protobuf};
use crate::{Error, ErrorKind, Result};

/// The content type of JSON; what a go-micro client sends unless told otherwise.
pub const JSON: &str = "application/json";
/// The content type of protobuf; what a message without a content type is read as.
pub const PROTOBUF: &str = "application/protobuf";
/// The content type of bytes without a meaning.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// The text of a content type, without an allocation for the usual ones.
pub fn known_content_type(text: &str) -> Cow<'static, str> {
    match text {
        "" => "".into(),
        JSON => JSON.into(),
        PROTOBUF => PROTOBUF.into(),
        OCTET_STREAM => OCTET_STREAM.into(),
        other => Cow::Owned(other.to_owned()),
    }
}

/// A way to encode values, named by its content type.
pub trait Codec: Copy + Send + Sync + 'static {
    /// What it writes, unless a reply is to be in another one.
    const CONTENT_TYPE: &'static str;

    /// What it reads, in words, for whoever sent something else.
    const READS: &'static str = Self::CONTENT_TYPE;

    /// Whether it reads a body of this content type (without parameters, in lower case; empty
    /// where the message has none).
    fn accepts(content_type: &str) -> bool;

    /// What the reply to a request of this content type is in, `None` where the request has none:
    /// that of the request, else [`CONTENT_TYPE`](Self::CONTENT_TYPE).
    fn reply_content_type(request: Option<Cow<'static, str>>) -> Cow<'static, str> {
        request.unwrap_or(Self::CONTENT_TYPE.into())
    }
}

/// A codec that writes `T`.
pub trait Encode<T: ?Sized>: Codec {
    /// The bytes of a value.
    ///
    /// # Errors
    /// `InvalidInput` if the value cannot be written.
    fn encode(value: &T) -> Result<Bytes>;

    /// [`encode`](Self::encode) in this content type, for a codec that writes several: one that
    /// [`reply_content_type`](Codec::reply_content_type) gave.
    ///
    /// # Errors
    /// As for `encode`.
    fn encode_as(value: &T, content_type: &str) -> Result<Bytes> {
        let _ = content_type;
        Self::encode(value)
    }
}

/// A codec that reads `T`.
pub trait Decode<T>: Codec {
    /// The value in a body.
    ///
    /// # Errors
    /// `InvalidInput`, saying where the body is wrong.
    fn decode(body: Bytes) -> Result<T>;

    /// [`decode`](Self::decode) of a body of this content type (as it came, and one that the codec
    /// [accepts](Codec::accepts); empty where the message has none), for a codec that reads several.
    ///
    /// # Errors
    /// As for `decode`.
    fn decode_as(body: Bytes, content_type: &str) -> Result<T> {
        let _ = content_type;
        Self::decode(body)
    }
}

/// Whether codec `C` reads a message with this `Content-Type`, parameters and case aside.
///
/// # Errors
/// `UnsupportedMediaType`, naming both.
pub fn check_content_type<C: Codec>(content_type: Option<&str>) -> Result<()> {
    let given = content_type.unwrap_or_default();
    let essence = essence(given);
    // Upper case is rare; the common case allocates nothing.
    if C::accepts(essence) || C::accepts(&essence.to_ascii_lowercase()) {
        return Ok(());
    }
    let given = if essence.is_empty() { PROTOBUF } else { given };
    Err(Error::new(
        ErrorKind::UnsupportedMediaType,
        format!("content type {given} is not served here, only {}", C::READS),
    ))
}

/// A content type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// JSON by serde.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl Codec for Json {
    const CONTENT_TYPE: &'static str = JSON;

    fn accepts(content_type: &str) -> bool {
        content_type == JSON
    }
}

impl<T: Serialize + ?Sized> Encode<T> for Json {
    fn encode(value: &T) -> Result<Bytes> {
        match serde_json::to_vec(value) {
            Ok(body) => Ok(body.into()),
            Err(error) => Err(Error::invalid_input("the value has no JSON").with_source(error)),
        }
    }
}

impl<T: DeserializeOwned> Decode<T> for Json {
    /// An empty body reads as `null`: go-micro writes no body for nothing. And `{}`, which others
    /// send for nothing, reads as `()` too.
    fn decode(body: Bytes) -> Result<T> {
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        let read = serde_json::from_slice(text).or_else(|error| {
            let nothing = size_of::<T>() == 0 && body.trim_ascii() == b"{}";
            if nothing { serde_json::from_slice(b"null") } else { Err(error) }
        });
        read.map_err(|error| {
            let flaw = json_flaw(&error);
            Error::invalid_input(format!("the body is not the JSON expected: {flaw}"))
        })
    }
}

/// What is wrong with a JSON text, without the strings that are in it: they may be secret, and of
/// any length.
pub(crate) fn json_flaw(error: &serde_json::Error) -> String {
    const MOST: usize = 200;
    let text = error.to_string();
    let mut flaw = match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}\"…\"{}", &text[..first], &text[last + 1..])
        }
        _ => text,
    };
    if flaw.chars().count() > MOST {
        flaw = flaw.chars().take(MOST).chain(['…']).collect();
    }
    flaw
}

/// Bytes as they are, of any content type.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Codec for Raw {
    const CONTENT_TYPE: &'static str = OCTET_STREAM;

    fn accepts(_: &str) -> bool {
        true
    }
}

impl Encode<Bytes> for Raw {
    fn encode(value: &Bytes) -> Result<Bytes> {
        Ok(value.clone())
    }
}

impl Encode<[u8]> for Raw {
    fn encode(value: &[u8]) -> Result<Bytes> {
        Ok(Bytes::copy_from_slice(value))
    }
}

impl Decode<Bytes> for Raw {
    fn decode(body: Bytes) -> Result<Bytes> {
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_are_compared_without_case_and_parameters() {
        assert!(check_content_type::<Json>(Some("Application/JSON; charset=utf-8")).is_ok());
        assert!(check_content_type::<Raw>(None).is_ok());
        let error = check_content_type::<Json>(None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType);
        assert!(error.to_string().contains(PROTOBUF), "{error}");
    }

    #[test]
    fn an_error_says_what_is_wrong_without_the_strings_that_came() {
        for body in [r#""my-password""#, r#"{"name":"my-password"}"#, r#""my-\"password""#] {
            let error = <Json as Decode<Vec<u8>>>::decode(Bytes::from(body)).unwrap_err();
            assert!(error.to_string().contains("expected a sequence"), "{error}");
            assert!(!error.to_string().contains("password"), "{error}");
        }
        let long = format!("[`{}`", "x".repeat(10_000));
        let error = <Json as Decode<Vec<u8>>>::decode(Bytes::from(long)).unwrap_err();
        assert!(error.to_string().len() < 400, "{error}");
    }

    #[test]
    fn an_empty_json_body_is_null() {
        assert_eq!(Json::decode(Bytes::new()).ok(), Some(()));
        assert_eq!(<Json as Decode<Option<u8>>>::decode(Bytes::new()).unwrap(), None);
        assert!(<Json as Decode<u8>>::decode(Bytes::new()).is_err());
    }

    #[test]
    fn an_empty_object_is_nothing_to_who_takes_nothing_and_to_nobody_else() {
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Empty {}
        let object = || Bytes::from_static(b" {} ");
        assert_eq!(Json::decode(object()).ok(), Some(()));
        assert_eq!(Json::decode(object()).ok(), Some(Empty {}));
        assert!(<Json as Decode<Option<u8>>>::decode(object()).is_err());
        assert!(<Json as Decode<()>>::decode(Bytes::from_static(b"{\"a\":1}")).is_err());
    }
}
