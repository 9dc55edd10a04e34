//! What is said of a node: go-micro's JSON of its service with this node alone, compressed.

use std::collections::BTreeMap;
use std::mem;

use micro_core::registry::{Endpoint, Node, Service, Value};
use micro_core::{Error, Result};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;

use crate::record::{MAX_PARTS, part_room};

/// The largest JSON that is told and read. Compressed it may be a thousand times smaller, so that
/// it must be known before it is unpacked.
pub(crate) const MAX_JSON: usize = 1 << 20;
/// The most endpoints, types and maps that are read. What is told has 34 bytes for each at least, and
/// never so many; an empty one is two bytes of JSON and some 300 of memory.
const MAX_OBJECTS: usize = 1 << 15;
/// The slowest level buys 1 % over this one.
const LEVEL: u8 = 8;

/// A description as it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Description {
    /// Of which content it is: descriptions with the same one are the same.
    pub(crate) revision: u64,
    /// The JSON, deflated (RFC 1951).
    pub(crate) data: Vec<u8>,
}

impl Description {
    /// Of one node of a service.
    ///
    /// # Errors
    /// `TooLarge`, with the size and the limit that it is over.
    pub(crate) fn of(service: &Service, node: &Node, namespace: Option<&str>) -> Result<Self> {
        let alone = Service { nodes: vec![node.clone()], ..service.clone() };
        let json = serde_json::to_vec(&alone)
            .map_err(|error| Error::internal("a service has no JSON").with_source(error))?;
        let what = || format!("the description of node {} of service {}", node.id, service.name);
        if json.len() > MAX_JSON {
            return Err(Error::too_large(&what(), json.len(), MAX_JSON));
        }
        let data = compress_to_vec(&json, LEVEL);
        let limit = usize::from(MAX_PARTS) * part_room(namespace);
        if data.len() > limit {
            return Err(Error::too_large(&format!("{}, compressed,", what()), data.len(), limit));
        }
        Ok(Self { revision: hash(&data), data })
    }

    /// The service with its one node, if that is what it is, and how many bytes it takes.
    pub(crate) fn read(data: &[u8], revision: u64) -> Option<(Service, usize)> {
        if hash(data) != revision {
            return None;
        }
        let json = decompress_to_vec_with_limit(data, MAX_JSON).ok()?;
        if objects(&json) > MAX_OBJECTS {
            return None;
        }
        let service: Service = serde_json::from_slice(&json).ok()?;
        service.check().ok()?;
        let size = size_of(&service);
        (service.nodes.len() == 1).then_some((service, size))
    }
}

/// FNV-1a: the same in every version and on every machine. It tells contents apart and proves
/// nothing about who made them.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// At least as many as there are objects in this JSON, without reading it.
fn objects(json: &[u8]) -> usize {
    json.iter().filter(|byte| **byte == b'{').count()
}

/// About how many bytes a service takes in memory, a hundred times its JSON where that is made for
/// it.
fn size_of(service: &Service) -> usize {
    let Service { name, version, metadata, endpoints, nodes } = service;
    let endpoint = |Endpoint { request, response, metadata, name }: &Endpoint| {
        let types: usize = [request, response].into_iter().flatten().map(size_of_values).sum();
        types + size_of_map(metadata) + name.capacity()
    };
    let node =
        |node: &Node| node.id.capacity() + node.address.capacity() + size_of_map(&node.metadata);
    name.capacity()
        + version.capacity()
        + size_of_map(metadata)
        + endpoints.capacity() * mem::size_of::<Endpoint>()
        + endpoints.iter().map(endpoint).sum::<usize>()
        + nodes.capacity() * mem::size_of::<Node>()
        + nodes.iter().map(node).sum::<usize>()
}

fn size_of_values(Value { name, kind, values }: &Value) -> usize {
    name.capacity()
        + kind.capacity()
        + values.capacity() * mem::size_of::<Value>()
        + values.iter().map(size_of_values).sum::<usize>()
}

/// The nodes of such a map have room for eleven, and half of them at least are in use.
fn size_of_map(map: &BTreeMap<String, String>) -> usize {
    let texts: usize = map.iter().map(|(key, value)| key.capacity() + value.capacity()).sum();
    texts + map.len().div_ceil(6) * 12 * mem::size_of::<(String, String)>()
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    fn service() -> (Service, Node) {
        let node = Node::new("a", "at-a").with_metadata("zone", "1");
        (Service::new("greeter", "1").with_node(node.clone()), node)
    }

    #[test]
    fn a_description_is_read_as_it_was() {
        let (service, node) = service();
        let description = Description::of(&service, &node, None).unwrap();
        let read = |revision| Description::read(&description.data, revision).map(|(read, _)| read);
        assert_eq!(read(description.revision), Some(service));
        assert_eq!(read(description.revision + 1), None);
    }

    #[test]
    fn what_unpacks_to_more_than_the_limit_is_not_read() {
        let (mut service, node) = service();
        service.metadata.insert("large".into(), "x".repeat(MAX_JSON));
        let json = serde_json::to_vec(&service).unwrap();
        let data = compress_to_vec(&json, LEVEL);
        assert!(data.len() < 5000, "{}", data.len());
        assert_eq!(Description::read(&data, hash(&data)), None);
        let error = Description::of(&service, &node, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        for size in [json.len(), MAX_JSON] {
            assert!(error.to_string().contains(&size.to_string()), "{error}");
        }
    }

    #[test]
    fn of_what_is_told_nothing_has_too_many_objects() {
        let (mut service, _) = service();
        let types = vec![Value::default(); MAX_JSON / 34];
        let value = Value { values: types, ..Value::default() };
        service.endpoints = vec![Endpoint { request: Some(value), ..Endpoint::default() }];
        let json = serde_json::to_vec(&service).unwrap();
        assert!(json.len() > MAX_JSON && objects(&json) < MAX_OBJECTS, "{}", objects(&json));
    }

    #[test]
    fn what_would_fill_the_memory_is_not_read() {
        let read = |endpoints: usize| {
            let endpoints = vec!["{}"; endpoints].join(",");
            let json =
                format!(r#"{{"name":"a","nodes":[{{"id":"1"}}],"endpoints":[{endpoints}]}}"#);
            let data = compress_to_vec(json.as_bytes(), LEVEL);
            Description::read(&data, hash(&data))
        };
        let (read_so_far, size) = read(MAX_OBJECTS - 2).unwrap();
        assert!(size >= read_so_far.endpoints.len() * mem::size_of::<Endpoint>(), "{size}");
        assert_eq!(read(MAX_OBJECTS - 1), None);
    }

    #[test]
    fn what_is_no_service_with_one_node_is_not_read() {
        let texts = [
            "",
            "{",
            "null",
            "[]",
            r#"{"name":"a","nodes":[]}"#,
            r#"{"name":"a","nodes":[{"id":"1"},{"id":"2"}]}"#,
            r#"{"name":"a b","nodes":[{"id":"1"}]}"#,
            r#"{"name":"a","nodes":[{"id":""}]}"#,
        ];
        for text in texts {
            let data = compress_to_vec(text.as_bytes(), LEVEL);
            assert_eq!(Description::read(&data, hash(&data)), None, "{text}");
        }
        let whole = compress_to_vec(br#"{"name":"a","nodes":[{"id":"1"}]}"#, LEVEL);
        assert!(Description::read(&whole, hash(&whole)).is_some());
        let cut = &whole[..whole.len() - 1];
        assert_eq!(Description::read(cut, hash(cut)), None);
    }
}
