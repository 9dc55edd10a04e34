//! A header out of JSON: all its texts into one allocation.

use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, Visitor};

use super::{Header, MAX_ENTRIES, Text, keys};

/// Enough for the texts of a call with a few entries of its own.
const USUAL: usize = 512;

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
        let mut entries: Vec<(Text, Text)> = Vec::with_capacity(24);
        while let Some(key) = map.next_key_seed(Reading { all: &mut all, key: true })? {
            let value = map.next_value_seed(Reading { all: &mut all, key: false })?;
            let earlier = entries.iter_mut().find(|(known, _)| known.of(&all) == key.of(&all));
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
