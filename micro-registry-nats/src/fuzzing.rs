//! For the fuzz targets of this workspace alone, and no part of what this crate promises: what
//! holds for a message of discovery, whatever is in it.
//!
//! The types of the messages are private, so what is true of them is written here.

use std::time::Duration;

use micro_core::registry::{Node, Service};

use crate::message::{
    Event, Fit, Garbage, Heartbeat, Ids, LEASE_KEY, LONGEST_LEASE, Target, Told,
    decode_announcement, decode_answer, decode_query, encode_announcements, encode_answers,
    encode_farewell, encode_query, fit,
};

const LEASE: Duration = Duration::from_secs(6);

/// A property that does not hold, in words.
pub type Flaw = &'static str;

/// Reads a message as each kind that there is; says whether one of them took it.
///
/// # Errors
/// The first property that does not hold.
pub fn check(payload: &[u8]) -> Result<bool, Flaw> {
    let kinds = [query(payload)?, announcement(payload)?, answer(payload)?, heartbeat(payload)?];
    Ok(kinds.contains(&true))
}

fn query(payload: &[u8]) -> Result<bool, Flaw> {
    let Ok(question) = decode_query(payload) else { return Ok(false) };
    hold(question.target != Target::Name(String::new()), "a query for no name is taken")?;
    let id = question.id.clone().unwrap_or_else(|| "id".to_owned());
    let again = decoded(decode_query(&encode_query(&question.target, &id)))?;
    hold(again.target == question.target, "a query asks for something else once encoded again")?;
    hold(again.id == Some(id), "a query's id does not come back")?;
    Ok(true)
}

fn announcement(payload: &[u8]) -> Result<bool, Flaw> {
    let Ok(announcement) = decode_announcement(payload) else { return Ok(false) };
    let ids = Ids::new();
    match announcement.event {
        Event::Put(told) => {
            within_limits(&told, payload)?;
            let read = |message: &[u8]| match decoded(decode_announcement(message))?.event {
                Event::Put(told) => Ok(told),
                Event::Delete(_) => Err("a registration is a goodbye once encoded again"),
            };
            survives(
                &told,
                |service, max| encode_announcements("create", service, LEASE, &ids, max),
                read,
            )?;
        }
        Event::Delete(gone) => {
            let id = ids.make();
            let Some(message) = encode_farewell(&gone.name, &gone.version, &gone.nodes, &id) else {
                return Err("a goodbye of no node is taken");
            };
            let again = decoded(decode_announcement(&message))?;
            hold(again.id == Some(id), "a goodbye's id does not come back")?;
            let Event::Delete(again) = again.event else {
                return Err("a goodbye is a registration once encoded again");
            };
            let bare = |node: &Node| Node::new(&*node.id, &*node.address);
            let nodes = gone.nodes.iter().map(bare).collect();
            let bare = Service { nodes, ..Service::new(gone.name, gone.version) };
            hold(again == bare, "a goodbye is of other nodes once encoded again")?;
        }
    }
    Ok(true)
}

fn answer(payload: &[u8]) -> Result<bool, Flaw> {
    let Ok(told) = decode_answer(payload) else { return Ok(false) };
    within_limits(&told, payload)?;
    survives(
        &told,
        |service, max| encode_answers(service, LEASE, max),
        |message| decoded(decode_answer(message)),
    )?;
    Ok(true)
}

fn heartbeat(payload: &[u8]) -> Result<bool, Flaw> {
    let Ok(heartbeat) = Heartbeat::decode(payload) else { return Ok(false) };
    hold(!heartbeat.id().is_empty(), "a heartbeat of no node is taken")?;
    hold(is_lease(heartbeat.lease()), "a heartbeat with a lease out of bounds is taken")?;
    let again = decoded(Heartbeat::decode(&heartbeat.encode()))?;
    hold(again == heartbeat, "a heartbeat is another once encoded again")?;
    Ok(true)
}

fn within_limits(told: &Told, payload: &[u8]) -> Result<(), Flaw> {
    let Told { service, bytes } = told;
    hold(*bytes == payload.len(), "what was told has not the size of its message")?;
    hold(!service.name.is_empty(), "a service without a name is taken")?;
    hold(!service.nodes.is_empty(), "a service without nodes is taken")?;
    hold(service.nodes.iter().all(|node| !node.id.is_empty()), "a node without an id is taken")?;
    let is_bounded = |node: &Node| node.lease.is_none_or(is_lease);
    hold(service.nodes.iter().all(is_bounded), "a lease out of bounds is believed")?;
    let is_hidden = |node: &Node| !node.metadata.contains_key(LEASE_KEY);
    hold(service.nodes.iter().all(is_hidden), "a lease stays in the metadata")
}

/// What was told comes back as it was from one message, and from one message for each node; and
/// what is said to fit does.
fn survives(
    told: &Told,
    encode: impl Fn(&Service, usize) -> Vec<bytes::Bytes>,
    decode: impl Fn(&[u8]) -> Result<Told, Flaw>,
) -> Result<(), Flaw> {
    let service = &told.service;
    let whole = encode(service, usize::MAX);
    hold(whole.len() == 1, "there is a limit where there is none")?;
    let again = decode(&whole[0])?;
    hold(again.service == *service, "a service is another once encoded again")?;
    let has_lease = |node: &Node| node.lease == Some(LEASE);
    hold(again.service.nodes.iter().all(has_lease), "a lease does not come back")?;

    let parts = encode(service, 0);
    hold(parts.len() == service.nodes.len(), "not each node has its message")?;
    for (part, node) in parts.iter().zip(&service.nodes) {
        let alone = decode(part)?.service;
        let expected = Service { nodes: vec![node.clone()], ..service.clone() };
        hold(alone == expected, "a part is not its node's")?;
    }

    // Announcements and leases may be longer here than they were.
    let max = told.bytes + 128;
    if matches!(fit(service, max), Ok(Fit::Whole)) {
        let fits = encode(service, max).iter().all(|message| message.len() <= max);
        hold(fits, "what was said to fit does not")?;
    }
    Ok(())
}

fn is_lease(lease: Duration) -> bool {
    !lease.is_zero() && lease <= LONGEST_LEASE
}

fn decoded<T>(read: Result<T, Garbage>) -> Result<T, Flaw> {
    read.map_err(|_| "what was taken is garbage once encoded again")
}

fn hold(holds: bool, flaw: Flaw) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(flaw) }
}
