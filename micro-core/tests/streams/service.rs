//! Streams that we serve, by themselves.

use micro_core::wire::{Event, Limits, Request, RequestId, Session, StreamId, envelope};
use micro_core::{Error, ErrorKind, Header};

use crate::{JSON, MAX, bodies, broken, error, headers, take_all};

/// What go-micro's caller says on a stream; the id is written by this key.
struct Caller {
    key: &'static str,
    id: String,
    stream: String,
}

impl Caller {
    fn new(id: &str, stream: &str) -> Self {
        Self { key: "Micro-ID", id: id.to_owned(), stream: stream.to_owned() }
    }

    fn says(&self, text: Option<&str>, body: &str) -> Vec<u8> {
        let mut header = Header::new();
        let mut insert = |key: &'static str, value: &str| {
            if !value.is_empty() {
                header.insert(key, value.to_owned());
            }
        };
        insert(self.key, &self.id);
        insert("Micro-Stream", &self.stream);
        insert("Micro-Endpoint", "Greeter.Chat");
        insert("Content-Type", JSON);
        insert("Micro-Error", text.unwrap_or_default());
        envelope::encode(&header, body.as_bytes()).to_vec()
    }

    fn opens(&self, session: &mut Session) -> StreamId {
        let (id, request) = requested(session, &self.says(None, "{}"));
        assert!(request.names_stream());
        session.accept(id).unwrap()
    }
}

fn hears(session: &mut Session, packet: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    session.on_packet(packet, &mut events);
    events
}

fn requested(session: &mut Session, packet: &[u8]) -> (RequestId, Request) {
    crate::request(&mut hears(session, packet))
}

fn server() -> Session {
    Session::server(Limits::default())
}

#[test]
fn answers_have_the_spelling_in_which_the_stream_was_opened() {
    for (key, own) in
        [("Micro-ID", "Micro-ID"), ("Micro-Id", "Micro-Id"), ("X-Micro-Id", "Micro-ID")]
    {
        let (mut session, mut caller) = (server(), Caller::new("7", "s"));
        caller.key = key;
        let stream = caller.opens(&mut session);
        assert_eq!(bodies(&hears(&mut session, &caller.says(None, "1"))), [b"1"], "{key}");
        session.send(stream, b"2", MAX).unwrap();
        session.send(stream, b"", MAX).unwrap();
        let said = headers(take_all(&mut session));
        for header in &said {
            assert_eq!((header.get(own), header.get("Micro-Stream")), (Some("7"), None), "{key}");
            assert_eq!(header.get("X-Micro-Endpoint"), Some("Greeter.Chat"));
        }
        assert_eq!(said[0].get("Content-Type"), Some(JSON));
        assert_eq!(said[1].get("Content-Type"), None, "nothing has no type");
    }
}

#[test]
fn a_request_that_inherited_the_stream_of_another_is_a_request() {
    let mut session = server();
    Caller::new("0", "0").opens(&mut session);
    let nested = Caller::new("1", "0");
    let (id, _) = requested(&mut session, &nested.says(None, "{}"));
    assert!(session.is_open(id));
    assert!(session.reply(id, Ok((JSON, b"{}"))));
    let answer = headers(take_all(&mut session));
    assert_eq!((answer.len(), answer[0].get("Micro-ID")), (1, Some("1")));
    // The stream did not notice.
    assert_eq!(bodies(&hears(&mut session, &Caller::new("0", "0").says(None, "1"))), [b"1"]);
}

#[test]
fn only_an_open_request_that_names_a_stream_opens_one() {
    let mut session = server();
    let (unary, _) = requested(&mut session, &Caller::new("0", "").says(None, "{}"));
    assert!(session.accept(unary).is_none() && session.is_open(unary));
    let (answered, _) = requested(&mut session, &Caller::new("1", "1").says(None, "{}"));
    session.reply(answered, Ok((JSON, b"{}")));
    assert!(session.accept(answered).is_none());
    let (gone, _) = requested(&mut session, &Caller::new("2", "2").says(None, "{}"));
    session.undelivered(0, true, &mut Vec::new());
    assert!(session.accept(gone).is_none());
    assert!(session.is_idle());
}

#[test]
fn what_comes_after_the_end_is_dropped_and_counted_and_a_late_end_is_neither() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    let stream = caller.opens(&mut session);
    assert!(session.end(stream, Ok(())));
    assert!(!session.end(stream, Ok(())) && !session.send(stream, b"1", MAX).unwrap());
    take_all(&mut session);
    for late in 1..=3 {
        assert!(hears(&mut session, &caller.says(None, "1")).is_empty());
        assert_eq!(session.counts().late, late);
    }
    let before = session.counts();
    assert!(hears(&mut session, &caller.says(Some("EOS"), "")).is_empty());
    assert_eq!(session.counts(), before);
    assert!(session.is_idle(), "nothing is answered");
}

#[test]
fn after_its_half_close_a_caller_says_nothing_more_but_may_give_up() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    let stream = caller.opens(&mut session);
    let end = caller.says(Some("EOS"), "");
    assert!(matches!(hears(&mut session, &end)[..], [Event::Finished { .. }]));
    assert!(hears(&mut session, &end).is_empty());
    assert!(hears(&mut session, &caller.says(None, "1")).is_empty());
    assert_eq!(session.counts().late, 1);
    assert!(session.send(stream, b"1", MAX).unwrap(), "it is answered yet");
    let gave_up = Error::new(ErrorKind::Cancelled, "no more").to_wire();
    let error = broken(hears(&mut session, &caller.says(Some(&gave_up), "")), stream);
    assert_eq!((error.code(), error.kind()), (499, ErrorKind::Cancelled));
    take_all(&mut session);
    assert!(hears(&mut session, &end).is_empty());
    assert!(session.is_idle(), "who gave up is told nothing");
}

#[test]
fn whether_a_stream_has_ended_is_answered_once_it_has() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    let stream = caller.opens(&mut session);
    let question = Caller::new("0", "").says(None, "");
    hears(&mut session, &caller.says(Some("EOS"), ""));
    assert!(hears(&mut session, &question).is_empty());
    assert!(!session.has_output() && session.counts().late == 0);
    session.end(stream, Ok(()));
    requested(&mut session, &question);
}

#[test]
fn a_request_without_an_id_asks_after_no_stream() {
    let mut session = server();
    Caller::new("", "0").opens(&mut session);
    requested(&mut session, &Caller::new("", "").says(None, "{}"));
}

#[test]
fn a_stream_that_names_nothing_but_itself_is_answered_in_envelopes() {
    let mut session = server();
    let header: Header = [("Micro-Stream", "0")].into_iter().collect();
    let (id, _) = requested(&mut session, &envelope::encode(&header, b""));
    let stream = session.accept(id).unwrap();
    session.send(stream, b"", MAX).unwrap();
    session.send(stream, b"1", MAX).unwrap();
    let said = headers(take_all(&mut session));
    assert_eq!((said[0].len(), said[1].get("Content-Type")), (0, Some("application/protobuf")));
}

#[test]
fn what_follows_a_refused_opening_is_of_no_new_stream() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    let stream = caller.opens(&mut session);
    session.end(stream, Err(&Error::new(ErrorKind::Overloaded, "later")));
    take_all(&mut session);
    assert!(hears(&mut session, &caller.says(None, "1")).is_empty());
    assert!(hears(&mut session, &caller.says(Some("EOS"), "")).is_empty());
    assert_eq!((session.counts().late, session.is_idle()), (1, true));
}

#[test]
fn calls_that_a_handler_of_go_makes_all_name_its_stream_and_are_each_answered() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    for _ in 0..3 {
        let (id, _) = requested(&mut session, &caller.says(None, "{}"));
        assert!(session.reply(id, Ok(("application/json", b"1"))));
        assert_eq!(take_all(&mut session).len(), 1);
    }
}

#[test]
fn ids_may_be_anything_and_the_last_64_streams_are_remembered() {
    let mut session = server();
    let callers: Vec<Caller> = (0..100)
        .map(|at| Caller::new(&format!("{at}{}", "i".repeat(at * 100)), &"s".repeat(at + 1)))
        .collect();
    for caller in &callers {
        let stream = caller.opens(&mut session);
        session.end(stream, Ok(()));
    }
    take_all(&mut session);
    for caller in &callers[36..] {
        assert!(hears(&mut session, &caller.says(None, "1")).is_empty());
    }
    assert_eq!(session.counts().late, 64);
    requested(&mut session, &callers[35].says(None, "1"));
}

#[test]
fn streams_count_among_what_a_caller_may_have_open() {
    let mut session = Session::server(Limits::default().with_open(2));
    let first = Caller::new("0", "0").opens(&mut session);
    requested(&mut session, &Caller::new("1", "").says(None, "{}"));
    assert!(hears(&mut session, &Caller::new("2", "2").says(None, "{}")).is_empty());
    let refused = headers(take_all(&mut session));
    assert_eq!(Error::from_wire(error(&refused[0])).kind(), ErrorKind::Overloaded);
    session.end(first, Ok(()));
    take_all(&mut session);
    Caller::new("3", "3").opens(&mut session);
}

#[test]
fn a_caller_that_is_gone_breaks_its_streams_and_misses_no_end() {
    let mut session = server();
    let (first, second) =
        (Caller::new("0", "0").opens(&mut session), Caller::new("1", "1").opens(&mut session));
    session.end(first, Ok(()));
    take_all(&mut session);
    let mut events = Vec::new();
    session.undelivered(1, true, &mut events);
    assert_eq!(broken(events, second).kind(), ErrorKind::Unavailable);
    assert_eq!(session.counts().lost_replies, 0, "nobody misses the end");
    assert!(session.is_idle());

    let mut session = server();
    let stream = Caller::new("0", "0").opens(&mut session);
    session.send(stream, b"1", MAX).unwrap();
    take_all(&mut session);
    session.send(stream, b"2", MAX).unwrap();
    session.undelivered(1, true, &mut Vec::new());
    assert_eq!(session.counts().lost_replies, 2);
}

#[test]
fn an_error_with_the_text_of_a_good_end_is_an_error() {
    let (mut session, caller) = (server(), Caller::new("0", "0"));
    let stream = caller.opens(&mut session);
    session.end(stream, Err(&Error::from_wire("EOS")));
    let said = headers(take_all(&mut session));
    let told = Error::from_wire(error(&said[0]));
    assert_eq!((told.code(), told.detail()), (500, "EOS"));
}

#[test]
fn an_interruption_ends_all_streams_and_no_message_follows_the_gap() {
    let mut session = server();
    let callers = [Caller::new("0", "0"), Caller::new("1", "1")];
    let streams = callers.each_ref().map(|caller| caller.opens(&mut session));
    let (id, _) = requested(&mut session, &Caller::new("2", "").says(None, "{}"));
    session.send(streams[0], b"after the gap", MAX).unwrap();
    session.reply(id, Ok((JSON, b"an answer")));
    let mut events = Vec::new();
    session.interrupted(&mut events);
    assert_eq!(events.len(), 2, "{events:?}");
    let said = headers(take_all(&mut session));
    let errors: Vec<_> = said.iter().filter_map(|header| header.get("Micro-Error")).collect();
    assert_eq!((said.len(), errors.len()), (3, 2), "{said:?}");
    assert!(errors.iter().all(|text| Error::from_wire(text).code() == 503));
    assert!(hears(&mut session, &callers[0].says(None, "1")).is_empty());
}

#[test]
fn a_message_that_becomes_too_large_ends_the_stream_with_that_error() {
    let mut session = server();
    let stream = Caller::new("0", "0").opens(&mut session);
    let error = session.send(stream, &[b'x'; 2000], 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    session.send(stream, &[b'x'; 2000], MAX).unwrap();
    let mut events = Vec::new();
    let packet = session.next_packet(1000, &mut events).unwrap();
    assert_eq!(broken(events, stream).kind(), ErrorKind::TooLarge);
    let (header, _) = envelope::decode(&packet).unwrap();
    assert_eq!(Error::from_wire(crate::error(&header)).kind(), ErrorKind::TooLarge);
}
