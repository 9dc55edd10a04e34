//! Headers: what travels beside a body.

mod decode;
pub mod keys;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};

/// The most entries that a header may have when it comes from outside: far more than anybody
/// sends, few enough that looking each one up among the others costs little.
pub const MAX_ENTRIES: usize = 256;

/// Ordered pairs of strings, one value a key, keys compared exactly.
///
/// Made for the dozen entries of a call: a search is a walk over one `Vec`, the keys in [`keys`]
/// are never allocated, and all texts of a header that was decoded lie in one allocation, which
/// its clones share. go-micro's own keys may come in another case;
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
#[derive(Clone, Default)]
pub struct Header {
    entries: Vec<(Text, Text)>,
    /// What the [`Text::Decoded`] of the entries are parts of.
    decoded: Option<Arc<str>>,
}

#[derive(Clone)]
enum Text {
    Constant(&'static str),
    Own(Box<str>),
    Decoded { start: u32, end: u32 },
}

impl Text {
    /// `all`: the texts of the header that it belongs to.
    fn of<'a>(&'a self, all: &'a str) -> &'a str {
        match self {
            Self::Constant(text) => text,
            Self::Own(text) => text,
            Self::Decoded { start, end } => {
                all.get(*start as usize..*end as usize).unwrap_or_default()
            }
        }
    }
}

impl From<Cow<'static, str>> for Text {
    fn from(text: Cow<'static, str>) -> Self {
        match text {
            Cow::Borrowed(text) => Self::Constant(text),
            Cow::Owned(text) => Self::Own(text.into()),
        }
    }
}

impl Header {
    /// An empty header; allocates nothing.
    pub const fn new() -> Self {
        Self { entries: Vec::new(), decoded: None }
    }

    /// An empty header with room for this many entries.
    pub fn with_capacity(entries: usize) -> Self {
        Self { entries: Vec::with_capacity(entries), decoded: None }
    }

    /// Sets a key; true if it had a value before.
    pub fn insert(
        &mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> bool {
        let (key, value) = (key.into(), value.into().into());
        match self.position(&key) {
            Some(at) => {
                self.entries[at].1 = value;
                true
            }
            None => {
                if self.entries.capacity() == 0 {
                    // Whoever sets one sets a few.
                    self.entries.reserve(8);
                }
                self.entries.push((key.into(), value));
                false
            }
        }
    }

    /// The value of exactly this key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// The value of this key in whatever ASCII case; an exact match is preferred.
    pub fn get_ignore_case(&self, key: &str) -> Option<&str> {
        let mut alike = None;
        for (known, value) in self.iter().filter(|(known, _)| known.len() == key.len()) {
            if known == key {
                return Some(value);
            }
            if alike.is_none() && known.eq_ignore_ascii_case(key) {
                alike = Some(value);
            }
        }
        alike
    }

    /// Removes exactly this key and returns its value.
    pub fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.position(key)?;
        let (_, value) = self.entries.remove(at);
        Some(value.of(self.decoded()).to_owned())
    }

    /// The entries, in the order in which their keys were first set.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        let all = self.decoded();
        self.entries.iter().map(move |(k, v)| (k.of(all), v.of(all)))
    }

    /// Keeps the entries for which `keep` holds, in their order.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        let all = self.decoded.as_deref().unwrap_or_default();
        self.entries.retain(|(k, v)| keep(k.of(all), v.of(all)));
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or_default()
    }

    fn position(&self, key: &str) -> Option<usize> {
        self.iter().position(|(k, _)| k == key)
    }
}

/// The same entries in the same order.
impl PartialEq for Header {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Header {}

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

impl<K: Into<Cow<'static, str>>, V: Into<Cow<'static, str>>> FromIterator<(K, V)> for Header {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut header = Self::new();
        header.extend(entries);
        header
    }
}

impl<K: Into<Cow<'static, str>>, V: Into<Cow<'static, str>>> Extend<(K, V)> for Header {
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
        assert!(matches!(header.entries[0].0, Text::Constant("Micro-ID")));
        assert!(matches!(header.entries[1].0, Text::Decoded { .. }));
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
