//! How messages are written, so that go-micro can read them and those without harm.

use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::{Node, Service};
use micro_core::{Error, Result};
use serde::Serialize;

use super::{Ids, LEASE_KEY, LONGEST_LEASE, Target};

#[derive(Serialize)]
struct ResultOut<'a> {
    #[serde(rename = "Service")]
    service: Option<&'a Service>,
    #[serde(rename = "Action")]
    action: &'a str,
    #[serde(rename = "Micro")]
    ours: Ours<'a>,
}

#[derive(Serialize)]
struct Ours<'a> {
    id: &'a str,
}

/// A query, with the id that tells our own nodes that it is the same on several subjects.
pub(crate) fn encode_query(target: &Target, id: &str) -> Bytes {
    let ours = Ours { id };
    match target {
        Target::All => encode(&ResultOut { service: None, action: "list", ours }),
        Target::Name(name) => {
            let service = Service::new(name.as_str(), "");
            encode(&ResultOut { service: Some(&service), action: "get", ours })
        }
    }
}

/// An announcement of nodes: one message, or one for each node if one would be too large.
pub(crate) fn encode_announcements(
    action: &str,
    service: &Service,
    lease: Duration,
    ids: &Ids,
    max: usize,
) -> Vec<Bytes> {
    in_parts(service, lease, max, |service| encode_announcement(action, service, &ids.make()))
}

/// The answers to a query: one message, or one for each node if one would be too large.
pub(crate) fn encode_answers(service: &Service, lease: Duration, max: usize) -> Vec<Bytes> {
    in_parts(service, lease, max, encode)
}

fn encode_announcement(action: &str, service: &Service, id: &str) -> Bytes {
    encode(&ResultOut { service: Some(service), action, ours: Ours { id } })
}

fn in_parts(
    service: &Service,
    lease: Duration,
    max: usize,
    encode: impl Fn(&Service) -> Bytes,
) -> Vec<Bytes> {
    let service = with_lease(service, lease);
    let whole = encode(&service);
    if whole.len() <= max || service.nodes.len() < 2 {
        return vec![whole];
    }
    let alone = |node: &Node| encode(&Service { nodes: vec![node.clone()], ..service.clone() });
    service.nodes.iter().map(alone).collect()
}

/// Nodes say goodbye: as go-micro says it, with neither metadata nor endpoints.
pub(crate) fn encode_farewell(
    name: &str,
    version: &str,
    nodes: &[Node],
    id: &str,
) -> Option<Bytes> {
    if nodes.is_empty() {
        return None;
    }
    let mut service = Service::new(name, version);
    service.nodes = nodes.iter().map(|node| Node::new(&*node.id, &*node.address)).collect();
    let ours = Ours { id };
    Some(encode(&ResultOut { service: Some(&service), action: "delete", ours }))
}

/// A hash (FNV-1a) of all that is told of a service but its nodes, to be made once for all of
/// them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Description(u64);

impl Description {
    pub(crate) fn of(service: &Service) -> Self {
        let bare = Service {
            name: service.name.clone(),
            version: service.version.clone(),
            metadata: service.metadata.clone(),
            endpoints: service.endpoints.clone(),
            nodes: Vec::new(),
        };
        let encoded = encode(&bare);
        // The nodes come last, here as none.
        let before = encoded.strip_suffix(b"null}").unwrap_or(&encoded);
        Self(hash(0xcbf2_9ce4_8422_2325, before))
    }

    /// A hash of all that is told of one node but its lease; the same on both sides: of the
    /// service with this node alone, as it is encoded.
    pub(crate) fn with(self, node: &Node) -> u64 {
        [b"[", &*encode(node), b"]}"].into_iter().fold(self.0, hash)
    }
}

fn hash(start: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// What of a description can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    Whole,
    /// Only without the types of its endpoints; with them it has this many bytes.
    WithoutTypes(usize),
}

/// What of a description can be sent in messages of at most `max` bytes, a node at a time.
///
/// # Errors
/// `TooLarge` if it does not even fit without the types.
pub(crate) fn fit(service: &Service, max: usize) -> Result<Fit> {
    let largest = |service: &Service| {
        // As long as the id and the lease can be: neither may make a difference later.
        let service = with_lease(service, LONGEST_LEASE);
        // The rest is the same for all of them.
        let node = service.nodes.iter().max_by_key(|node| encode(node).len());
        let one = |node: &Node| Service { nodes: vec![node.clone()], ..service.clone() };
        let size = |one| encode_announcement("create", &one, &"x".repeat(64)).len();
        node.map(one).map_or(0, size)
    };
    let whole = largest(service);
    if whole <= max {
        return Ok(Fit::Whole);
    }
    let without = largest(&without_types(service.clone()));
    if without <= max {
        return Ok(Fit::WithoutTypes(whole));
    }
    let what = format!("the description of service {}", service.name);
    Err(Error::too_large(&what, without, max))
}

/// The service without the types of its endpoints: by far the largest part of a description, and
/// the one that no caller needs.
pub(crate) fn without_types(mut service: Service) -> Service {
    for endpoint in &mut service.endpoints {
        endpoint.request = None;
        endpoint.response = None;
    }
    service
}

fn with_lease(service: &Service, lease: Duration) -> Service {
    let mut service = service.clone();
    for node in &mut service.nodes {
        node.metadata.insert(LEASE_KEY.to_owned(), millis(lease).to_string());
    }
    service
}

pub(super) fn millis(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn encode<T: Serialize>(value: &T) -> Bytes {
    // Structs of texts, numbers and maps with text keys always encode.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}
