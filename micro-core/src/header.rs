//! Headers: what travels beside a body.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Keys that go-micro's wire gives a meaning, spelled as it spells them.
pub mod keys {
    macro_rules! keys {
        ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
            $($(#[$doc])* pub const $name: &str = $text;)*

            /// The constant for a key, so that a decoded header allocates nothing for it.
            pub(super) fn constant(key: &str) -> Option<&'static str> {
                match key { $($text => Some($text),)* _ => None }
            }
        };
    }

    keys! {
        /// The content type that the caller wants back.
        ACCEPT = "Accept";
        /// `close`: the sender forgets the socket after this.
        CONNECTION = "Connection";
        /// The content type of the body.
        CONTENT_TYPE = "Content-Type";
        /// `Service.Method`, as newer go-micro names it.
        MICRO_ENDPOINT = "Micro-Endpoint";
        /// An error's JSON or text; `EOS` ends a stream.
        MICRO_ERROR = "Micro-Error";
        /// The request's id, as go-micro v5 and v6 spell it.
        MICRO_ID = "Micro-ID";
        /// The request's id, as go-micro v2 and v3 spell it.
        MICRO_ID_OLD = "Micro-Id";
        /// `Service.Method`.
        MICRO_METHOD = "Micro-Method";
        /// The service's name.
        MICRO_SERVICE = "Micro-Service";
        /// The stream's id.
        MICRO_STREAM = "Micro-Stream";
        /// The topic of an event.
        MICRO_TOPIC = "Micro-Topic";
        /// The time that is left, in nanoseconds, decimal.
        TIMEOUT = "Timeout";
        /// [`MICRO_ENDPOINT`] in an answer.
        X_MICRO_ENDPOINT = "X-Micro-Endpoint";
        /// [`MICRO_ERROR`] in an answer.
        X_MICRO_ERROR = "X-Micro-Error";
        /// [`MICRO_ID`] in an answer.
        X_MICRO_ID = "X-Micro-ID";
        /// [`MICRO_ID_OLD`] in an answer.
        X_MICRO_ID_OLD = "X-Micro-Id";
        /// [`MICRO_METHOD`] in an answer.
        X_MICRO_METHOD = "X-Micro-Method";
        /// [`MICRO_SERVICE`] in an answer.
        X_MICRO_SERVICE = "X-Micro-Service";
    }
}

/// The most entries that a header may have when it comes from outside: far more than anybody
/// sends, few enough that looking each one up among the others costs little.
pub const MAX_ENTRIES: usize = 256;

/// Ordered pairs of strings, one value a key, keys compared exactly.
///
/// Made for the dozen entries of a call: a search is a walk over one `Vec`, and the keys in
/// [`keys`] are never allocated. go-micro's own keys may come in another case;
/// [`get_ignore_case`](Self::get_ignore_case) finds those.
///
/// ```
/// use micro_core::header::{Header, keys};
///
/// let mut header = Header::new();
/// header.insert(keys::CONTENT_TYPE, "application/json");
/// header.insert(format!("tenant-{}", 7), "blue");
/// assert_eq!(header.get("Content-Type"), Some("application/json"));
/// assert_eq!(header.get("content-type"), None);
/// assert_eq!(header.get_ignore_case("content-type"), Some("application/json"));
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Header {
    entries: Vec<(Text, Text)>,
}

type Text = Cow<'static, str>;

impl Header {
    /// An empty header; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new() }
    }

    /// An empty header with room for this many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self { entries: Vec::with_capacity(entries) }
    }

    /// Sets a key; the value that it had comes back.
    pub fn insert(&mut self, key: impl Into<Text>, value: impl Into<Text>) -> Option<Text> {
        let (key, value) = (key.into(), value.into());
        match self.entries.iter_mut().find(|(k, _)| *k == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                self.entries.push((key, value));
                None
            }
        }
    }

    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries.iter().find(|(k, _)| k == key).map(|(_, v)| &**v)
    }

    /// The value of this key in whatever ASCII case; an exact match is preferred.
    pub fn get_ignore_case(&self, key: &str) -> Option<&str> {
        self.get(key).or_else(|| {
            self.entries.iter().find(|(k, _)| k.eq_ignore_ascii_case(key)).map(|(_, v)| &**v)
        })
    }

    /// Removes exactly this key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<Text> {
        let at = self.entries.iter().position(|(k, _)| k == key)?;
        Some(self.entries.remove(at).1)
    }

    /// The entries, in the order in which their keys were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.entries.iter().map(|(k, v)| (&**k, &**v))
    }

    /// Keeps the entries for which `keep` holds, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.entries.retain(|(k, v)| keep(k, v));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// Keys, and the values of those that belong to the wire: what an application sends may be secret.
impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.iter() {
            if crate::wire::is_reserved(key) {
                map.entry(&key, &value);
            } else {
                map.entry(&key, &format_args!("{} bytes", value.len()));
            }
        }
        map.finish()
    }
}

impl<K: Into<Text>, V: Into<Text>> FromIterator<(K, V)> for Header {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut header = Self::new();
        header.extend(entries);
        header
    }
}

impl<K: Into<Text>, V: Into<Text>> Extend<(K, V)> for Header {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

/// A JSON object in the header's order.
impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

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
        let mut header = Header::with_capacity(map.size_hint().unwrap_or(12).min(MAX_ENTRIES));
        while let Some(Key(key)) = map.next_key()? {
            header.insert(key, map.next_value::<String>()?);
            if header.len() > MAX_ENTRIES {
                return Err(A::Error::custom(format!("more than {MAX_ENTRIES} header entries")));
            }
        }
        Ok(header)
    }
}

/// A key, owned only if it is not one of the constants.
struct Key(Text);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl Visitor<'_> for KeyVisitor {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, key: &str) -> Result<Key, E> {
        Ok(Key(keys::constant(key).map_or_else(|| Cow::Owned(key.to_owned()), Cow::Borrowed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_reads_as_empty() {
        assert_eq!(serde_json::from_str::<Header>("null").unwrap(), Header::new());
    }

    #[test]
    fn the_last_of_two_equal_keys_holds_in_the_place_of_the_first() {
        let header: Header = serde_json::from_str(r#"{"a":"1","b":"2","a":"3"}"#).unwrap();
        assert_eq!(header.iter().collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn a_value_that_is_no_string_is_an_error() {
        assert!(serde_json::from_str::<Header>(r#"{"a":1}"#).is_err());
        assert!(serde_json::from_str::<Header>(r#"["a"]"#).is_err());
    }

    #[test]
    fn too_many_entries_are_an_error() {
        let many = |n: usize| {
            let entries: Vec<_> = (0..n).map(|i| format!(r#""k{i}":"""#)).collect();
            serde_json::from_str::<Header>(&format!("{{{}}}", entries.join(",")))
        };
        assert_eq!(many(MAX_ENTRIES).unwrap().len(), MAX_ENTRIES);
        assert!(many(MAX_ENTRIES + 1).is_err());
    }

    #[test]
    fn known_keys_are_not_allocated() {
        let header: Header = serde_json::from_str(r#"{"Micro-ID":"0","own":"1"}"#).unwrap();
        assert!(matches!(header.entries[0].0, Cow::Borrowed("Micro-ID")));
        assert!(matches!(header.entries[1].0, Cow::Owned(_)));
    }

    #[test]
    fn retain_and_remove_keep_the_order_of_the_rest() {
        let mut header: Header =
            [("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")].into_iter().collect();
        assert_eq!(header.remove("b").as_deref(), Some("2"));
        header.retain(|k, _| k != "c");
        assert_eq!(header.iter().collect::<Vec<_>>(), [("a", "1"), ("d", "4")]);
    }
}
