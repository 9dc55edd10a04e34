//! What a registry tells, in exactly go-micro's JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ServiceName;
use crate::{Error, Result};

/// How deep the types of an endpoint may be nested, far deeper than anybody's messages are. Each
/// level is two of JSON's, and whoever reads with serde_json reads 128 of those.
pub const MAX_DEPTH: usize = 32;

/// One version of a service and its nodes.
///
/// The JSON is go-micro's: on the way out an empty map or list is `null`, on the way in it may be
/// `null`, empty or missing, and unknown keys are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Service {
    /// The name that callers ask for.
    pub name: String,
    /// Any text; nodes of different versions are told apart.
    pub version: String,
    /// About the service as a whole.
    #[serde(serialize_with = "map_or_null", deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// What can be called.
    #[serde(serialize_with = "list_or_null", deserialize_with = "null_as_default")]
    pub endpoints: Vec<Endpoint>,
    /// Where.
    #[serde(serialize_with = "list_or_null", deserialize_with = "null_as_default")]
    pub nodes: Vec<Node>,
}

/// One running instance.
///
/// Equal to another if its metadata, id and address are; its [`lease`](Self::lease) does not count.
#[derive(Clone, Debug, Default, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// About this instance: its transport, its zone.
    #[serde(serialize_with = "map_or_null", deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// Unique among the nodes of its service; by convention `<service>-<uuid>`.
    pub id: String,
    /// What its transport dials.
    pub address: String,
    /// How long the registry believes it without a word from it, as the node itself last said in
    /// full; `None` where it said nothing: then a time of the backend's own, or for ever.
    ///
    /// A registry tells it and does not take it: who registers says it in
    /// [`RegisterOptions`](super::RegisterOptions), or the backend does. It is not part of the JSON.
    #[serde(skip)]
    pub lease: Option<Duration>,
}

/// One thing that can be called or subscribed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// What it takes, if that is known.
    pub request: Option<Value>,
    /// What it gives, if that is known.
    pub response: Option<Value>,
    /// `stream=true`, `subscriber=true`, `topic=…`, a description.
    #[serde(serialize_with = "map_or_null", deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// `Greeter.Hello`.
    pub name: String,
}

/// The description of a type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Value {
    /// The field's name, or the type's.
    pub name: String,
    /// The type's name in the language of the service.
    #[serde(rename = "type")]
    pub kind: String,
    /// The fields.
    #[serde(serialize_with = "list_or_null", deserialize_with = "null_as_default")]
    pub values: Vec<Self>,
}

impl Service {
    /// A service without nodes.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self { name: name.into(), version: version.into(), ..Self::default() }
    }

    /// Adds a node.
    #[must_use]
    pub fn with_node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    /// The service's name, if the service can be registered: a good name, at least one node,
    /// every node has an id, and no type is nested more than [`MAX_DEPTH`] deep.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is missing or too much.
    pub fn check(&self) -> Result<ServiceName> {
        let name = ServiceName::new(&self.name)?;
        if self.nodes.is_empty() {
            return Err(Error::invalid_input(format!("service {name} has no node")));
        }
        if self.nodes.iter().any(|node| node.id.is_empty()) {
            return Err(Error::invalid_input(format!("a node of service {name} has no id")));
        }
        let types = |endpoint: &'_ Endpoint| {
            let both = [endpoint.request.as_ref(), endpoint.response.as_ref()];
            both.into_iter().flatten().all(|value| !value.is_deeper_than(MAX_DEPTH))
        };
        if let Some(endpoint) = self.endpoints.iter().find(|endpoint| !types(endpoint)) {
            return Err(Error::invalid_input(format!(
                "a type of endpoint {} of service {name} is nested more than {MAX_DEPTH} deep",
                endpoint.name
            )));
        }
        Ok(name)
    }
}

impl Value {
    fn is_deeper_than(&self, levels: usize) -> bool {
        match levels.checked_sub(1) {
            None => true,
            Some(levels) => self.values.iter().any(|value| value.is_deeper_than(levels)),
        }
    }
}

impl Node {
    /// A node without metadata.
    pub fn new(id: impl Into<String>, address: impl Into<String>) -> Self {
        Self { id: id.into(), address: address.into(), ..Self::default() }
    }

    /// Adds or replaces one entry of the metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        // Without the lease, which nodes stretch as their service grows: the node is the same, and
        // whoever watches has nothing to do.
        let Self { metadata, id, address, lease: _ } = self;
        (metadata, id, address) == (&other.metadata, &other.id, &other.address)
    }
}

impl Endpoint {
    /// An endpoint without types and metadata.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Adds or replaces one entry of the metadata.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}

fn map_or_null<S: Serializer>(map: &BTreeMap<String, String>, out: S) -> Result<S::Ok, S::Error> {
    (!map.is_empty()).then_some(map).serialize(out)
}

fn list_or_null<T: Serialize, S: Serializer>(list: &[T], out: S) -> Result<S::Ok, S::Error> {
    (!list.is_empty()).then_some(list).serialize(out)
}

fn null_as_default<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_nested_so_deep_and_no_deeper() {
        let nested = |levels: usize| {
            let value = (1..levels).fold(Value::default(), |inner, _| Value {
                values: vec![inner],
                ..Value::default()
            });
            let mut service = Service::new("s", "1").with_node(Node::new("s-1", "here"));
            service.endpoints.push(Endpoint { request: Some(value), ..Endpoint::new("S.Deep") });
            service
        };
        let deepest = nested(MAX_DEPTH);
        deepest.check().unwrap();
        let text = serde_json::to_string(&deepest).unwrap();
        assert_eq!(serde_json::from_str::<Service>(&text).unwrap(), deepest);
        let error = nested(MAX_DEPTH + 1).check().unwrap_err();
        assert!(error.to_string().contains("S.Deep"), "{error}");
    }
}
