//! go-micro's envelope.

use micro_core::header::MAX_ENTRIES;
use micro_core::wire::envelope::{decode, encode};
use serde_json::Value;

use crate::echo;

/// An envelope that is read comes back from its encoding, is no larger than what it was read
/// from, and is what a JSON reader sees; an error says nothing of what came.
pub fn envelope(data: &[u8]) -> bool {
    let (header, body) = match decode(data) {
        Ok(read) => read,
        Err(error) => {
            let text = error.to_string();
            assert!(text.len() < 2048, "an error of {} bytes", text.len());
            echo::assert_none(data, &text, |data| decode(data).err().map(|e| e.to_string()));
            return false;
        }
    };
    assert!(header.len() <= MAX_ENTRIES);
    let texts: usize = header.iter().map(|(key, value)| key.len() + value.len()).sum();
    assert!(texts <= data.len() && body.len() <= data.len(), "more came out than went in");

    let packet = encode(&header, &body);
    let again = decode(&packet).expect("what was encoded decodes");
    assert_eq!(again, (header, body), "it is another once encoded again");
    assert_eq!(encode(&again.0, &again.1), packet);

    if let Ok(json) = serde_json::from_slice::<Value>(data) {
        let json = json.as_object().expect("an envelope is an object");
        // Of keys that come twice, in whatever case, the reader here does not know the last.
        let of = |name: &str| {
            let mut found = json.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            found.next().filter(|_| found.next().is_none()).map(|(_, value)| value)
        };
        if let Some(Value::Object(entries)) = of("Header") {
            assert_eq!(entries.len(), again.0.len(), "not the same number of entries");
            for (key, value) in entries {
                assert_eq!(again.0.get(key), value.as_str(), "of key {key:?}");
            }
        }
        if let Some(Value::String(text)) = of("Body") {
            let padding = text.len() - text.trim_end_matches('=').len();
            assert_eq!(again.1.len() + padding, text.len() / 4 * 3, "{text:?}");
        }
    }
    true
}
