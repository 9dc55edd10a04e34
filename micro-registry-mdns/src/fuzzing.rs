//! For the fuzz targets and tests of this workspace alone, and no part of what this crate
//! promises: what holds for everything that is heard, whatever is in it.
//!
//! The types are private, so what is true of them is written here.

use std::time::Duration;

use micro_core::registry::{Node, Service};
use simple_dns::Packet;
use tokio::time::Instant;

use crate::config::Options;
use crate::description::{Description, MAX_JSON, hash};
use crate::dns::{self, Answer, Question};
use crate::links::Link;
use crate::message::MAX_PACKET;
use crate::names::{host, part_of, service_type};
use crate::own::{Announcement, Own, Say};
use crate::peers::Peers;
use crate::record::{LONGEST_LEASE, MAX_PARTS, Record, SHORTEST_LEASE, Strings, decode};
use crate::responder::{Outgoing, Responder, To};

/// A property that does not hold, in words.
pub type Flaw = &'static str;

/// Reads it as a TXT record, as an answer to a query, and as a description; says whether one of
/// them took it.
///
/// # Errors
/// The first property that does not hold.
pub fn check(input: &[u8]) -> Result<bool, Flaw> {
    let kinds = [record(input)?, message(input)?, description(input)?];
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
/// parts; the description itself; and messages.
pub fn samples() -> Vec<(&'static str, Vec<u8>)> {
    let mut samples = vec![("description", json(&service("a", 0)))];
    let mut questions = vec![Question::Instances];
    let told = announced(&service("a", 0));
    questions.extend(told.iter().map(|told| Question::Text(told.label.clone())));
    samples.push(("query", dns::query(0, &dns::name(&service_type(None)), &questions, ["x"])));
    let mut responder =
        Responder::new(&service_type(None), &host("SAMPLE00"), 5353, Instant::now());
    for announcement in told {
        let announcement = Announcement { txt: Strings::new(), ..announcement };
        let said = responder.announce(&announcement, &[Link::loopback()], Instant::now());
        samples.extend(said.into_iter().map(|said| ("announcement", said.message)));
    }
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
    announced(service).into_iter().map(|told| (told.label, without_a_clock(told.txt))).collect()
}

fn announced(service: &Service) -> Vec<Announcement> {
    let (mut own, mut says) =
        (Own::new(&Options::default(), "SAMPLE00".into()), Default::default());
    // What is too large is not told.
    let _ = own.register(service, None, Instant::now(), &mut says);
    let told = says.into_iter().filter_map(|say| match say {
        Say::Announce(told) => Some(told),
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
    let Some(strings) = strings(input) else { return Ok(false) };
    let Ok(record) = decode(&strings, None) else { return Ok(false) };
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
    let is_short = |(key, value): &(String, Vec<u8>)| key.len() + 1 + value.len() <= 255;
    hold(again.iter().all(is_short), "a string is too long")?;
    let again = decode(&again, None);
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
    // Whoever is silent is asked before.
    for late in [2, 3] {
        peers.due(now + late * LONGEST_LEASE);
    }
    hold(peers.list().is_empty(), "somebody stays for ever")?;
    hold(peers.next_due().is_none(), "there is something to do for ever")
}

/// The strings of a TXT record with this content.
fn strings(txt: &[u8]) -> Option<Strings> {
    let message = packet("a", txt);
    let answers = dns::answers(&dns::read(&message)?, &dns::name(&service_type(None)));
    answers.into_iter().find_map(|answer| match answer {
        Answer::Text(_, strings) => Some(strings),
        _ => None,
    })
}

/// What it says as a response, and what is answered to it as a query.
fn message(input: &[u8]) -> Result<bool, Flaw> {
    let Some(packet) = dns::read(input) else { return Ok(false) };
    let answers = dns::answers(&packet, &dns::name(&service_type(None)));
    let is_bounded = |answer: &Answer| match answer {
        Answer::Instance(label) | Answer::Goodbye(label) => label.len() <= 63,
        Answer::Text(label, strings) => {
            let length: usize = strings.iter().map(|(key, value)| key.len() + value.len()).sum();
            label.len() <= 63 && length <= input.len()
        }
    };
    hold(answers.iter().all(is_bounded), "an answer is larger than its packet")?;
    let replies = replies(&packet)?;
    Ok(!answers.is_empty() || replies > 0)
}

/// Whoever asks whatever gets no more than there is, and everybody no more than once.
fn replies(query: &Packet<'_>) -> Result<usize, Flaw> {
    let link = Link::loopback();
    let now = Instant::now();
    let mut count = 0;
    for port in [5353, 5354] {
        let mut responder =
            Responder::new(&service_type(None), &host("SAMPLE00"), 5353, Instant::now());
        let told = announced(&service("a", 90));
        let instances = told.len();
        for announcement in told {
            responder.announce(
                &announcement,
                std::slice::from_ref(&link),
                now - Duration::from_secs(2),
            );
        }
        let mut replies = Vec::new();
        for _ in 0..2 {
            let from = ([127, 0, 0, 1], port).into();
            replies.extend(responder.hear(query, from, &link, now));
        }
        hold(responder.next_due().is_none_or(|at| at > now), "what is delayed is due")?;
        replies.extend(responder.due(std::slice::from_ref(&link), now + Duration::from_secs(1)));
        hold(responder.next_due().is_none(), "something is due for ever")?;
        let [to_all, to_one] = [true, false].map(|is_all| {
            replies.iter().filter(|o| matches!(o.to, To::Everybody(_)) == is_all).count()
        });
        // Beside the instances there are the type and the host; who wants a name is told again.
        let probes = if query.name_servers.is_empty() { 1 } else { 2 };
        hold(to_all <= probes * (instances + 2), "everybody hears it more than once")?;
        hold(to_one <= 2 * (instances + 2), "somebody hears it more than once for a query")?;
        for Outgoing { message, .. } in &replies {
            hold(message.len() <= MAX_PACKET, "a reply is too large")?;
            let read = dns::read(message).filter(dns::is_response);
            hold(read.is_some_and(|r| !r.answers.is_empty()), "a reply says nothing")?;
        }
        count += replies.len();
    }
    Ok(count)
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
