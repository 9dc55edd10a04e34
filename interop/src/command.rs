//! What a Go client is told to do.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::base64;

/// What a Go client is told to do; `interop/go/client.go` lists what there is.
#[derive(Clone, Debug)]
pub struct Command(pub(crate) Map<String, Value>);

impl Command {
    /// Something to do.
    pub fn new(what: &str) -> Self {
        Self(Map::new()).with("do", what)
    }

    /// A call, without retries.
    pub fn call(service: &str, endpoint: &str) -> Self {
        Self::new("call").with("service", service).with("endpoint", endpoint)
    }

    /// So many calls, so many at once, each with a name of its own; its value is a tally.
    pub fn load(service: &str, endpoint: &str, count: usize, at: usize) -> Self {
        Self::new("load")
            .with("service", service)
            .with("endpoint", endpoint)
            .with("count", count)
            .with("at", at)
    }

    /// Packets as they are, over one socket, and how many replies are expected.
    pub fn packets(address: &str, packets: &[Value], replies: usize) -> Self {
        Self::new("packets")
            .with("address", address)
            .with("packets", packets)
            .with("replies", replies)
    }

    /// Any key.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Serialize) -> Self {
        self.0.insert(key.to_owned(), json!(value));
        self
    }

    /// The body, as JSON.
    #[must_use]
    pub fn body(self, body: &impl Serialize) -> Self {
        self.with("body", json!(body))
    }

    /// The content type; JSON without.
    #[must_use]
    pub fn content(self, content_type: &str) -> Self {
        self.with("content", content_type)
    }

    /// A body of bytes as they are.
    #[must_use]
    pub fn raw(self, data: &[u8]) -> Self {
        self.with("type", "raw").with("data", base64(data))
    }

    /// The caller's metadata.
    #[must_use]
    pub fn metadata(self, metadata: &[(&str, &str)]) -> Self {
        let metadata: Map<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        self.with("metadata", metadata)
    }

    /// How long it may take as a whole.
    #[must_use]
    pub fn millis(self, millis: u64) -> Self {
        self.with("millis", millis)
    }
}
