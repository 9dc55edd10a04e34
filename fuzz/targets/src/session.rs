//! Packets into sessions, in whatever order, among calls and replies.

use std::collections::BTreeSet;

use micro_core::wire::{
    CallId, Counts, Event, Limits, Outgoing, Request, RequestId, Session, envelope, is_reserved,
};
use micro_core::{Error, Header};

const OPEN: usize = 4;

/// A server's and a client's session do as each line says, by its first byte, and keep their
/// promises meanwhile and when they end:
///
/// * `>` and `<`: the rest is a packet for the server, for the client;
/// * `c`: the client calls, with the rest as content type and body; `g`: it gives up a call;
/// * `r` and `e`: the server replies the rest to a request, or that it failed with the rest;
/// * `l`: no packet is larger than this number from now on;
/// * `s` and `S`: the client's next packet goes to the server, the server's to the client;
/// * `x` and `X`: this number of the client's packets, of the server's, reached nobody;
/// * anything else: the line is a packet for both.
///
/// Says whether a session took a packet.
pub fn session(data: &[u8]) -> bool {
    let mut both = Both::new();
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let (first, rest) = line.split_first().unwrap_or((&b' ', b""));
        match first {
            b'>' => both.at_server(rest),
            b'<' => both.at_client(rest),
            b'c' => both.call(rest),
            b'g' => both.give_up(),
            b'r' => both.reply(Ok(("application/json", rest))),
            b'e' => both.reply(Err(&Error::from_wire(&String::from_utf8_lossy(rest)))),
            b'l' => both.max = number(rest),
            b's' => both.client_sends(),
            b'S' => both.server_sends(),
            b'x' => both.client_lost(number(rest) as u64, number(rest) % 2 == 1),
            b'X' => both.server_lost(number(rest) as u64, number(rest) % 2 == 1),
            _ => {
                both.at_server(line);
                both.at_client(line);
            }
        }
    }
    both.end();
    both.took
}

/// Two sessions, and what is known of them from outside.
struct Both {
    client: Session,
    server: Session,
    /// Calls without an answer.
    calls: BTreeSet<CallId>,
    made: BTreeSet<CallId>,
    /// Requests without one.
    requests: BTreeSet<RequestId>,
    came: BTreeSet<RequestId>,
    max: usize,
    took: bool,
}

impl Both {
    fn new() -> Self {
        let limits = Limits::default().with_open(OPEN).with_queued_bytes(4096);
        Self {
            client: Session::client(limits),
            server: Session::server(limits),
            calls: BTreeSet::new(),
            made: BTreeSet::new(),
            requests: BTreeSet::new(),
            came: BTreeSet::new(),
            max: 1 << 20,
            took: false,
        }
    }

    fn at_server(&mut self, packet: &[u8]) {
        let (before, waits) = (self.server.counts(), self.server.has_output());
        let mut events = Vec::new();
        self.server.on_packet(packet, &mut events);
        let counted = dropped(self.server.counts()) - dropped(before);
        assert!(events.len() <= 1 && counted <= 1, "{events:?}, {counted} counted");
        let answered = self.server.has_output() || waits || is_end(packet);
        assert!(events.len() as u64 + counted == 1 || answered, "a packet is lost without a count");
        self.is_garbage(packet, before, self.server.counts());
        self.took |= !events.is_empty();
        self.server_events(events);
    }

    fn at_client(&mut self, packet: &[u8]) {
        let before = self.client.counts();
        let open = self.calls.len();
        let is_unsent = |call: &&CallId| self.client.is_unsent(**call);
        let unsent: BTreeSet<CallId> = self.calls.iter().filter(is_unsent).copied().collect();
        let mut events = Vec::new();
        self.client.on_packet(packet, &mut events);
        let counted = dropped(self.client.counts()) - dropped(before);
        assert!(events.len() <= open && counted <= 1, "{events:?} of {open}, {counted} counted");
        assert!(events.is_empty() != (counted == 0), "{events:?}, {counted} counted");
        self.is_garbage(packet, before, self.client.counts());
        self.took |= !events.is_empty();
        self.client_events(events);
        assert!(unsent.is_subset(&self.calls), "what was not sent is answered");
    }

    /// What begins as an envelope and is none is counted as garbage, and nothing else is done.
    fn is_garbage(&self, packet: &[u8], before: Counts, after: Counts) {
        if packet.first() == Some(&b'{') {
            let garbage = after.garbage - before.garbage;
            assert_eq!(garbage == 1, envelope::decode(packet).is_err());
        }
    }

    fn call(&mut self, text: &[u8]) {
        let content_type = String::from_utf8_lossy(text);
        let call = self.client.call(&Outgoing {
            service: "greeter",
            endpoint: "Greeter.Hello",
            content_type: &content_type,
            timeout: None,
            metadata: &Header::new(),
            body: text,
        });
        match call {
            Ok(call) => {
                assert!(self.made.insert(call), "{call:?} is used again");
                assert!(self.client.is_unsent(call) && self.client.has_output());
                self.calls.insert(call);
                assert!(self.calls.len() <= OPEN, "more calls than allowed");
            }
            Err(error) => assert_eq!(error.kind(), micro_core::ErrorKind::Overloaded),
        }
    }

    fn give_up(&mut self) {
        if let Some(call) = self.calls.pop_first() {
            assert!(self.client.give_up(call).is_some(), "{call:?} was open");
            assert!(self.client.give_up(call).is_none(), "{call:?} is given up twice");
        }
    }

    fn reply(&mut self, reply: Result<(&str, &[u8]), &Error>) {
        if let Some(request) = self.requests.pop_first() {
            assert!(self.server.is_open(request) && self.server.reply(request, reply));
            assert!(!self.server.is_open(request), "{request:?} is answered and open");
            assert!(!self.server.reply(request, Ok(("", b""))), "{request:?} is answered twice");
        }
    }

    fn client_sends(&mut self) {
        let mut events = Vec::new();
        let packet = self.client.next_packet(self.max, &mut events);
        self.client_events(events);
        if let Some(packet) = packet {
            assert!(packet.len() <= self.max && self.client.taken() > 0);
            self.at_server(&packet);
        }
    }

    fn server_sends(&mut self) {
        let mut events = Vec::new();
        let packet = self.server.next_packet(self.max, &mut events);
        self.server_events(events);
        if let Some(packet) = packet {
            assert!(packet.len() <= self.max && self.server.taken() > 0);
            self.at_client(&packet);
        }
    }

    fn client_lost(&mut self, packets: u64, over: bool) {
        let mut events = Vec::new();
        self.client.undelivered(packets, over, &mut events);
        self.client_events(events);
    }

    fn server_lost(&mut self, packets: u64, over: bool) {
        let mut events = Vec::new();
        self.server.undelivered(packets, over, &mut events);
        self.server_events(events);
        assert!(self.requests.is_empty(), "a request of a caller that is gone is open");
    }

    fn client_events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Reply { call, .. } | Event::Failed { call, .. } => {
                    assert!(self.calls.remove(&call), "{call:?} did not wait");
                    assert!(self.client.give_up(call).is_none(), "{call:?} is over and waits");
                }
                Event::Request { .. } | Event::Cancelled { .. } => panic!("a client got {event:?}"),
                _ => {}
            }
        }
    }

    fn server_events(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Request { id, request } => {
                    assert!(self.came.insert(id), "{id:?} is used again");
                    assert!(self.server.is_open(id));
                    self.requests.insert(id);
                    assert!(self.requests.len() <= OPEN, "more requests than allowed");
                    look_at(&request);
                }
                Event::Cancelled { id } => {
                    assert!(self.requests.remove(&id), "{id:?} was not open");
                    assert!(!self.server.is_open(id));
                }
                Event::Reply { .. } | Event::Failed { .. } => panic!("a server got {event:?}"),
                _ => {}
            }
        }
    }

    /// What waits goes out, and the rest ends: each call and each request exactly once.
    fn end(&mut self) {
        for session in [&mut self.client, &mut self.server] {
            let mut events = Vec::new();
            let mut left = 1000;
            while let Some(packet) = session.next_packet(1 << 20, &mut events) {
                assert!(!packet.is_empty());
                session.taken();
                left -= 1;
                assert!(left > 0, "more packets than there can be");
            }
            assert!(!session.has_output() && events.is_empty(), "{events:?}");
        }
        self.client_lost(0, true);
        self.server_lost(0, true);
        assert!(self.calls.is_empty(), "calls without an end: {:?}", self.calls);
        assert!(self.client.is_idle() && self.server.is_idle());
    }
}

fn look_at(request: &Request) {
    let metadata = request.metadata();
    assert!(metadata.iter().all(|(key, _)| !is_reserved(key)), "{metadata:?}");
    assert!(request.timeout().is_none_or(|timeout| !timeout.is_zero()));
    assert!(request.content_type().is_none_or(|text| !text.is_empty()));
    let _ = (request.service(), request.endpoint(), request.body(), request.closes());
}

/// All that a session counted when it was given a packet.
fn dropped(counts: Counts) -> u64 {
    counts.garbage + counts.stray + counts.lost_requests + counts.late
}

/// The end of a stream, which nobody misses where that has ended.
fn is_end(packet: &[u8]) -> bool {
    let Ok((header, _)) = envelope::decode(packet) else { return false };
    let any = |of: fn(&str, &str) -> bool| header.iter().any(|(key, value)| of(key, value));
    any(|_, value| value == "EOS")
        && any(|key, _| key.to_ascii_lowercase().ends_with("micro-stream"))
}

fn number(text: &[u8]) -> usize {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
