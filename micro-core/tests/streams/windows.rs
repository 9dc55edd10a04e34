//! How much of a stream its caller takes.

use micro_core::Error;
use micro_core::wire::{Limits, PROBE_ENDPOINT, Session, StreamId, Window};

use crate::{MAX, bring, headers, opened, opening, request, take_all};

/// A caller that has granted this much with its opening, and the service that heard it and answered.
fn granted(window: Window, answer: &Error) -> (Session, Session, StreamId) {
    let mut caller = Session::streaming(Limits::default());
    caller.open(&opening("Greeter.Chat")).unwrap();
    assert!(caller.grant(window));
    let mut service = Session::server(Limits::default());
    let (mut events, mut served) = (Vec::new(), None);
    for packet in take_all(&mut caller) {
        service.on_packet(&packet, &mut events);
        let (id, asked) = request(&mut events);
        if asked.endpoint() == PROBE_ENDPOINT {
            service.reply(id, Err(answer));
        } else {
            served = service.accept(id);
        }
    }
    assert!(bring(&mut service, &mut caller).is_empty());
    (caller, service, served.unwrap())
}

fn ours() -> Error {
    Error::not_found("no such endpoint")
}

#[test]
fn a_service_sends_what_was_granted_and_more_when_more_is() {
    let (mut caller, mut service, stream) = granted(Window::new(2, 100), &ours());
    for _ in 0..2 {
        assert!(service.may_send());
        assert!(service.send(stream, b"1", MAX).unwrap());
    }
    assert!(!service.may_send());
    assert!(caller.grant(Window::new(4, 102)));
    // An answer, and what was said before it, change nothing.
    bring(&mut caller, &mut service);
    assert!(service.may_send());
    assert!(service.send(stream, &[b'x'; 200], MAX).unwrap(), "one message, whatever its size");
    assert!(!service.may_send(), "its bytes count too");
    assert!(caller.grant(Window::new(1, 1)));
    assert!(caller.grant(Window::new(5, 500)));
    bring(&mut caller, &mut service);
    assert!(service.may_send(), "what was granted once is not taken back");
}

#[test]
fn nothing_is_granted_to_a_service_that_is_not_known_to_keep_to_it() {
    // go-micro's own answer to an endpoint that it has not.
    let theirs = Error::from_wire("rpc: can't find service Micro");
    let (mut caller, ..) = granted(Window::new(2, 100), &theirs);
    assert!(!caller.grant(Window::new(4, 200)));
    assert!(!caller.has_output());

    let (mut silent, stream) = opened();
    assert!(!silent.grant(Window::new(4, 200)), "it has not answered");
    silent.forget_stream(stream);
    assert!(!silent.grant(Window::new(4, 200)) && !silent.has_output());
    assert!(!Session::client(Limits::default()).grant(Window::new(1, 1)));
    assert!(!Session::server(Limits::default()).grant(Window::new(1, 1)));
}

#[test]
fn a_window_is_said_in_a_probe_and_in_nothing_else() {
    let mut caller = Session::streaming(Limits::default());
    caller.open(&opening("Greeter.Chat")).unwrap();
    caller.grant(Window::new(2048, 16_777_216));
    let said = headers(take_all(&mut caller));
    assert_eq!(said[0].get("Micro-Window"), None);
    assert_eq!(said[1].get("Micro-Window"), Some("2048 16777216"));
    assert_eq!(said[1].get("Micro-Endpoint"), Some(PROBE_ENDPOINT));
}

#[test]
fn whoever_says_no_window_or_none_that_is_one_is_sent_everything() {
    for said in ["", "0", "-1 5", "5", "99999999999999999999 1"] {
        let mut caller = Session::streaming(Limits::default());
        caller.open(&opening("Greeter.Chat")).unwrap();
        caller.grant(Window::new(0, 0));
        let mut service = Session::server(Limits::default());
        let mut events = Vec::new();
        for packet in take_all(&mut caller) {
            let packet =
                String::from_utf8(packet).unwrap().replace("\"0 0\"", &format!("{said:?}"));
            service.on_packet(packet.as_bytes(), &mut events);
            let (id, asked) = request(&mut events);
            if asked.endpoint() != PROBE_ENDPOINT {
                service.accept(id).unwrap();
            }
        }
        assert!(service.may_send(), "{said:?}");
    }
    let (_, service, _) = granted(Window::new(0, 0), &ours());
    assert!(!service.may_send(), "or it is one");
}
