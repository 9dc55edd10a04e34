//! A stream that we opened, by itself.

use micro_core::wire::{Event, Limits, PROBE_ENDPOINT, Session, envelope};
use micro_core::{Error, ErrorKind, Header, RequestState};

use crate::{MAX, bodies, both, bring, broken, error, headers, opened, opening, take_all};

fn gave_up() -> Error {
    Error::new(ErrorKind::Cancelled, "not wanted")
}

/// What go-micro's service says: of this id, with these entries.
fn said(id: &str, more: &[(&'static str, &str)]) -> Vec<u8> {
    let mut header = Header::new();
    header.insert("Micro-ID", id.to_owned());
    header.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    envelope::encode(&header, b"1").to_vec()
}

#[test]
fn every_message_has_both_spellings_of_its_id_and_names_its_stream() {
    let mut session = Session::streaming(Limits::default());
    let stream = session.open(&opening("Greeter.Chat")).unwrap();
    session.send(stream, b"1", MAX).unwrap();
    session.half_close(stream);
    let said = headers(take_all(&mut session));
    assert_eq!(said.len(), 3);
    for header in &said {
        for key in ["Micro-ID", "Micro-Id", "Micro-Stream"] {
            assert_eq!(header.get(key), Some("0"), "{key} of {header:?}");
        }
        assert_eq!(header.get("Micro-Endpoint"), Some("Greeter.Chat"));
    }
    assert_eq!(error(&said[2]), "EOS");
}

#[test]
fn a_session_has_one_stream_and_no_calls_and_takes_no_reserved_metadata() {
    let metadata: Header = [("Micro-Topic", "t")].into_iter().collect();
    let mut session = Session::streaming(Limits::default());
    let mut reserved = opening("Greeter.Chat");
    reserved.metadata = &metadata;
    let error = session.open(&reserved).unwrap_err();
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(!session.has_output());
    assert!(session.call(&opening("Greeter.Hello")).is_err());
    session.open(&opening("Greeter.Chat")).unwrap();
    assert!(session.open(&opening("Greeter.Chat")).is_err());
    assert!(Session::client(Limits::default()).open(&opening("Greeter.Chat")).is_err());
    assert!(Session::server(Limits::default()).open(&opening("Greeter.Chat")).is_err());
}

#[test]
fn what_was_not_sent_is_not_answered() {
    let mut session = Session::streaming(Limits::default());
    session.open(&opening("Greeter.Chat")).unwrap();
    let mut events = Vec::new();
    session.on_packet(&said("0", &[]), &mut events);
    session.on_packet(&said("0", &[("Micro-Error", "EOS")]), &mut events);
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(session.counts().stray, 2);
}

#[test]
fn messages_are_read_by_any_spelling_of_the_id_and_of_no_other() {
    let (mut session, _) = opened();
    for key in ["Micro-ID", "Micro-Id", "micro-id", "X-Micro-ID", "X-Micro-Id"] {
        let mut events = Vec::new();
        let header: Header = [(key, "0")].into_iter().collect();
        session.on_packet(&envelope::encode(&header, b"1"), &mut events);
        assert_eq!(bodies(&events), [b"1"], "{key}");
    }
    let mut events = Vec::new();
    for id in ["1", "00x", "", "-0"] {
        session.on_packet(&said(id, &[]), &mut events);
    }
    assert!(events.is_empty(), "{events:?}");
    assert_eq!(session.counts().stray, 4);
}

#[test]
fn nobody_is_asked_whether_the_handler_has_ended_before_the_half_close_or_after_the_end() {
    let (mut session, stream) = opened();
    session.ask_end(stream);
    assert!(!session.has_output(), "it would arrive as a message");
    session.half_close(stream);
    take_all(&mut session);
    session.ask_end(stream);
    let asked = headers(take_all(&mut session));
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].get("Micro-ID"), asked[0].get("Micro-Stream")), (Some("0"), None));
    assert_eq!(asked[0].get("Micro-Endpoint"), Some(PROBE_ENDPOINT));
    session.on_packet(&said("0", &[("Micro-Error", "EOS")]), &mut Vec::new());
    session.ask_end(stream);
    assert!(!session.has_output(), "it is over");
}

#[test]
fn what_is_given_up_before_it_was_sent_is_not_sent() {
    let mut session = Session::streaming(Limits::default());
    let stream = session.open(&opening("Greeter.Chat")).unwrap();
    session.send(stream, b"1", MAX).unwrap();
    session.probe();
    assert_eq!(session.give_up_stream(stream, &gave_up()), Some(RequestState::NotSent));
    assert!(session.is_idle());
    assert_eq!(session.give_up_stream(stream, &gave_up()), None);
}

#[test]
fn giving_up_says_why_and_then_the_end_and_nothing_that_waited() {
    for half_closes in [false, true] {
        let (mut session, stream) = opened();
        session.send(stream, b"too late", MAX).unwrap();
        if half_closes {
            // As its end was not sent yet, it is not a good one.
            session.half_close(stream);
            session.ask_end(stream);
        }
        assert_eq!(session.give_up_stream(stream, &gave_up()), Some(RequestState::Unknown));
        let told = headers(take_all(&mut session));
        assert_eq!(told.len(), 2, "{told:?}");
        let why = Error::from_wire(error(&told[0]));
        assert_eq!((why.code(), why.detail()), (499, "not wanted"));
        assert_eq!(error(&told[1]), "EOS");
        assert!(told.iter().all(|header| header.get("Micro-Stream") == Some("0")));
        assert!(!session.send(stream, b"more", MAX).unwrap() && !session.half_close(stream));
    }
}

#[test]
fn after_the_half_close_go_micros_service_is_told_nothing_and_ours_is() {
    let (mut session, stream) = opened();
    session.half_close(stream);
    take_all(&mut session);
    session.give_up_stream(stream, &gave_up());
    assert!(!session.has_output(), "it would be the opening of another run");

    let (mut caller, called, mut service, served) = both();
    caller.probe();
    let mut asked = bring(&mut caller, &mut service);
    let (id, _) = crate::request(&mut asked);
    service.reply(id, Err(&Error::not_found("no such endpoint")));
    assert!(bring(&mut service, &mut caller).is_empty());
    caller.half_close(called);
    bring(&mut caller, &mut service);
    caller.give_up_stream(called, &gave_up());
    let error = broken(bring(&mut caller, &mut service), served);
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}

#[test]
fn the_end_is_answered_once_and_only_where_ours_was_not_said() {
    for text in ["EOS", r#"{"code":409}"#] {
        for half_closes in [false, true] {
            let (mut session, stream) = opened();
            if half_closes {
                session.half_close(stream);
                take_all(&mut session);
            }
            let mut events = Vec::new();
            session.on_packet(&said("0", &[]), &mut events);
            session.on_packet(&said("0", &[("Micro-Error", text)]), &mut events);
            let last = events.pop();
            match text {
                "EOS" => assert!(matches!(last, Some(Event::Finished { .. })), "{last:?}"),
                _ => assert!(matches!(last, Some(Event::Broken { .. })), "{last:?}"),
            }
            assert_eq!(bodies(&events), [b"1"], "what came before comes before");
            let told = headers(take_all(&mut session));
            assert_eq!(told.len(), usize::from(!half_closes));
            assert!(told.iter().all(|header| error(header) == "EOS"));
            session.on_packet(&said("0", &[]), &mut events);
            assert_eq!((events.len(), session.counts().stray), (1, 1), "nothing comes after it");
            assert!(session.is_idle() && !session.send(stream, b"2", MAX).unwrap());
        }
    }
}

#[test]
fn a_content_type_that_go_micro_has_no_codec_for_ends_it() {
    let (mut session, stream) = opened();
    let header: Header = [("Content-Type", "text/plain")].into_iter().collect();
    let mut events = Vec::new();
    session.on_packet(&envelope::encode(&header, b"unsupported"), &mut events);
    let error = broken(events, stream);
    assert_eq!(error.kind(), ErrorKind::UnsupportedMediaType);
    assert_eq!(error.request(), Some(RequestState::Executed));
}

#[test]
fn what_reached_nobody_is_not_sent_and_what_may_have_is_unknown() {
    // Of four packets taken, so many reached nobody.
    for (lost, state) in [(4, RequestState::NotSent), (3, RequestState::Unknown)] {
        let mut session = Session::streaming(Limits::default());
        let stream = session.open(&opening("Greeter.Chat")).unwrap();
        session.probe();
        session.send(stream, b"1", MAX).unwrap();
        session.send(stream, b"2", MAX).unwrap();
        take_all(&mut session);
        let mut events = Vec::new();
        session.undelivered(lost, false, &mut events);
        let error = broken(events, stream);
        assert_eq!((error.kind(), error.request()), (ErrorKind::Unavailable, Some(state)));
        assert!(session.is_idle());
    }
}

#[test]
fn a_stream_that_has_nothing_more_to_send_waits_for_who_drains_until_that_is_gone() {
    let (mut session, stream) = opened();
    session.half_close(stream);
    take_all(&mut session);
    session.probe();
    take_all(&mut session);
    let mut events = Vec::new();
    session.undelivered(1, false, &mut events);
    session.on_packet(&said("0", &[]), &mut events);
    assert_eq!(bodies(&events), [b"1"], "it answers yet");
    events.clear();
    session.undelivered(1, true, &mut events);
    assert_eq!(broken(events, stream).request(), Some(RequestState::Unknown));

    let (mut session, stream) = opened();
    let mut events = Vec::new();
    session.undelivered(0, false, &mut events);
    // It could send, and its messages would reach nobody.
    broken(events, stream);
}

#[test]
fn a_message_that_is_too_large_is_refused_and_the_stream_goes_on() {
    let (mut session, stream) = opened();
    let error = session.send(stream, &[b'x'; 2000], 1000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.detail().contains("1000 bytes"), "{error}");
    assert!(session.send(stream, b"1", 1000).unwrap());
    assert_eq!(take_all(&mut session).len(), 1);
}

#[test]
fn a_message_that_becomes_too_large_breaks_the_stream_and_its_service_is_told() {
    let (mut session, stream) = opened();
    session.send(stream, &[b'x'; 2000], MAX).unwrap();
    session.send(stream, b"after it", MAX).unwrap();
    let mut events = Vec::new();
    let why = session.next_packet(1000, &mut events).unwrap();
    assert_eq!(broken(events, stream).kind(), ErrorKind::TooLarge);
    let (header, _) = envelope::decode(&why).unwrap();
    assert_eq!(Error::from_wire(error(&header)).kind(), ErrorKind::TooLarge);
    session.taken();
    assert_eq!(take_all(&mut session).len(), 1, "the end, and nothing that came after the gap");
}

#[test]
fn an_interruption_gives_up_what_was_begun_and_nothing_else() {
    let mut session = Session::streaming(Limits::default());
    let stream = session.open(&opening("Greeter.Chat")).unwrap();
    let mut events = Vec::new();
    session.interrupted(&mut events);
    assert!(events.is_empty(), "nothing was on the way: {events:?}");
    take_all(&mut session);
    session.send(stream, b"after the gap", MAX).unwrap();
    session.half_close(stream);
    session.interrupted(&mut events);
    let error = broken(events, stream);
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::Unknown));
    let told = headers(take_all(&mut session));
    assert_eq!(told.len(), 2);
    assert_eq!(Error::from_wire(crate::error(&told[0])).code(), 503);
}

#[test]
fn who_sends_ahead_is_told_that_there_is_no_room() {
    let (mut session, stream) = opened();
    let mut sent = 0;
    while session.has_room() {
        session.send(stream, &[b'x'; 10_000], MAX).unwrap();
        sent += 1;
    }
    assert!((10..100).contains(&sent), "{sent} messages of 10,000 bytes");
    take_all(&mut session);
    assert!(session.has_room());
}
