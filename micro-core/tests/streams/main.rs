//! Streams in the state machine of a peer, without a network.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod any;
mod both;
mod caller;
mod go_micro;
mod service;
mod windows;

use micro_core::wire::{Event, Limits, Outgoing, Request, RequestId, Session, StreamId, envelope};
use micro_core::{Error, Header};

const MAX: usize = 1 << 20;
const JSON: &str = "application/json";

/// What opens a stream of an endpoint.
fn opening(endpoint: &str) -> Outgoing<'_> {
    const NONE: &Header = &Header::new();
    Outgoing {
        service: "greeter",
        endpoint,
        content_type: JSON,
        timeout: None,
        metadata: NONE,
        body: b"{}",
    }
}

/// A caller whose stream is open, with all that was said so far.
fn opened() -> (Session, StreamId) {
    let mut session = Session::streaming(Limits::default());
    let stream = session.open(&opening("Greeter.Chat")).unwrap();
    take_all(&mut session);
    (session, stream)
}

/// A service that has accepted the stream of a caller, as real sessions say it.
fn both() -> (Session, StreamId, Session, StreamId) {
    let mut caller = Session::streaming(Limits::default());
    let called = caller.open(&opening("Greeter.Chat")).unwrap();
    let mut service = Session::server(Limits::default());
    let mut events = Vec::new();
    for packet in take_all(&mut caller) {
        service.on_packet(&packet, &mut events);
    }
    let (id, _) = request(&mut events);
    let served = service.accept(id).unwrap();
    (caller, called, service, served)
}

/// Lets the peer take everything; returns the packets.
fn take_all(session: &mut Session) -> Vec<Vec<u8>> {
    let (mut packets, mut events) = (Vec::new(), Vec::new());
    while let Some(packet) = session.next_packet(MAX, &mut events) {
        session.taken();
        packets.push(packet.to_vec());
    }
    assert!(events.is_empty(), "{events:?}");
    packets
}

/// Brings all that one has to say to the other.
fn bring(from: &mut Session, to: &mut Session) -> Vec<Event> {
    let mut events = Vec::new();
    for packet in take_all(from) {
        to.on_packet(&packet, &mut events);
    }
    events
}

fn headers(packets: Vec<Vec<u8>>) -> Vec<Header> {
    packets.iter().map(|packet| envelope::decode(packet).unwrap().0).collect()
}

/// The only event is a request.
fn request(events: &mut Vec<Event>) -> (RequestId, Request) {
    match (events.pop(), events.is_empty()) {
        (Some(Event::Request { id, request }), true) => (id, request),
        other => panic!("{other:?} and {events:?}"),
    }
}

/// The only event says that the stream is broken.
fn broken(mut events: Vec<Event>, of: StreamId) -> Error {
    match (events.pop(), events.is_empty()) {
        (Some(Event::Broken { stream, error }), true) if stream == of => error,
        other => panic!("{other:?} and {events:?}"),
    }
}

fn bodies(events: &[Event]) -> Vec<&[u8]> {
    let bodies = events.iter().map(|event| match event {
        Event::Message { body, .. } => body.as_ref(),
        other => panic!("{other:?}"),
    });
    bodies.collect()
}

fn error(header: &Header) -> &str {
    header.get("Micro-Error").unwrap()
}
