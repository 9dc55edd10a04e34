//! go-micro's error, as `Micro-Error` carries it.

use std::collections::HashMap;

use micro_core::{Error, ErrorKind};
use serde::de::IgnoredAny;

/// Any text is an error, which comes back from the wire with all that it says.
pub fn error(data: &[u8]) -> bool {
    let text = String::from_utf8_lossy(data);
    let error = Error::from_wire(&text);
    let fields = |error: &Error| {
        (error.id().to_owned(), error.code(), error.detail().to_owned(), error.status().to_owned())
    };
    let length = error.id().len() + error.detail().len() + error.status().len();
    assert!(length <= text.len(), "more came out than went in");
    assert_eq!(error.to_string(), error.detail());
    assert!(error.request().is_none() && std::error::Error::source(&error).is_none());
    if error.code() != 0 {
        assert_eq!(error.kind(), ErrorKind::from_code(error.code()));
    }

    let wire = error.to_wire();
    let again = Error::from_wire(&wire);
    assert_eq!(fields(&again), fields(&error), "it is another once encoded again");
    assert_eq!(again.kind(), error.kind());
    assert_eq!(again.to_wire(), wire);

    let named = Error::from_wire(&text).with_id("somebody");
    let again = Error::from_wire(&named.to_wire());
    assert_eq!(fields(&again), fields(&named), "a name that was given is lost");

    // Of what nobody knows, also what no number can hold is JSON.
    let is_json = serde_json::from_str::<HashMap<String, IgnoredAny>>(&text).is_ok();
    if !is_json {
        assert_eq!((error.code(), error.detail()), (0, &*text), "a text is the message");
        assert_eq!(wire, text, "a text goes back as it came");
    }
    is_json
}
