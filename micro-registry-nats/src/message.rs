//! The messages of discovery: go-micro's *Result* and *Service*, and our heartbeat.
//!
//! What kills a go-micro process cannot be written with these functions: a `get` always has a
//! service, an announcement and a farewell always have a node, and nothing is ever `null`.

mod encode;

use std::cell::Cell;
use std::time::Duration;

use bytes::Bytes;
use micro_core::Result;
use micro_core::registry::Service;
use serde::{Deserialize, Serialize};

pub(crate) use self::encode::{
    Description, Fit, encode_announcements, encode_answers, encode_farewell, encode_query, fit,
    without_types,
};
use self::encode::{encode, millis};

/// The key of a node's metadata that says how long to believe it without a word, in milliseconds.
pub(crate) const LEASE_KEY: &str = "micro-lease";

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

/// A service as it was told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// Its nodes' leases are taken out of their metadata.
    pub(crate) service: Service,
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

fn message_id(ours: Option<OursIn>) -> Option<MessageId> {
    let id = ours?.id;
    (!id.is_empty() && id.len() <= LONGEST_KEY).then_some(id)
}

fn told(mut service: Service, bytes: usize) -> Result<Told, Garbage> {
    check(&service)?;
    for node in &mut service.nodes {
        // A lease that is none is ignored: the node then lives as long as one without.
        let millis = node.metadata.remove(LEASE_KEY).and_then(|text| text.parse().ok());
        let lease = millis.filter(|millis| *millis > 0).map(Duration::from_millis);
        node.lease = lease.map(|lease| lease.min(LONGEST_LEASE));
    }
    Ok(Told { service, bytes })
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

#[cfg(test)]
mod tests;
