//! What real go-micro said on streams: ours say the same, and understand it.

use micro_core::wire::{Event, Limits, Session, StreamId, envelope};
use micro_core::{Error, RequestState};
use serde::Deserialize;
use serde_json::Value;

use crate::{bodies, broken, opening, request, take_all};

const RECORDED: [(&str, &str); 3] = [
    ("v2", include_str!("../fixtures/envelopes-v2.jsonl")),
    ("v3", include_str!("../fixtures/envelopes-v3.jsonl")),
    ("v6", include_str!("../fixtures/envelopes-v6.jsonl")),
];
/// The client's side of these was written by hand; none were recorded of v2.
const BY_HAND: [&str; 4] =
    ["client-stream", "half-closed-bidi-stream", "has-the-stream-ended", "stream-error"];

#[derive(Deserialize)]
struct Recorded {
    exchange: String,
    reply: Option<String>,
    body: String,
}

/// One exchange: what its caller said, and what its service did.
struct Exchange {
    version: &'static str,
    caller: Vec<String>,
    service: Vec<String>,
}

fn exchanges(name: &str) -> Vec<Exchange> {
    let of = |&(version, lines): &(&'static str, &str)| {
        let all = lines.lines().map(|line| serde_json::from_str::<Recorded>(line).unwrap());
        let (caller, service): (Vec<_>, Vec<_>) =
            all.filter(|said| said.exchange == name).partition(|said| said.reply.is_some());
        let body = |said: Vec<Recorded>| said.into_iter().map(|said| said.body).collect();
        Exchange { version, caller: body(caller), service: body(service) }
    };
    let expected = if BY_HAND.contains(&name) { 2 } else { 3 };
    let found: Vec<_> = RECORDED.iter().map(of).filter(|said| !said.caller.is_empty()).collect();
    assert_eq!(found.len(), expected, "{name}");
    found
}

/// As JSON; no body is written as `null` or as `""`. Of both spellings of an id, which ours say,
/// the one that go-micro of this version says.
fn json(packet: &[u8], version: &str) -> Value {
    let mut json: Value = serde_json::from_slice(packet).unwrap();
    if json["Body"].is_null() {
        json["Body"] = Value::from("");
    }
    let header = json["Header"].as_object_mut().unwrap();
    let (own, other) =
        if version == "v6" { ("Micro-ID", "Micro-Id") } else { ("Micro-Id", "Micro-ID") };
    if header.contains_key(own) && header.contains_key(other) {
        assert_eq!(header[own], header[other]);
        header.remove(other);
    }
    json
}

fn body(packet: &str) -> Vec<u8> {
    envelope::decode(packet.as_bytes()).unwrap().1.to_vec()
}

fn endpoint(packet: &str) -> String {
    envelope::decode(packet.as_bytes()).unwrap().0.get("Micro-Endpoint").unwrap().to_owned()
}

fn is_end(packet: &str) -> bool {
    packet.contains("\"EOS\"")
}

/// A caller of ours that says the same.
fn caller_like(said: &Exchange) -> (Session, StreamId, Vec<Value>) {
    let mut session = Session::streaming(Limits::default());
    let endpoint = endpoint(&said.caller[0]);
    let mut outgoing = opening(&endpoint);
    let first = body(&said.caller[0]);
    outgoing.body = &first;
    let stream = session.open(&outgoing).unwrap();
    for message in &said.caller[1..] {
        match is_end(message) {
            false => assert!(session.send(stream, &body(message), 1 << 20).unwrap()),
            // It is said after what its service says, where that has an end.
            true if said.service.iter().any(|packet| is_end(packet)) => {}
            true => assert!(session.half_close(stream)),
        }
    }
    let packets = take_all(&mut session);
    let packets = packets.iter().map(|packet| json(packet, said.version)).collect();
    (session, stream, packets)
}

#[test]
fn our_caller_says_what_go_micros_says() {
    for name in ["server-stream", "bidi-stream", "client-stream", "half-closed-bidi-stream"] {
        for said in exchanges(name) {
            let (mut session, _, mut ours) = caller_like(&said);
            for packet in &said.service {
                session.on_packet(packet.as_bytes(), &mut Vec::new());
            }
            ours.extend(take_all(&mut session).iter().map(|packet| json(packet, said.version)));
            let theirs: Vec<_> =
                said.caller.iter().map(|packet| json(packet.as_bytes(), said.version)).collect();
            assert_eq!(ours, theirs, "{name} of {}", said.version);
        }
    }
}

#[test]
fn our_caller_understands_what_go_micros_service_says() {
    for name in ["server-stream", "bidi-stream", "client-stream", "half-closed-bidi-stream"] {
        for said in exchanges(name) {
            let (mut session, of, _) = caller_like(&said);
            let mut events = Vec::new();
            for packet in &said.service {
                session.on_packet(packet.as_bytes(), &mut events);
            }
            if said.service.iter().any(|packet| is_end(packet)) {
                let end = events.pop();
                assert!(matches!(end, Some(Event::Finished { stream }) if stream == of), "{end:?}");
            }
            let sent: Vec<_> = said.service.iter().filter(|packet| !is_end(packet)).collect();
            let sent: Vec<Vec<u8>> = sent.into_iter().map(|packet| body(packet)).collect();
            assert_eq!(bodies(&events), sent, "{name} of {}", said.version);
            assert!(!sent.is_empty());
        }
    }
}

#[test]
fn our_service_says_what_go_micros_says() {
    for name in ["server-stream", "bidi-stream", "client-stream", "half-closed-bidi-stream"] {
        for said in exchanges(name) {
            let mut session = Session::server(Limits::default());
            let mut events = Vec::new();
            session.on_packet(said.caller[0].as_bytes(), &mut events);
            let (id, request) = request(&mut events);
            assert!(request.names_stream());
            assert_eq!(request.endpoint(), endpoint(&said.caller[0]));
            let stream = session.accept(id).unwrap();
            for packet in &said.service {
                match is_end(packet) {
                    false => assert!(session.send(stream, &body(packet), 1 << 20).unwrap()),
                    true => assert!(session.end(stream, Ok(()))),
                }
            }
            let ours: Vec<_> =
                take_all(&mut session).iter().map(|packet| json(packet, said.version)).collect();
            let theirs: Vec<_> =
                said.service.iter().map(|packet| json(packet.as_bytes(), said.version)).collect();
            assert_eq!(ours, theirs, "{name} of {}", said.version);
        }
    }
}

#[test]
fn our_service_understands_what_go_micros_caller_says() {
    for name in ["server-stream", "bidi-stream", "client-stream", "half-closed-bidi-stream"] {
        for said in exchanges(name) {
            let mut session = Session::server(Limits::default());
            let mut events = Vec::new();
            session.on_packet(said.caller[0].as_bytes(), &mut events);
            let of = session.accept(request(&mut events).0).unwrap();
            for packet in &said.caller[1..] {
                session.on_packet(packet.as_bytes(), &mut events);
            }
            let end = events.pop();
            assert!(matches!(end, Some(Event::Finished { stream }) if stream == of), "{end:?}");
            let sent: Vec<_> =
                said.caller[1..said.caller.len() - 1].iter().map(|packet| body(packet)).collect();
            assert_eq!(bodies(&events), sent, "{name} of {}", said.version);
        }
    }
}

#[test]
fn an_error_after_a_message_is_said_and_understood_as_go_micro_does() {
    for said in exchanges("stream-error") {
        let theirs: Vec<_> =
            said.service.iter().map(|packet| json(packet.as_bytes(), said.version)).collect();
        let error = Error::from_wire(theirs[1]["Header"]["Micro-Error"].as_str().unwrap());
        assert_eq!(error.code(), 409);

        let mut service = Session::server(Limits::default());
        let mut events = Vec::new();
        service.on_packet(said.caller[0].as_bytes(), &mut events);
        let served = service.accept(request(&mut events).0).unwrap();
        service.send(served, &body(&said.service[0]), 1 << 20).unwrap();
        service.end(served, Err(&error));
        let ours: Vec<_> =
            take_all(&mut service).iter().map(|packet| json(packet, said.version)).collect();
        assert_eq!(ours, theirs, "{}", said.version);

        let (mut caller, called, _) = caller_like(&said);
        caller.on_packet(said.service[0].as_bytes(), &mut events);
        assert_eq!(bodies(&events), [body(&said.service[0])]);
        events.clear();
        caller.on_packet(said.service[1].as_bytes(), &mut events);
        let told = broken(events, called);
        assert_eq!((told.code(), told.detail()), (409, "stream failed as asked"));
        assert_eq!(told.request(), Some(RequestState::Executed));
    }
}

#[test]
fn the_answer_to_the_question_whether_a_handler_has_ended_is_understood() {
    for said in exchanges("has-the-stream-ended") {
        let half_closed = exchanges("half-closed-bidi-stream");
        let before = half_closed.iter().find(|other| other.version == said.version).unwrap();
        let (mut caller, of, _) = caller_like(before);
        caller.ask_end(of);
        let asked = take_all(&mut caller).pop().unwrap();
        // The recorded question was for another endpoint that nobody has.
        let ours = |packet: &str| packet.replace("No.Such", "Micro.Probe");
        let mut theirs = json(ours(&said.caller[0]).as_bytes(), said.version);
        theirs["Body"] = Value::from("");
        theirs["Header"]["Micro-Service"] = Value::from("");
        assert_eq!(json(&asked, said.version), theirs, "{}", said.version);
        let mut events = Vec::new();
        caller.on_packet(ours(&said.service[0]).as_bytes(), &mut events);
        assert!(
            matches!(events[..], [Event::HandlerEnded { stream }] if stream == of),
            "{events:?}"
        );
    }
}
