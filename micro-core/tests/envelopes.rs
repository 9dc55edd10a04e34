//! Real go-micro calls and events: read, and written as go-micro writes them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use micro_core::header::keys::{MICRO_ID, MICRO_ID_OLD};
use micro_core::wire::{Event, Limits, Outgoing, Request, RequestId, Session, envelope};
use micro_core::{Error, ErrorKind, Header, RequestState};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

const RECORDED: [(&str, &str, &str); 3] = [
    ("v2", MICRO_ID_OLD, include_str!("fixtures/envelopes-v2.jsonl")),
    ("v3", MICRO_ID_OLD, include_str!("fixtures/envelopes-v3.jsonl")),
    ("v6", MICRO_ID, include_str!("fixtures/envelopes-v6.jsonl")),
];

#[derive(Deserialize)]
struct Recorded {
    exchange: String,
    reply: Option<String>,
    body: String,
}

fn recorded(lines: &str) -> Vec<Recorded> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The request and the answer of an exchange.
fn exchange(lines: &str, name: &str) -> (String, String) {
    let mut of_name = recorded(lines).into_iter().filter(|r| r.exchange == name);
    let request = of_name.next().unwrap();
    assert!(request.reply.is_some(), "{name}: the first message is the request");
    (request.body, of_name.next().unwrap().body)
}

fn json(packet: &[u8]) -> Value {
    let mut json: Value = serde_json::from_slice(packet).unwrap();
    // go-micro writes no body as null or as "", and reads both.
    if json["Body"].is_null() {
        json["Body"] = Value::from("");
    }
    json
}

fn request(session: &mut Session, packet: &str) -> (RequestId, Request) {
    let mut events = Vec::new();
    session.on_packet(packet.as_bytes(), &mut events);
    match events.pop() {
        Some(Event::Request { id, request }) => (id, request),
        other => panic!("{other:?}"),
    }
}

fn sent(session: &mut Session) -> Value {
    let packet = session.next_packet(1 << 20, &mut Vec::new()).unwrap();
    session.taken();
    json(&packet)
}

#[test]
fn every_envelope_is_read_and_written_back_equal_field_by_field() {
    for (version, _, lines) in RECORDED {
        let recorded = recorded(lines);
        assert!(recorded.len() >= 27, "{version}");
        for message in recorded {
            let (header, body) = envelope::decode(message.body.as_bytes()).unwrap();
            let written = envelope::encode(&header, &body);
            assert_eq!(json(&written), json(message.body.as_bytes()), "{}", message.exchange);
        }
    }
}

#[test]
fn a_call_is_read_as_go_micro_meant_it() {
    for (version, _, lines) in RECORDED {
        let (packet, _) = exchange(lines, "call");
        let (_, request) = request(&mut Session::server(Limits::default()), &packet);
        assert_eq!(request.service(), "greeter");
        assert_eq!(request.endpoint(), "Greeter.Hello");
        assert_eq!(request.content_type(), Some("application/json"));
        assert_eq!(request.timeout().unwrap().as_secs(), 5, "{version}");
        assert_eq!(request.body(), "{\"name\":\"John\"}\n");
        let metadata = request.metadata();
        let mut keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        let lower = if version == "v6" { "lower-key" } else { "Lower-Key" };
        assert_eq!(keys, ["Foo", lower], "{version}");
    }
}

#[test]
fn our_answer_is_go_micros_answer() {
    for (version, _, lines) in RECORDED {
        for name in ["call", "protobuf"] {
            let (asked, answered) = exchange(lines, name);
            let (header, body) = envelope::decode(answered.as_bytes()).unwrap();
            let mut session = Session::server(Limits::default());
            let (id, _) = request(&mut session, &asked);
            let content_type = header.get("Content-Type").unwrap();
            assert!(session.reply(id, Ok((content_type, &body))));
            assert_eq!(sent(&mut session), json(answered.as_bytes()), "{version} {name}");
        }
    }
}

#[test]
fn our_error_is_go_micros_error() {
    for (version, _, lines) in RECORDED {
        for name in ["error", "plain-error", "unknown-endpoint"] {
            let (asked, answered) = exchange(lines, name);
            let (header, _) = envelope::decode(answered.as_bytes()).unwrap();
            let error = Error::from_wire(header.get("Micro-Error").unwrap());
            let mut session = Session::server(Limits::default());
            let (id, _) = request(&mut session, &asked);
            assert!(session.reply(id, Err(&error)));
            assert_eq!(sent(&mut session), json(answered.as_bytes()), "{version} {name}");
        }
    }
}

#[test]
fn our_request_is_go_micros_request_with_both_spellings_of_the_id() {
    for (version, spelling, lines) in RECORDED {
        let (packet, _) = exchange(lines, "call");
        let (_, asked) = request(&mut Session::server(Limits::default()), &packet);
        let mut client = Session::client(Limits::default());
        let outgoing = Outgoing {
            service: asked.service(),
            endpoint: asked.endpoint(),
            content_type: asked.content_type().unwrap(),
            timeout: asked.timeout(),
            metadata: &asked.metadata(),
            body: asked.body(),
        };
        client.call(&outgoing).unwrap();
        let mut ours = sent(&mut client);
        let mut theirs = json(packet.as_bytes());
        for id in [MICRO_ID, MICRO_ID_OLD] {
            assert!(ours["Header"][id].is_string(), "{version}");
            ours["Header"].as_object_mut().unwrap().remove(id);
        }
        theirs["Header"].as_object_mut().unwrap().remove(spelling).unwrap();
        assert_eq!(ours, theirs, "{version}");
    }
}

#[test]
fn go_micros_answers_reach_our_call_in_either_spelling() {
    for (version, _, lines) in RECORDED {
        let answers = [("call", None), ("error", Some((404, "failed as asked: x")))];
        for (name, error) in answers {
            let (_, answered) = exchange(lines, name);
            let mut client = Session::client(Limits::default());
            let header = Header::new();
            let outgoing = Outgoing {
                service: "greeter",
                endpoint: "Greeter.Hello",
                content_type: "application/json",
                timeout: None,
                metadata: &header,
                body: b"{}",
            };
            // go-micro's recorded answers are for id 0, which is our first.
            let asked = client.call(&outgoing).unwrap();
            sent(&mut client);
            let mut events = Vec::new();
            client.on_packet(answered.as_bytes(), &mut events);
            let Some(Event::Reply { call, reply }) = events.pop() else {
                panic!("{version} {name}: no answer")
            };
            assert_eq!(call, asked);
            match (reply, error) {
                (Ok(reply), None) => assert_eq!(reply.body, "{\"greeting\":\"Hello John\"}\n"),
                (Err(ours), Some((code, detail))) => {
                    assert_eq!((ours.code(), ours.detail()), (code, detail));
                    assert_eq!(ours.kind(), ErrorKind::NotFound);
                    assert_eq!(ours.request(), Some(RequestState::Executed));
                }
                (reply, _) => panic!("{version} {name}: {reply:?}"),
            }
        }
    }
}

#[test]
fn a_content_type_that_go_micro_does_not_know_is_told_by_the_call() {
    for (version, _, lines) in RECORDED.into_iter().filter(|(version, ..)| *version != "v2") {
        let (_, answered) = exchange(lines, "unknown-content-type");
        let mut client = Session::client(Limits::default());
        let header = Header::new();
        let outgoing = Outgoing {
            service: "greeter",
            endpoint: "Greeter.Hello",
            content_type: "application/x-none",
            timeout: None,
            metadata: &header,
            body: b"{}",
        };
        client.call(&outgoing).unwrap();
        sent(&mut client);
        let mut events = Vec::new();
        client.on_packet(answered.as_bytes(), &mut events);
        let Some(Event::Reply { reply: Err(error), .. }) = events.pop() else {
            panic!("{version}")
        };
        assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType, "{version}");
    }
}

proptest! {
    #[test]
    fn any_header_and_body_survive_the_envelope(
        entries in prop::collection::vec((".*", ".*"), 0..20),
        body in prop::collection::vec(any::<u8>(), 0..500),
    ) {
        let header: Header = entries.into_iter().collect();
        let packet = envelope::encode(&header, &body);
        let (header_back, body_back) = envelope::decode(&packet).unwrap();
        prop_assert_eq!(header_back, header);
        prop_assert_eq!(body_back, body);
    }

    #[test]
    fn any_bytes_are_an_envelope_or_an_error(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok((header, body)) = envelope::decode(&packet) {
            prop_assert_eq!(envelope::decode(&envelope::encode(&header, &body)).unwrap(), (header, body));
        }
    }

    #[test]
    fn damaged_envelopes_are_an_envelope_or_an_error(
        line in 0..49usize, at in any::<prop::sample::Index>(), with in any::<u8>(),
    ) {
        let line = RECORDED[2].2.lines().nth(line).unwrap();
        let mut packet = serde_json::from_str::<Recorded>(line).unwrap().body.into_bytes();
        let at = at.index(packet.len());
        packet[at] = with;
        for mut session in [Session::server(Limits::default()), Session::client(Limits::default())] {
            let mut events = Vec::new();
            session.on_packet(&packet, &mut events);
            let counts = session.counts();
            let seen = events.len() as u64 + counts.garbage + counts.stray;
            prop_assert!(seen == 1, "{seen} of one packet");
        }
    }
}
