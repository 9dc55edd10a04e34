//! The messages of discovery: go-micro's *Result* and *Service*, and our heartbeat.
//!
//! What kills a go-micro process cannot be written with these functions: a `get` always has a
//! service, an announcement and a farewell always have a node, and nothing is ever `null`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::{Node, Service};
use micro_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The key of a node's metadata that says how long to believe it without a word, in milliseconds.
const LEASE_KEY: &str = "micro-lease";

/// No lease is believed for longer: what a peer says must not overflow a clock. One of a service
/// with 100,000 nodes is 50 minutes.
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(3600);

/// A longer name, version, id or address is nobody's, but would be kept as a key.
const LONGEST_KEY: usize = 1024;

/// Why a message is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Garbage(pub(crate) &'static str);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    All,
    Name(String),
}

/// A query of somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) target: Target,
    pub(crate) id: Option<MessageId>,
}

/// What messages of ours carry beyond go-micro's, which ignores it: the same on the subjects of
/// both generations, so that we count the message once.
pub(crate) type MessageId = String;

/// A service as it was told, with the leases of its nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Without the leases in its nodes' metadata, which are nobody's business but ours.
    pub(crate) service: Service,
    /// By node id.
    pub(crate) leases: BTreeMap<String, Duration>,
    /// How large the message was.
    pub(crate) bytes: usize,
}

/// An announcement of somebody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) event: Event,
    pub(crate) id: Option<MessageId>,
}

/// What an announcement says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// These nodes are there.
    Put(Told),
    /// These nodes are gone.
    Delete(Service),
}

/// A sign of life of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    id: String,
    #[serde(default)]
    version: String,
    /// Milliseconds.
    lease: u64,
    hash: String,
}

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

#[derive(Deserialize)]
struct ResultIn {
    #[serde(rename = "Service", default)]
    service: Option<Service>,
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Micro", default)]
    ours: Option<OursIn>,
}

#[derive(Deserialize)]
struct OursIn {
    #[serde(default)]
    id: String,
}

/// Makes ids for our messages; all begin alike, so that we know what came back to us.
#[derive(Debug)]
pub(crate) struct Ids {
    prefix: String,
    next: Cell<u64>,
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { prefix: format!("{:032x}.", fastrand::u128(..)), next: Cell::new(0) }
    }

    pub(crate) fn make(&self) -> MessageId {
        let number = self.next.get();
        self.next.set(number + 1);
        format!("{}{number}", self.prefix)
    }

    pub(crate) fn is_ours(&self, id: &str) -> bool {
        id.starts_with(&self.prefix)
    }
}

impl Target {
    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Name(wanted) => wanted == name,
        }
    }
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

/// What a query subject brought.
pub(crate) fn decode_query(payload: &[u8]) -> Result<Question, Garbage> {
    let result: ResultIn = decode(payload)?;
    let target = match (result.action.as_str(), result.service) {
        ("list", _) => Target::All,
        ("get", Some(service)) if !service.name.is_empty() => Target::Name(service.name),
        ("get", _) => return Err(Garbage("a get without a service")),
        _ => return Err(Garbage("a query with an unknown action")),
    };
    Ok(Question { target, id: message_id(result.ours) })
}

/// What a watch subject brought.
pub(crate) fn decode_announcement(payload: &[u8]) -> Result<Announcement, Garbage> {
    let result: ResultIn = decode(payload)?;
    let service = result.service.ok_or(Garbage("an announcement without a service"))?;
    let event = match result.action.as_str() {
        "create" | "update" | "put" => Event::Put(told(service, payload.len())?),
        "delete" => {
            check(&service)?;
            Event::Delete(service)
        }
        _ => return Err(Garbage("an announcement with an unknown action")),
    };
    Ok(Announcement { event, id: message_id(result.ours) })
}

/// What an answer to a query of ours says.
pub(crate) fn decode_answer(payload: &[u8]) -> Result<Told, Garbage> {
    told(decode(payload)?, payload.len())
}

impl Heartbeat {
    pub(crate) fn new(version: &str, id: &str, lease: Duration, hash: u64) -> Self {
        Self {
            id: id.to_owned(),
            version: version.to_owned(),
            lease: millis(lease),
            hash: format!("{hash:016x}"),
        }
    }

    pub(crate) fn encode(&self) -> Bytes {
        encode(self)
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, Garbage> {
        let heartbeat: Self = decode(payload)?;
        let keys = [&heartbeat.id, &heartbeat.version];
        let too_long = keys.iter().any(|key| key.len() > LONGEST_KEY);
        if heartbeat.id.is_empty() || too_long || heartbeat.lease == 0 {
            return Err(Garbage("a heartbeat without a node or a lease"));
        }
        Ok(heartbeat)
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    pub(crate) fn lease(&self) -> Duration {
        Duration::from_millis(self.lease).min(LONGEST_LEASE)
    }

    pub(crate) fn is_of(&self, hash: u64) -> bool {
        u64::from_str_radix(&self.hash, 16) == Ok(hash)
    }
}

/// A hash (FNV-1a) of all that is told of one node but its lease; the same on both sides.
pub(crate) fn describe(service: &Service, node: &Node) -> u64 {
    let one = Service { nodes: vec![node.clone()], ..service.clone() };
    encode(&one).iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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
        let size = |node: &Node| {
            let one = Service { nodes: vec![node.clone()], ..service.clone() };
            encode_announcement("create", &one, &"x".repeat(64)).len()
        };
        service.nodes.iter().map(size).max().unwrap_or(0)
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

fn millis(lease: Duration) -> u64 {
    u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)
}

fn message_id(ours: Option<OursIn>) -> Option<MessageId> {
    let id = ours?.id;
    (!id.is_empty() && id.len() <= LONGEST_KEY).then_some(id)
}

fn told(mut service: Service, bytes: usize) -> Result<Told, Garbage> {
    check(&service)?;
    let mut leases = BTreeMap::new();
    for node in &mut service.nodes {
        // A lease that is none is ignored: the node then lives as long as one without.
        let lease = node.metadata.remove(LEASE_KEY).and_then(|text| text.parse().ok());
        if let Some(lease) = lease.filter(|lease| *lease > 0) {
            leases.insert(node.id.clone(), Duration::from_millis(lease).min(LONGEST_LEASE));
        }
    }
    Ok(Told { service, leases, bytes })
}

fn check(service: &Service) -> Result<(), Garbage> {
    let key = |text: &str| !text.is_empty() && text.len() <= LONGEST_KEY;
    if !key(&service.name) || service.version.len() > LONGEST_KEY {
        return Err(Garbage("a service without a name, or with one too long"));
    }
    if service.nodes.is_empty() {
        return Err(Garbage("a service without nodes"));
    }
    if service.nodes.iter().any(|node| !key(&node.id)) {
        return Err(Garbage("a node without an id, or with one too long"));
    }
    Ok(())
}

fn decode<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, Garbage> {
    // serde takes an array for a struct as well; go-micro does not.
    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Garbage("no JSON object"));
    }
    // The error's own text is left out: it may quote metadata.
    serde_json::from_slice(payload).map_err(|_| Garbage("no JSON of the expected form"))
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    // Structs of texts, numbers and maps with text keys always encode.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use micro_core::registry::{Endpoint, Value};

    use super::*;

    fn text(bytes: &Bytes) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    fn greeter() -> Service {
        let mut service = Service::new("greeter", "1").with_node(Node::new("greeter-1", "a"));
        service.endpoints.push(Endpoint {
            request: Some(Value { name: "Req".into(), kind: "Req".into(), values: vec![] }),
            ..Endpoint::new("Greeter.Hello")
        });
        service
    }

    #[test]
    fn queries_are_go_micros_with_one_key_more() {
        assert_eq!(
            text(&encode_query(&Target::Name("greeter".into()), "i")),
            r#"{"Service":{"name":"greeter","version":"","metadata":null,"endpoints":null,"nodes":null},"Action":"get","Micro":{"id":"i"}}"#
        );
        assert_eq!(
            text(&encode_query(&Target::All, "i")),
            r#"{"Service":null,"Action":"list","Micro":{"id":"i"}}"#
        );
    }

    #[test]
    fn a_farewell_has_nodes_without_metadata_and_never_none() {
        let node = Node::new("greeter-1", "a").with_metadata("k", "v");
        assert_eq!(
            text(&encode_farewell("greeter", "1", &[node], "i").unwrap()),
            r#"{"Service":{"name":"greeter","version":"1","metadata":null,"endpoints":null,"nodes":[{"metadata":null,"id":"greeter-1","address":"a"}]},"Action":"delete","Micro":{"id":"i"}}"#
        );
        assert_eq!(encode_farewell("greeter", "1", &[], "i"), None);
    }

    fn announce(service: &Service, lease: Duration) -> Bytes {
        encode_announcements("create", service, lease, &Ids::new(), 10_000).remove(0)
    }

    fn put(bytes: &Bytes) -> Told {
        match decode_announcement(bytes).unwrap().event {
            Event::Put(told) => told,
            other => panic!("not an announcement of nodes: {other:?}"),
        }
    }

    #[test]
    fn the_lease_goes_over_the_wire_and_not_to_the_user() {
        let lease = Duration::from_secs(6);
        let bytes = announce(&greeter(), lease);
        assert!(text(&bytes).contains(r#""micro-lease":"6000""#));
        let told = put(&bytes);
        assert_eq!(told.service, greeter());
        assert_eq!(told.leases["greeter-1"], lease);
    }

    #[test]
    fn leases_that_are_none_or_too_long_do_no_harm() {
        for (lease, expected) in [
            ("x", None),
            ("0", None),
            ("-1", None),
            ("18446744073709551615", Some(LONGEST_LEASE)),
            ("18446744073709551616", None),
        ] {
            let mut service = greeter();
            service.nodes[0].metadata.insert(LEASE_KEY.into(), lease.into());
            let told = decode_answer(&encode(&service)).unwrap();
            assert_eq!(told.leases.get("greeter-1").copied(), expected, "{lease}");
        }
        let heartbeat = format!(r#"{{"id":"a","lease":{},"hash":""}}"#, u64::MAX);
        assert_eq!(Heartbeat::decode(heartbeat.as_bytes()).unwrap().lease(), LONGEST_LEASE);
    }

    #[test]
    fn a_large_description_loses_types_first_and_then_is_refused_with_both_sizes() {
        let size = |limit| match fit(&greeter(), limit) {
            Ok(Fit::WithoutTypes(size)) => size,
            other => panic!("{limit}: {other:?}"),
        };
        assert_eq!(fit(&greeter(), 10_000).unwrap(), Fit::Whole);
        let whole = (100..10_000).find(|max| matches!(fit(&greeter(), *max), Ok(Fit::Whole)));
        assert_eq!(size(whole.unwrap() - 1), whole.unwrap());
        let small = (100..10_000).find(|max| fit(&greeter(), *max).is_ok()).unwrap();
        let error = fit(&greeter(), small - 1).unwrap_err();
        assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge);
        assert!(error.detail().contains(&small.to_string()), "{error}");
        assert!(error.detail().contains(&(small - 1).to_string()), "{error}");
        // What was said to fit does, whatever the lease.
        let service = without_types(greeter());
        let sent = encode_announcements("create", &service, LONGEST_LEASE, &Ids::new(), small);
        assert!(sent.len() == 1 && sent[0].len() <= small);
    }

    #[test]
    fn answers_that_are_too_large_together_go_one_by_one() {
        let service = greeter().with_node(Node::new("greeter-2", "b"));
        let lease = Duration::from_secs(6);
        let whole = encode_answers(&service, lease, 10_000);
        assert_eq!(whole.len(), 1);
        let parts = encode_answers(&service, lease, whole[0].len() - 1);
        let ids: Vec<_> = parts
            .iter()
            .map(|part| decode_answer(part).unwrap().service.nodes[0].id.clone())
            .collect();
        assert_eq!(ids, ["greeter-1", "greeter-2"]);
    }

    #[test]
    fn the_hash_is_of_everything_but_the_lease() {
        let service = greeter();
        let hash = describe(&service, &service.nodes[0]);
        let told = put(&announce(&service, Duration::from_secs(9)));
        assert_eq!(describe(&told.service, &told.service.nodes[0]), hash);
        let other = Node { address: "b".into(), ..service.nodes[0].clone() };
        assert_ne!(describe(&service, &other), hash);
        assert!(Heartbeat::new("1", "greeter-1", Duration::from_secs(6), hash).is_of(hash));
    }

    #[test]
    fn garbage_is_garbage_and_nothing_worse() {
        let deep = "[".repeat(100_000);
        let nested = format!(r#"{{"Service":{{"name":"a","endpoints":{deep}"#);
        let in_unknown_key = format!(r#"{{"Action":"get","x":{deep}"#);
        for garbage in [
            "",
            " ",
            "null",
            "{}",
            "[]",
            "\"\"",
            "1",
            "\u{0}\u{1}",
            r#"["get"]"#,
            r#"[null,"get"]"#,
            r#"{"Action":"get"}"#,
            r#"{"Action":"get","Service":null}"#,
            r#"{"Action":"get","Service":{}}"#,
            r#"{"Action":"get","Service":[]}"#,
            r#"{"Action":"get","Service":{"name":null}}"#,
            r#"{"Action":null}"#,
            r#"{"Action":"create"}"#,
            r#"{"Action":"create","Service":{"name":"a"}}"#,
            r#"{"Action":"create","Service":{"name":"a","nodes":[null]}}"#,
            r#"{"Action":"create","Service":{"name":"a","nodes":[{}]}}"#,
            r#"{"Action":"delete","Service":{"name":"a","nodes":null}}"#,
            r#"{"Action":"explode","Service":{"name":"a","nodes":[{"id":"1"}]}}"#,
            &nested,
            &in_unknown_key,
        ] {
            let bytes = garbage.as_bytes();
            let start: String = garbage.chars().take(60).collect();
            assert!(decode_query(bytes).is_err(), "{start}");
            assert!(decode_announcement(bytes).is_err(), "{start}");
            assert!(decode_answer(bytes).is_err(), "{start}");
            assert!(Heartbeat::decode(bytes).is_err(), "{start}");
        }
    }
}
