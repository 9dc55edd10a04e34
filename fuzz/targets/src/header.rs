//! A header by itself.

use std::collections::HashSet;

use micro_core::Header;
use micro_core::header::MAX_ENTRIES;
use micro_core::wire::{is_reserved, metadata};

const SECRET: &str = "correct-horse-battery-staple";

/// A header that is read has each key once, comes back from its JSON in its order, keeps apart
/// what belongs to the wire, and does not print what belongs to the application.
pub fn header(data: &[u8]) -> bool {
    let Ok(header) = serde_json::from_slice::<Header>(data) else { return false };
    let entries: Vec<(&str, &str)> = header.iter().collect();
    assert!(entries.len() <= MAX_ENTRIES && entries.len() == header.len());
    assert_eq!(header.is_empty(), entries.is_empty());
    let keys: HashSet<&str> = entries.iter().map(|(key, _)| *key).collect();
    assert_eq!(keys.len(), entries.len(), "a key is there twice");
    let texts: usize = entries.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(texts <= data.len(), "more came out than went in");

    let json = serde_json::to_string(&header).expect("a header has its JSON");
    let again: Header = serde_json::from_str(&json).expect("what was encoded decodes");
    assert_eq!(again, header, "it is another once encoded again");
    assert!(again.iter().eq(entries.iter().copied()), "the order is another");

    for (key, value) in &entries {
        assert_eq!(header.get(key), Some(*value));
        assert_eq!(header.get_ignore_case(key), Some(*value), "an exact match is preferred");
        let found = header.get_ignore_case(&key.to_ascii_uppercase());
        assert!(found.is_some(), "{key:?} is not found in upper case");
    }

    let own = metadata(&header);
    let expected = entries.iter().copied().filter(|(key, _)| !is_reserved(key));
    assert!(own.iter().eq(expected), "metadata is what does not belong to the wire");
    let mut wire = header.clone();
    wire.retain(|key, _| is_reserved(key));
    assert_eq!(own.len() + wire.len(), header.len());

    let secret: Header = own.iter().map(|(key, _)| (key.to_owned(), SECRET)).collect();
    let is_a_key = own.iter().any(|(key, _)| key.contains(SECRET));
    assert!(is_a_key || !format!("{secret:?}").contains(SECRET), "printed: {secret:?}");

    let mut rest = header.clone();
    for (key, value) in &entries {
        assert_eq!(rest.remove(key).as_deref(), Some(*value));
    }
    assert!(rest.is_empty());
    true
}
