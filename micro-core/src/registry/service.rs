//! What a registry tells, in exactly go-micro's JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ServiceName;
use crate::{Error, Result};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Node {
    /// About this instance: its transport, its zone, its lease.
    #[serde(serialize_with = "map_or_null", deserialize_with = "null_as_default")]
    pub metadata: BTreeMap<String, String>,
    /// Unique among the nodes of its service; by convention `<service>-<uuid>`.
    pub id: String,
    /// What its transport dials.
    pub address: String,
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
    /// and every node has an id.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is missing.
    pub fn check(&self) -> Result<ServiceName> {
        let name = ServiceName::new(&self.name)?;
        if self.nodes.is_empty() {
            return Err(Error::invalid_input(format!("service {name} has no node")));
        }
        if self.nodes.iter().any(|node| node.id.is_empty()) {
            return Err(Error::invalid_input(format!("a node of service {name} has no id")));
        }
        Ok(name)
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
