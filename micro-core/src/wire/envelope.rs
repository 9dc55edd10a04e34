//! go-micro's envelope: `{"Header":{…},"Body":"<base64>"}`, for calls and events alike.

use std::fmt;

use base64_simd::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::codec::json_flaw;
use crate::{Error, Header, Result};

/// The envelope around a header and a body.
///
/// ```
/// use micro_core::Header;
/// use micro_core::wire::envelope;
///
/// let header: Header = [("Micro-Topic", "events")].into_iter().collect();
/// let packet = envelope::encode(&header, b"hi");
/// assert_eq!(packet, r#"{"Header":{"Micro-Topic":"events"},"Body":"aGk="}"#);
/// assert_eq!(envelope::decode(&packet)?, (header, "hi".into()));
/// # Ok::<(), micro_core::Error>(())
/// ```
pub fn encode(header: &Header, body: &[u8]) -> Bytes {
    let mut writer = Writer::new(header.iter().map(|(k, v)| k.len() + v.len() + 6).sum(), body);
    for (key, value) in header.iter() {
        writer.entry(key, value);
    }
    writer.finish(body)
}

/// The header and the body in an envelope. Either may be `null` or missing and is empty then;
/// unknown keys are ignored.
///
/// # Errors
/// `InvalidInput` for anything else.
pub fn decode(packet: &[u8]) -> Result<(Header, Bytes)> {
    // Looked at once as a whole, and not text by text.
    let packet = std::str::from_utf8(packet)
        .map_err(|_| Error::invalid_input("not a go-micro envelope: not UTF-8"))?;
    let Envelope { header, body } = serde_json::from_str(packet).map_err(|error| {
        Error::invalid_input(format!("not a go-micro envelope: {}", json_flaw(&error)))
    })?;
    Ok((header, body))
}

/// Writes an envelope entry by entry, so that a call needs no header of its own.
pub(super) struct Writer {
    out: Vec<u8>,
    empty: bool,
}

impl Writer {
    /// `entries`: about how many bytes the header will take.
    pub(super) fn new(entries: usize, body: &[u8]) -> Self {
        let mut out = Vec::with_capacity(entries + STANDARD.encoded_length(body.len()) + 24);
        out.extend_from_slice(br#"{"Header":{"#);
        Self { out, empty: true }
    }

    /// Goes on from entries that were [kept](Self::into_entries).
    pub(super) fn with_entries(kept: &[u8], more: usize, body: &[u8]) -> Self {
        let room = kept.len() + more + STANDARD.encoded_length(body.len()) + 24;
        let mut out = Vec::with_capacity(room);
        out.extend_from_slice(kept);
        // After an entry there is a quotation mark.
        let empty = out.last() == Some(&b'{');
        Self { out, empty }
    }

    /// What was written, for many envelopes to begin with.
    pub(super) fn into_entries(self) -> Vec<u8> {
        self.out
    }

    /// The key must not have been written before.
    pub(super) fn entry(&mut self, key: &str, value: &str) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
        self.string(key);
        self.out.push(b':');
        self.string(value);
    }

    /// An entry with a number in decimal.
    pub(super) fn number(&mut self, key: &str, number: u64) {
        // 2⁶⁴ has twenty digits.
        let (mut digits, mut at, mut rest) = ([0u8; 20], 20, number);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        // Digits are text.
        self.entry(key, std::str::from_utf8(&digits[at..]).unwrap_or_default());
    }

    pub(super) fn finish(mut self, body: &[u8]) -> Bytes {
        self.out.extend_from_slice(br#"},"Body":""#);
        STANDARD.encode_append(body, &mut self.out);
        self.out.extend_from_slice(br#""}"#);
        self.out.into()
    }

    fn string(&mut self, text: &str) {
        let plain = |b: &u8| *b >= 0x20 && *b != b'"' && *b != b'\\';
        if text.as_bytes().iter().all(plain) {
            self.out.push(b'"');
            self.out.extend_from_slice(text.as_bytes());
            self.out.push(b'"');
        } else {
            let written = serde_json::to_writer(&mut self.out, text);
            debug_assert!(written.is_ok(), "a string always has its JSON, and a Vec takes it");
        }
    }
}

#[derive(Default)]
struct Envelope {
    header: Header,
    body: Bytes,
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with Header and Body")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(field) = map.next_key()? {
            match field {
                Field::Header => envelope.header = map.next_value()?,
                Field::Body => envelope.body = map.next_value::<Body>()?.0,
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// Keys as Go reads them: in any case.
enum Field {
    Header,
    Body,
    Other,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldVisitor;
        impl Visitor<'_> for FieldVisitor {
            type Value = Field;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_str<E>(self, key: &str) -> Result<Field, E> {
                Ok(if key.eq_ignore_ascii_case("Header") {
                    Field::Header
                } else if key.eq_ignore_ascii_case("Body") {
                    Field::Body
                } else {
                    Field::Other
                })
            }
        }
        deserializer.deserialize_str(FieldVisitor)
    }
}

/// Decoded straight from the packet's text, without a string between.
struct Body(Bytes);

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BodyVisitor;
        impl Visitor<'_> for BodyVisitor {
            type Value = Body;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64 text, or null")
            }
            fn visit_unit<E>(self) -> Result<Body, E> {
                Ok(Body(Bytes::new()))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Body, E> {
                match STANDARD.decode_to_vec(text.as_bytes()) {
                    Ok(body) => Ok(Body(body.into())),
                    Err(_) => Err(E::custom("the body is not base64")),
                }
            }
        }
        deserializer.deserialize_any(BodyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_missing_and_empty_are_empty() {
        for text in [
            r#"{"Header":null,"Body":null}"#,
            r#"{"Header":{},"Body":""}"#,
            r#"{}"#,
            r#"{"body":null,"Other":{"deep":[1]}}"#,
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap(), (Header::new(), Bytes::new()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for text in [
            "",
            "null",
            "[]",
            "7",
            r#""text""#,
            r#"{"Header":{"a":1}}"#,
            r#"{"Header":[]}"#,
            r#"{"Body":"@@"}"#,
            r#"{"Body":7}"#,
            r#"{"Body":"aGk="}{"#,
            "\u{0}",
        ] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
        assert!(decode(&[0xff, 0xfe]).is_err());
        assert!(decode("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in [0, 1, 9, 10, 1234567890, u64::MAX] {
            let mut writer = Writer::new(0, b"");
            writer.number("n", number);
            let (header, _) = decode(&writer.finish(b"")).unwrap();
            assert_eq!(header.get("n"), Some(&*number.to_string()));
        }
    }

    #[test]
    fn escaped_text_is_read_and_written() {
        let packet = br#"{"Header":{"k\u0022":"\u003cv\\\n\u00e9"},"Body":"aGk\u003d"}"#;
        let (header, body) = decode(packet).unwrap();
        assert_eq!(header.get("k\""), Some("<v\\\né"));
        assert_eq!(body, "hi");
        assert_eq!(decode(&encode(&header, &body)).unwrap(), (header, body));
    }
}
