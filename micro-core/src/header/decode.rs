//! A header out of JSON: all its texts into one allocation.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{Header, MAX_ENTRIES, Text, keys};

/// Enough for the texts of a call with a few entries of its own.
const USUAL: usize = 512;
/// Enough for their entries. Together they take less than a kibibyte, which allocators are
/// quickest with.
const USUAL_ENTRIES: usize = 20;

/// A JSON object of strings, or `null`; of a key that comes twice the last value holds, as in
/// Go. More than [`MAX_ENTRIES`] are an error.
impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings, or null")
    }

    fn visit_unit<E>(self) -> Result<Header, E> {
        Ok(Header::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut all = String::with_capacity(USUAL);
        let mut seen = 0;
        let mut entries: Vec<(Text, Text)> = Vec::with_capacity(USUAL_ENTRIES);
        while let Some(key) = map.next_key_seed(Reading { all: &mut all, key: true })? {
            let value = map.next_value_seed(Reading { all: &mut all, key: false })?;
            // Hardly ever does a key come twice; most of those that do not are told apart by this.
            let mark = mark(key.of(&all));
            let earlier = match seen & mark {
                0 => None,
                _ => entries.iter_mut().find(|(known, _)| known.of(&all) == key.of(&all)),
            };
            seen |= mark;
            match earlier {
                Some((_, old)) => *old = value,
                None => entries.push((key, value)),
            }
            if entries.len() > MAX_ENTRIES {
                return Err(A::Error::custom(format!("more than {MAX_ENTRIES} header entries")));
            }
        }
        let decoded = (!all.is_empty()).then(|| Arc::from(all));
        Ok(Header { entries, decoded })
    }
}

/// One bit of 64, alike for equal texts.
fn mark(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let at = |index: Option<usize>| index.and_then(|i| bytes.get(i)).map_or(0, |b| u64::from(*b));
    let (middle, last) = (at(Some(bytes.len() / 2)), at(bytes.len().checked_sub(1)));
    let mixed = (bytes.len() as u64) << 16 | middle << 8 | last;
    1 << (mixed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58)
}

/// One text; a key is copied only if it is not one of the constants.
struct Reading<'a> {
    all: &'a mut String,
    key: bool,
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Text;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Reading<'_> {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        if self.key
            && let Some(constant) = keys::constant(text)
        {
            return Ok(Text::Constant(constant));
        }
        let start = self.all.len();
        self.all.push_str(text);
        let place = |at: usize| u32::try_from(at).map_err(|_| E::custom("header over 4 GiB"));
        Ok(Text::Decoded { start: place(start)?, end: place(self.all.len())? })
    }
}
