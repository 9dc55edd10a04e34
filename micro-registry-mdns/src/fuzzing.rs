//! For the fuzz targets and tests of this workspace alone, and no part of what this crate
//! promises: what holds for everything that is heard, whatever is in it.
//!
//! The types are private, so what is true of them is written here.

use std::time::Duration;

use mdns_sd::TxtProperties;
use micro_core::registry::{Node, Service};
use tokio::time::Instant;

use crate::config::Options;
use crate::description::{Description, MAX_JSON, hash};
use crate::dns::{Answer, decode_response};
use crate::names::{part_of, service_type};
use crate::own::{Own, Say};
use crate::peers::Peers;
use crate::record::{LONGEST_LEASE, MAX_PARTS, Record, SHORTEST_LEASE, Strings, decode};

/// A property that does not hold, in words.
pub type Flaw = &'static str;

/// Reads it as a TXT record, as an answer to a query, and as a description; says whether one of
/// them took it.
///
/// # Errors
/// The first property that does not hold.
pub fn check(input: &[u8]) -> Result<bool, Flaw> {
    let kinds = [record(input)?, response(input)?, description(input)?];
    Ok(kinds.contains(&true))
}

/// A response that tells this instance and these strings of its TXT record: with an id of 0, and
/// all that a browser wants to know.
pub fn packet(label: &str, txt: &[u8]) -> Vec<u8> {
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let mut push = |name: &[u8], kind: u8, content: &[u8]| {
        packet.extend(name);
        packet.extend([0, kind, 0, 1, 0, 0, 0, 120]);
        packet.extend((content.len() as u16).to_be_bytes());
        packet.extend(content);
    };
    let kind = b"\x06_micro\x04_tcp\x05local\0";
    let host = b"\x04host\x05local\0";
    let label = &label.as_bytes()[..label.len().min(63)];
    let instance = [&[label.len() as u8], label, kind].concat();
    push(kind, 12, &instance);
    push(&instance, 33, &[&[0; 6], &host[..]].concat());
    push(&instance, 16, txt);
    push(host, 1, &[127, 0, 0, 1]);
    packet
}

/// By name, TXT records as a registry tells them: of a small description, and of a large one in
/// parts; and the description itself.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = vec![("description", json(&service("a", 0)))];
    for (name, service) in [("head", service("a", 0)), ("parts", service("b", 90))] {
        for (index, (_, txt)) in announcements(&service).into_iter().enumerate().take(2) {
            let name = if index == 0 { name } else { "more" };
            samples.push((name, txt.clone()));
            if index == 0 {
                samples.push(("answer", packet(name, &txt)));
            }
        }
    }
    samples
}

/// The label of each instance that tells a service with one node, and its TXT record.
pub fn announcements(service: &Service) -> Vec<(String, Vec<u8>)> {
    let (mut own, mut says) =
        (Own::new(&Options::default(), "SAMPLE00".into()), Default::default());
    // What is too large is not told.
    let _ = own.register(service, None, Instant::now(), &mut says);
    let told = says.into_iter().filter_map(|say| match say {
        Say::Announce(told) => Some((told.label, without_a_clock(told.txt))),
        Say::Withdraw(_) => None,
    });
    told.collect()
}

fn service(id: &str, endpoints: u32) -> Service {
    let mut service = Service::new("greeter", "1").with_node(Node::new(id, "127.0.0.1:4000"));
    for number in 0..endpoints {
        let name = format!("{:016x}", hash(&number.to_be_bytes()));
        service.endpoints.push(micro_core::registry::Endpoint::new(name));
    }
    service
}

fn json(service: &Service) -> Vec<u8> {
    serde_json::to_vec(service).unwrap_or_default()
}

/// The same every time.
fn without_a_clock(txt: Strings) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in txt {
        let value = if key == "since" { b"1790000000000".to_vec() } else { value };
        bytes.push((key.len() + 1 + value.len()) as u8);
        bytes.extend([key.as_bytes(), b"=", &value].concat());
    }
    bytes
}

fn record(input: &[u8]) -> Result<bool, Flaw> {
    let Ok(record) = decode(&TxtProperties::from(input), None) else { return Ok(false) };
    let again = match &record {
        Record::Head(head) => {
            let bounds = SHORTEST_LEASE..=LONGEST_LEASE;
            hold(head.lease.is_zero() || bounds.contains(&head.lease), "a lease out of bounds")?;
            hold(head.parts <= MAX_PARTS, "too many parts are taken")?;
            hold(head.parts == 0 || head.data.is_empty(), "a head in parts has data")?;
            head.encode(None, &[])
        }
        Record::Part(part) => {
            hold((1..=MAX_PARTS).contains(&part.number), "a part out of bounds is taken")?;
            part.encode(None)
        }
    };
    let mut bytes = Vec::new();
    for (key, value) in again {
        let length = key.len() + 1 + value.len();
        bytes.push(u8::try_from(length).map_err(|_| "a string is too long")?);
        bytes.extend([key.as_bytes(), b"=", &value].concat());
    }
    let again = decode(&TxtProperties::from(&*bytes), None);
    hold(again.as_ref() == Ok(&record), "a record is another once encoded again")?;
    heard(record)?;
    Ok(true)
}

/// Nobody who is heard stays for ever, or is more than there is room for.
fn heard(record: Record) -> Result<(), Flaw> {
    let mut peers = Peers::new(&Options::default().with_max_bytes(100_000));
    let now = Instant::now();
    let number = if let Record::Part(part) = &record { part.number } else { 0 };
    for label in ["a", &*part_of("a", number), "b"] {
        peers.hear(label, record.clone(), now);
        peers.doubt(label, now);
    }
    hold(peers.list().len() <= 1, "one record makes two nodes")?;
    peers.due(now + 2 * LONGEST_LEASE);
    hold(peers.list().is_empty(), "somebody stays for ever")?;
    hold(peers.next_due().is_none(), "there is something to do for ever")
}

fn response(input: &[u8]) -> Result<bool, Flaw> {
    let Some(id) = input.first_chunk() else { return Ok(false) };
    let id = u16::from_be_bytes(*id);
    let Some(answers) = decode_response(input, id, &service_type(None)) else { return Ok(false) };
    hold(decode_response(input, !id, &service_type(None)).is_none(), "another answer is taken")?;
    let is_bounded = |answer: &Answer| match answer {
        Answer::Instance(label) => label.len() <= 3 * 63,
        Answer::Text(label, txt) => label.len() <= 3 * 63 && txt.len() <= input.len(),
    };
    hold(answers.iter().all(is_bounded), "an answer is larger than its packet")?;
    Ok(!answers.is_empty())
}

fn description(input: &[u8]) -> Result<bool, Flaw> {
    let packed = Description::read(input, hash(input));
    hold(packed.is_none_or(|(_, unpacked)| unpacked <= MAX_JSON), "too much is unpacked")?;
    let Ok(service) = serde_json::from_slice::<Service>(input) else { return Ok(false) };
    let [node] = &*service.nodes else { return Ok(false) };
    let Ok(told) = Description::of(&service, node, None) else { return Ok(false) };
    let Some((read, _)) = Description::read(&told.data, told.revision) else {
        return hold(service.check().is_err(), "a description cannot be read").map(|()| false);
    };
    hold(read == service, "a description is another once read")?;
    Ok(true)
}

fn hold(holds: bool, flaw: Flaw) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(flaw) }
}

/// How long a test waits that has to see the library started again.
pub const WEIGHED: Duration = crate::driver::WEIGHED;
