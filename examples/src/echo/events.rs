//! Events, each printed as a line of JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};

use micro::codec::Raw;
use micro::middleware::IncomingEvent;
use micro::server::SubscriberOptions;
use micro::{Bytes, Context, Server};
use serde::Serialize;
use serde_json::{Value, json};
use tower::util::MapRequestLayer;

/// Subscribes to a topic, of whatever content, and prints each event: the topic that it came by,
/// its whole header, its [body].
pub fn print(server: Server, topic: &str, queue: Option<String>) -> Server {
    // As they come.
    let mut options = SubscriberOptions::default().in_order();
    options.queue = queue;
    server
        // A handler sees metadata; what an event came with is seen around it.
        .event_layer(MapRequestLayer::new(|event: IncomingEvent| {
            let message = event.message();
            line(&Event {
                topic: event.context().endpoint(),
                header: message.header.iter().collect(),
                body: body(&message.body),
            });
            event
        }))
        .subscriber_with::<Raw, Bytes, _, _>(topic, options, async |_: Context, _| Ok(()))
}

/// Prints a value as one line of JSON. Whoever does not read any more misses it.
pub fn line(value: &impl Serialize) {
    let text = serde_json::to_string(value).map_err(io::Error::from);
    let printed = text.and_then(|text| {
        let mut out = io::stdout().lock();
        writeln!(out, "{text}")?;
        out.flush()
    });
    if let Err(error) = printed {
        tracing::warn!(%error, "a line could not be printed");
    }
}

/// A body as JSON: itself if it is that, else a string if it is text, else `{"base64": "…"}`.
pub fn body(body: &[u8]) -> Value {
    let json = || serde_json::from_slice(body).ok();
    let text = || std::str::from_utf8(body).ok().map(Value::from);
    let bytes = || json!({ "base64": base64_simd::STANDARD.encode_to_string(body) });
    json().or_else(text).unwrap_or_else(bytes)
}

#[derive(Serialize)]
struct Event<'a> {
    topic: &'a str,
    header: BTreeMap<&'a str, &'a str>,
    body: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_told_as_json_as_text_or_as_base64() {
        assert_eq!(body(br#"{"a": [1, null]}"#), json!({ "a": [1, null] }));
        assert_eq!(body(b"hello"), json!("hello"));
        assert_eq!(body(b""), json!(""));
        assert_eq!(body(&[0xff, 0]), json!({ "base64": "/wA=" }));
    }
}
