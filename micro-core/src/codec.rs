//! Bodies: how a value becomes bytes, by content type.
//!
//! A codec is a type without values; a typed call or handler names one. Those here are
//! [`Json`] (serde), `Protobuf` (prost, feature `protobuf`) and [`Raw`] (bytes as they are);
//! an application may add its own.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

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
    /// What it writes.
    const CONTENT_TYPE: &'static str;

    /// Whether it reads a body of this content type (without parameters, in lower case; empty
    /// where the message has none).
    fn accepts(content_type: &str) -> bool;
}

/// A codec that writes `T`.
pub trait Encode<T: ?Sized>: Codec {
    /// The bytes of a value.
    ///
    /// # Errors
    /// `InvalidInput` if the value cannot be written.
    fn encode(value: &T) -> Result<Bytes>;
}

/// A codec that reads `T`.
pub trait Decode<T>: Codec {
    /// The value in a body.
    ///
    /// # Errors
    /// `InvalidInput`, saying where the body is wrong.
    fn decode(body: Bytes) -> Result<T>;
}

/// Whether codec `C` reads a message with this `Content-Type`, parameters and case aside.
///
/// # Errors
/// `UnsupportedMediaType`, naming both.
pub fn check_content_type<C: Codec>(content_type: Option<&str>) -> Result<()> {
    let given = content_type.unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    // Upper case is rare; the common case allocates nothing.
    if C::accepts(essence) || C::accepts(&essence.to_ascii_lowercase()) {
        return Ok(());
    }
    let given = if essence.is_empty() { PROTOBUF } else { given };
    Err(Error::new(
        ErrorKind::UnsupportedMediaType,
        format!("content type {given} is not served here, {} is", C::CONTENT_TYPE),
    ))
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
    /// An empty body reads as `null`: go-micro writes no body for nothing.
    fn decode(body: Bytes) -> Result<T> {
        let text: &[u8] = if body.is_empty() { b"null" } else { &body };
        serde_json::from_slice(text).map_err(|error| {
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

/// Protobuf by prost.
#[cfg(feature = "protobuf")]
#[derive(Clone, Copy, Debug, Default)]
pub struct Protobuf;

#[cfg(feature = "protobuf")]
impl Codec for Protobuf {
    const CONTENT_TYPE: &'static str = PROTOBUF;

    fn accepts(content_type: &str) -> bool {
        matches!(content_type, "" | PROTOBUF | "application/x-protobuf" | "application/proto")
    }
}

#[cfg(feature = "protobuf")]
impl<T: prost::Message> Encode<T> for Protobuf {
    fn encode(value: &T) -> Result<Bytes> {
        Ok(value.encode_to_vec().into())
    }
}

#[cfg(feature = "protobuf")]
impl<T: prost::Message + Default> Decode<T> for Protobuf {
    fn decode(body: Bytes) -> Result<T> {
        T::decode(body).map_err(|error| {
            Error::invalid_input(format!("the body is not the message expected: {error}"))
        })
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
}
