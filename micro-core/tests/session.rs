//! The state machine of a peer, without a network.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use micro_core::wire::{
    CallId, Event, Limits, Outgoing, PROBE_ENDPOINT, RequestId, Session, envelope,
};
use micro_core::{Error, ErrorKind, Header, RequestState};

const MAX: usize = 1 << 20;

fn outgoing<'a>(metadata: &'a Header, body: &'a [u8]) -> Outgoing<'a> {
    Outgoing {
        service: "greeter",
        endpoint: "Greeter.Hello",
        content_type: "application/json",
        timeout: None,
        metadata,
        body,
    }
}

fn call(session: &mut Session, body: &[u8]) -> CallId {
    session.call(&outgoing(&Header::new(), body)).unwrap()
}

/// Lets the peer take everything; returns the packets.
fn take_all(session: &mut Session) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(packet) = session.next_packet(MAX, &mut Vec::new()) {
        session.taken();
        packets.push(packet.to_vec());
    }
    packets
}

/// A server that has received one request of this metadata.
fn asked(metadata: &Header) -> (Session, RequestId) {
    let mut client = Session::client(Limits::default());
    client.call(&outgoing(metadata, b"{}")).unwrap();
    let mut server = Session::server(Limits::default());
    let mut events = Vec::new();
    for packet in take_all(&mut client) {
        server.on_packet(&packet, &mut events);
    }
    let Some(Event::Request { id, .. }) = events.pop() else { panic!() };
    (server, id)
}

fn failed(events: Vec<Event>) -> Vec<(CallId, RequestState)> {
    let state = |event| match event {
        Event::Failed { call, error } => (call, error.request().unwrap()),
        other => panic!("{other:?}"),
    };
    events.into_iter().map(state).collect()
}

#[test]
fn the_last_packets_are_not_sent_and_the_others_wait_on() {
    let mut session = Session::client(Limits::default());
    let calls: Vec<CallId> = (0..5).map(|_| call(&mut session, b"")).collect();
    assert_eq!(take_all(&mut session).len(), 5);
    let queued = call(&mut session, b"");

    let mut events = Vec::new();
    session.undelivered(2, false, &mut events);
    let not_sent = RequestState::NotSent;
    assert_eq!(failed(events), [(calls[3], not_sent), (calls[4], not_sent), (queued, not_sent)]);

    let mut events = Vec::new();
    session.undelivered(2, true, &mut events);
    let unknown = RequestState::Unknown;
    assert_eq!(failed(events), [(calls[0], unknown), (calls[1], unknown), (calls[2], unknown)]);
    assert!(session.is_idle());
}

#[test]
fn a_call_given_up_before_it_was_taken_never_leaves() {
    let mut session = Session::client(Limits::default());
    let first = call(&mut session, b"first");
    let second = call(&mut session, b"second");
    assert_eq!(session.give_up(first), Some(RequestState::NotSent));
    let packets = take_all(&mut session);
    assert_eq!(packets.len(), 1);
    assert_eq!(envelope::decode(&packets[0]).unwrap().1, "second");
    assert_eq!(session.give_up(second), Some(RequestState::Unknown));
    assert_eq!(session.give_up(second), None);
    assert!(session.is_idle());
}

#[test]
fn an_answer_to_a_call_given_up_is_counted_as_stray() {
    let mut client = Session::client(Limits::default());
    let given_up = call(&mut client, b"{}");
    let packets = take_all(&mut client);
    let mut server = Session::server(Limits::default());
    let mut events = Vec::new();
    server.on_packet(&packets[0], &mut events);
    let Some(Event::Request { id, .. }) = events.pop() else { panic!() };
    server.reply(id, Ok(("application/json", b"{}")));
    client.give_up(given_up);
    client.on_packet(&take_all(&mut server)[0], &mut events);
    assert!(events.is_empty());
    assert_eq!(client.counts().stray, 1);
}

#[test]
fn a_request_is_answered_once() {
    let (mut server, id) = asked(&Header::new());
    assert!(server.is_open(id));
    assert!(server.reply(id, Ok(("application/json", b"1"))));
    assert!(!server.reply(id, Ok(("application/json", b"2"))));
    assert!(!server.reply(id, Err(&Error::internal("3"))));
    assert_eq!(take_all(&mut server).len(), 1);
}

#[test]
fn a_request_that_is_too_large_fails_with_both_sizes_and_lets_the_next_pass() {
    let mut session = Session::client(Limits::default());
    let large = call(&mut session, &[b'x'; 2000]);
    call(&mut session, b"small");
    let mut events = Vec::new();
    let packet = session.next_packet(1000, &mut events).unwrap();
    assert_eq!(envelope::decode(&packet).unwrap().1, "small");
    let Some(Event::Failed { call, error }) = events.pop() else { panic!() };
    assert_eq!((call, error.kind()), (large, ErrorKind::TooLarge));
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.detail().contains("1000 bytes"), "{error}");
}

#[test]
fn a_reply_that_is_too_large_becomes_that_error() {
    let (mut server, id) = asked(&Header::new());
    server.reply(id, Ok(("application/json", &[b'x'; 2000])));
    let packet = server.next_packet(1200, &mut Vec::new()).unwrap();
    assert!(packet.len() <= 1200);
    let (header, _) = envelope::decode(&packet).unwrap();
    let error = Error::from_wire(header.get("Micro-Error").unwrap());
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.detail().contains("1200 bytes"), "{error}");
    assert_eq!(header.get("Micro-Method"), Some("Greeter.Hello"), "the request's header again");
}

#[test]
fn an_error_whose_echo_is_too_large_still_arrives() {
    let metadata: Header = [("large", "x".repeat(2000))].into_iter().collect();
    let (mut server, id) = asked(&metadata);
    server.reply(id, Err(&Error::not_found("gone")));
    let packet = server.next_packet(1000, &mut Vec::new()).unwrap();
    let (header, _) = envelope::decode(&packet).unwrap();
    assert_eq!(header.get("Micro-ID"), Some("0"));
    assert_eq!(Error::from_wire(header.get("Micro-Error").unwrap()).detail(), "gone");

    server.taken();
    assert!(server.next_packet(10, &mut Vec::new()).is_none());
}

#[test]
fn what_does_not_even_fit_as_an_error_is_counted() {
    let (mut server, id) = asked(&Header::new());
    server.reply(id, Ok(("application/json", b"{}")));
    assert!(server.next_packet(10, &mut Vec::new()).is_none());
    assert_eq!(server.counts().lost_replies, 1);
}

#[test]
fn a_caller_that_is_gone_cancels_its_requests_and_counts_its_replies() {
    let (mut server, id) = asked(&Header::new());
    let mut events = Vec::new();
    server.undelivered(0, true, &mut events);
    assert!(matches!(events[..], [Event::Cancelled { id: gone }] if gone == id));
    assert!(!server.reply(id, Ok(("application/json", b"{}"))));

    let (mut server, id) = asked(&Header::new());
    server.reply(id, Ok(("application/json", b"{}")));
    take_all(&mut server);
    server.undelivered(1, true, &mut events);
    assert_eq!(server.counts().lost_replies, 1);
}

#[test]
fn streams_late_end_and_errors_are_no_requests() {
    let mut server = Session::server(Limits::default());
    let header: Header = [("Micro-ID", "0"), ("Micro-Error", "EOS")].into_iter().collect();
    let mut events = Vec::new();
    server.on_packet(&envelope::encode(&header, b""), &mut events);
    assert!(events.is_empty());
    assert_eq!(server.counts().stray, 1);
    assert!(!server.has_output(), "nothing is answered");
}

#[test]
fn reserved_metadata_is_refused_before_it_is_sent() {
    for key in ["Micro-Topic", "x-micro-id", "TIMEOUT", "Content-Type", "Local"] {
        let metadata: Header = [(key, "v")].into_iter().collect();
        let mut session = Session::client(Limits::default());
        let error = session.call(&outgoing(&metadata, b"")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.detail().contains(key), "{error}");
        assert!(session.is_idle());
    }
}

#[test]
fn too_many_calls_and_bytes_are_refused_not_sent() {
    let mut session = Session::client(Limits::default().with_open(2));
    call(&mut session, b"");
    call(&mut session, b"");
    let error = session.call(&outgoing(&Header::new(), b"")).unwrap_err();
    assert_eq!(
        (error.kind(), error.request()),
        (ErrorKind::Overloaded, Some(RequestState::NotSent))
    );

    let mut session = Session::client(Limits::default().with_queued_bytes(1000));
    call(&mut session, &[0; 2000]);
    let error = session.call(&outgoing(&Header::new(), b"")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    take_all(&mut session);
    call(&mut session, b"");
}

#[test]
fn a_caller_with_too_many_open_requests_is_told_so() {
    let mut client = Session::client(Limits::default());
    let calls = [call(&mut client, b""), call(&mut client, b"")];
    let mut server = Session::server(Limits::default().with_open(1));
    let mut events = Vec::new();
    for packet in take_all(&mut client) {
        server.on_packet(&packet, &mut events);
    }
    assert_eq!(events.len(), 1, "one is served");
    events.clear();
    client.on_packet(&take_all(&mut server)[0], &mut events);
    let Some(Event::Reply { call, reply: Err(error) }) = events.pop() else { panic!() };
    assert_eq!((call, error.kind()), (calls[1], ErrorKind::Overloaded));
}

#[test]
fn the_remaining_time_is_never_sent_as_no_limit() {
    let mut client = Session::client(Limits::default());
    let header = Header::new();
    let mut out = outgoing(&header, b"");
    out.timeout = Some(Duration::ZERO);
    client.call(&out).unwrap();
    let packets = take_all(&mut client);
    let (header, _) = envelope::decode(&packets[0]).unwrap();
    assert_eq!(header.get("Timeout"), Some("1"));
}

#[test]
fn an_error_too_large_for_any_packet_still_answers() {
    let (mut server, id) = asked(&Header::new());
    server.reply(id, Err(&Error::internal("x".repeat(5000))));
    let packet = server.next_packet(1000, &mut Vec::new()).unwrap();
    let (header, _) = envelope::decode(&packet).unwrap();
    let error = Error::from_wire(header.get("Micro-Error").unwrap());
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(header.get("Micro-ID"), Some("0"));
}

#[test]
fn a_call_given_up_makes_room_for_another() {
    let mut session = Session::client(Limits::default().with_queued_bytes(1000));
    let large = call(&mut session, &[0; 2000]);
    assert!(session.is_unsent(large));
    session.give_up(large);
    assert!(session.is_idle() && !session.has_output());
    call(&mut session, b"");
}

#[test]
fn a_caller_that_reads_no_replies_is_refused_and_then_not_heard() {
    let mut client = Session::client(Limits::default());
    let mut server = Session::server(Limits::default().with_queued_bytes(10_000));
    for _ in 0..1000 {
        call(&mut client, b"");
        let packet = take_all(&mut client).pop().unwrap();
        let mut events = Vec::new();
        server.on_packet(&packet, &mut events);
        if let Some(Event::Request { id, .. }) = events.pop() {
            server.reply(id, Ok(("application/json", &[b'x'; 3000])));
        }
    }
    let queued: usize = take_all(&mut server).iter().map(Vec::len).sum();
    assert!(queued < 30_000, "{queued} bytes were queued");
    assert!(server.counts().lost_requests > 900);
}

#[test]
fn a_probe_is_a_request_for_what_nobody_has_and_its_answer_is_dropped() {
    let (mut client, mut server) =
        (Session::client(Limits::default()), Session::server(Limits::default()));
    client.probe();
    // Until it has left there is no use in another.
    client.probe();
    let packets = take_all(&mut client);
    assert_eq!(packets.len(), 1);
    let mut events = Vec::new();
    server.on_packet(&packets[0], &mut events);
    let Some(Event::Request { id, request }) = events.pop() else { panic!() };
    assert_eq!(request.endpoint(), PROBE_ENDPOINT);
    server.reply(id, Err(&Error::not_found("no such endpoint")));
    let answer = take_all(&mut server).pop().unwrap();
    for stray in [0, 1] {
        client.on_packet(&answer, &mut events);
        assert!(events.is_empty());
        assert_eq!(client.counts().stray, stray, "only the second answer is one too many");
    }
    assert!(client.is_idle());
    server.probe();
    assert!(take_all(&mut server).is_empty(), "nobody can be called back");
}

#[test]
fn what_was_not_sent_cannot_be_answered() {
    let mut session = Session::client(Limits::default());
    let waiting = call(&mut session, b"");
    let mut events = Vec::new();
    let answer = br#"{"Header":{"Micro-ID":"0"},"Body":null}"#;
    session.on_packet(answer, &mut events);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(session.counts().stray, 1);
    assert!(session.is_unsent(waiting));
    take_all(&mut session);
    session.on_packet(answer, &mut events);
    assert!(matches!(&events[..], [Event::Reply { call, .. }] if *call == waiting), "{events:?}");
}

#[test]
fn a_probe_counts_as_a_packet_of_the_last_ones() {
    let mut session = Session::client(Limits::default());
    let (first, second) = (call(&mut session, b""), call(&mut session, b""));
    take_all(&mut session);
    session.probe();
    take_all(&mut session);
    let mut events = Vec::new();
    session.undelivered(2, true, &mut events);
    assert_eq!(failed(events), [(first, RequestState::Unknown), (second, RequestState::NotSent)]);
}

#[test]
fn debug_shows_no_metadata_and_no_body() {
    let metadata: Header = [("Authorization", "Bearer secret")].into_iter().collect();
    let out = outgoing(&metadata, b"secret");
    let mut server = Session::server(Limits::default());
    let mut client = Session::client(Limits::default());
    client.call(&out).unwrap();
    let mut events = Vec::new();
    server.on_packet(&take_all(&mut client)[0], &mut events);
    let shown = format!("{out:?} {client:?} {server:?} {events:?}");
    assert!(shown.contains("Authorization") && shown.contains("Greeter.Hello"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}

#[test]
fn calls_given_up_in_any_order_leave_the_others_as_they_were_and_cost_little() {
    const CALLS: usize = 60_000;
    let mut session = Session::client(Limits::default());
    let calls: Vec<CallId> = (0..CALLS).map(|at| call(&mut session, &number(at))).collect();
    // Every one but the tenth ones: from the middle on, and then the first half.
    let started = Instant::now();
    for at in (CALLS / 2..CALLS).rev().chain(0..CALLS / 2).filter(|at| at % 10 != 0) {
        assert_eq!(session.give_up(calls[at]), Some(RequestState::NotSent));
    }
    // A session is locked meanwhile. Were each looked for among all, it would be many seconds.
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(!session.is_idle());
    let bodies: Vec<Vec<u8>> = take_all(&mut session)
        .iter()
        .map(|packet| envelope::decode(packet).unwrap().1.to_vec())
        .collect();
    let left: Vec<Vec<u8>> = (0..CALLS).step_by(10).map(number).collect();
    assert!(bodies == left, "{} of {}", bodies.len(), left.len());
    assert!(!session.has_output());
    for at in (0..CALLS).step_by(10) {
        assert_eq!(session.give_up(calls[at]), Some(RequestState::Unknown));
    }
    assert!(session.is_idle());
}

#[test]
fn a_call_given_up_behind_the_last_is_no_output() {
    let mut session = Session::client(Limits::default());
    let calls: Vec<CallId> = (0..3).map(|_| call(&mut session, b"")).collect();
    session.give_up(calls[2]);
    session.probe();
    session.give_up(calls[0]);
    assert_eq!(take_all(&mut session).len(), 2, "a call and the probe");
    assert!(!session.has_output());
    let last = call(&mut session, b"");
    session.give_up(last);
    assert!(!session.has_output());
    session.give_up(calls[1]);
    assert!(session.is_idle());
}

fn number(at: usize) -> Vec<u8> {
    at.to_string().into_bytes()
}
