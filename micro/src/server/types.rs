//! What endpoints take and give, as far as somebody said so.

use std::collections::BTreeMap;

use micro_core::registry::{Endpoint, Value};

/// Types by the name of the endpoint.
#[derive(Clone, Default)]
pub(super) struct Types(BTreeMap<String, (Option<Value>, Option<Value>)>);

impl Types {
    #[cfg(feature = "schemars")]
    pub(super) fn set(&mut self, endpoint: &str, request: Option<Value>, response: Option<Value>) {
        self.0.insert(endpoint.to_owned(), (request, response));
    }

    /// An endpoint with its types.
    pub(super) fn described(&self, endpoint: &str) -> Endpoint {
        let (request, response) = self.0.get(endpoint).cloned().unwrap_or_default();
        Endpoint { request, response, ..Endpoint::new(endpoint) }
    }

    /// An endpoint of which something was said, and which is none of these.
    pub(super) fn other_than(&self, known: impl Fn(&str) -> bool) -> Option<&str> {
        self.0.keys().map(String::as_str).find(|endpoint| !known(endpoint))
    }
}
