//! Packets into both ends of streams, in whatever order, among messages and ends.

use std::collections::BTreeMap;

use micro_core::wire::{
    Counts, Event, Limits, Outgoing, PROBE_ENDPOINT, RequestId, Session, StreamId, envelope,
};
use micro_core::{Error, Header};

const OPEN: usize = 4;
/// What anything of ours is no larger than.
const LARGEST: usize = 1 << 20;

/// A caller that opens a stream, and a service, do as each line says, by its first byte, and keep
/// their promises meanwhile and when they end:
///
/// * `>` and `<`: the rest is a packet for the service, for the caller;
/// * `m` and `M`: the caller, the service sends the rest on its first stream;
/// * `h`, `g` and `f`: the caller half-closes, gives up, forgets its stream;
/// * `a` and `p`: it asks whether the handler has ended, whether the service lives;
/// * `A` and `r`: the service accepts, refuses its first request;
/// * `w` and `e`: it ends its first stream well, with the rest as an error;
/// * `i` and `I`: the caller's network, the service's was away;
/// * `l`: no packet is larger than this number from now on;
/// * `s` and `S`: the caller's next packet goes to the service, the service's to the caller;
/// * `x` and `X`: this number of the caller's packets, of the service's, reached nobody;
/// * anything else: the line is a packet for both.
///
/// Says whether a session took a packet.
pub fn stream(data: &[u8]) -> bool {
    let (mut caller, mut service) = (Caller::new(), Service::new());
    let mut max = LARGEST;
    for line in data.split(|byte| *byte == b'\n').take(64) {
        let (first, rest) = line.split_first().unwrap_or((&b' ', b""));
        match first {
            b'>' => service.hears(rest),
            b'<' => caller.hears(rest),
            b'm' => caller.sends(rest, max),
            b'M' => service.sends(rest, max),
            b'h' | b'g' | b'f' => caller.ends(*first),
            b'a' => caller.session.ask_end(caller.stream),
            b'p' => caller.session.probe(),
            b'A' => service.accepts(),
            b'r' => service.refuses(),
            b'w' => service.ends(Ok(())),
            b'e' => service.ends(Err(&Error::from_wire(&String::from_utf8_lossy(rest)))),
            b'i' => caller.does(|session, events| session.interrupted(events)),
            b'I' => service.does(|session, events| session.interrupted(events)),
            b'l' => max = number(rest),
            b's' => {
                if let Some(packet) = caller.packet(max) {
                    service.hears(&packet);
                }
            }
            b'S' => {
                if let Some(packet) = service.packet(max) {
                    caller.hears(&packet);
                }
            }
            b'x' => caller.lost(number(rest)),
            b'X' => service.lost(number(rest)),
            _ => {
                service.hears(line);
                caller.hears(line);
            }
        }
    }
    caller.over();
    service.over();
    caller.took || service.took
}

/// The caller of one stream, and what is known of it from outside.
struct Caller {
    session: Session,
    stream: StreamId,
    open: bool,
    half_closed: bool,
    took: bool,
}

impl Caller {
    fn new() -> Self {
        let mut session = Session::streaming(limits());
        let opening = Outgoing {
            service: "greeter",
            endpoint: "Greeter.Chat",
            content_type: "application/json",
            timeout: None,
            metadata: &Header::new(),
            body: b"{}",
        };
        // The first of a session without metadata is always taken.
        let stream = session.open(&opening).expect("a stream");
        Self { session, stream, open: true, half_closed: false, took: false }
    }

    fn hears(&mut self, packet: &[u8]) {
        let before = self.session.counts();
        let mut events = Vec::new();
        self.session.on_packet(packet, &mut events);
        let counted = dropped(self.session.counts()) - dropped(before);
        // The answer to a probe is neither.
        assert!(events.len() as u64 + counted <= 1, "{events:?}, {counted} counted");
        self.took |= !events.is_empty();
        self.on(events);
    }

    fn sends(&mut self, body: &[u8], max: usize) {
        match self.session.send(self.stream, body, max) {
            Ok(sent) => assert!(!sent || self.open && !self.half_closed),
            Err(error) => assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge),
        }
    }

    fn ends(&mut self, how: u8) {
        let (session, stream) = (&mut self.session, self.stream);
        match how {
            b'h' => self.half_closed |= session.half_close(stream),
            b'g' => {
                let known = session.give_up_stream(stream, &Error::with_code(499, "not wanted"));
                assert_eq!(known.is_some(), self.open);
                self.open = false;
            }
            _ => {
                session.forget_stream(stream);
                self.open = false;
            }
        }
    }

    fn packet(&mut self, max: usize) -> Option<Vec<u8>> {
        let mut events = Vec::new();
        let packet = self.session.next_packet(max, &mut events);
        self.on(events);
        let packet = packet?;
        assert!(packet.len() <= max && self.session.taken() > 0);
        let (header, _) = envelope::decode(&packet).expect("an envelope");
        let asks = header.get("Micro-Endpoint") == Some(PROBE_ENDPOINT);
        assert!(asks != header.get("Micro-Stream").is_some(), "{header:?}");
        if asks && header.get("Micro-ID") == Some("0") {
            assert!(self.half_closed, "it arrives as a message");
        }
        Some(packet.to_vec())
    }

    fn lost(&mut self, packets: usize) {
        let over = packets % 2 == 1;
        self.does(|session, events| session.undelivered(packets as u64, over, events));
        assert!(!over || !self.open, "its service is gone, and it is open");
    }

    fn does(&mut self, what: impl FnOnce(&mut Session, &mut Vec<Event>)) {
        let mut events = Vec::new();
        what(&mut self.session, &mut events);
        self.on(events);
    }

    fn on(&mut self, events: Vec<Event>) {
        for event in events {
            assert!(self.open, "{event:?} after the end");
            match event {
                Event::Finished { .. } => self.open = false,
                Event::Broken { error, .. } => {
                    assert!(error.request().is_some(), "nothing is known: {error:?}");
                    self.open = false;
                }
                Event::Message { .. } | Event::HandlerEnded { .. } => {}
                other => panic!("a caller of a stream got {other:?}"),
            }
        }
    }

    fn over(&mut self) {
        while self.packet(LARGEST).is_some() {}
        self.lost(1);
        assert!(self.session.is_idle());
    }
}

/// A service, and what is known of its streams from outside.
struct Service {
    session: Session,
    requests: Vec<RequestId>,
    /// Whether the caller has said that it sends no more.
    streams: BTreeMap<StreamId, bool>,
    took: bool,
}

impl Service {
    fn new() -> Self {
        let (requests, streams) = (Vec::new(), BTreeMap::new());
        Self { session: Session::server(limits()), requests, streams, took: false }
    }

    fn hears(&mut self, packet: &[u8]) {
        let before = self.session.counts();
        let mut events = Vec::new();
        self.session.on_packet(packet, &mut events);
        let counted = dropped(self.session.counts()) - dropped(before);
        assert!(events.len() as u64 + counted <= 1, "{events:?}, {counted} counted");
        self.took |= !events.is_empty();
        self.on(events);
    }

    fn sends(&mut self, body: &[u8], max: usize) {
        let Some(stream) = self.streams.keys().next().copied() else { return };
        match self.session.send(stream, body, max) {
            Ok(sent) => assert!(sent, "{stream:?} is open"),
            Err(error) => assert_eq!(error.kind(), micro_core::ErrorKind::TooLarge),
        }
    }

    fn accepts(&mut self) {
        let Some(request) = self.requests.first().copied() else { return };
        if let Some(stream) = self.session.accept(request) {
            self.requests.remove(0);
            assert!(!self.session.is_open(request) && self.session.accept(request).is_none());
            assert!(self.streams.insert(stream, false).is_none(), "{stream:?} is used again");
        }
    }

    fn refuses(&mut self) {
        if !self.requests.is_empty() {
            let request = self.requests.remove(0);
            assert!(self.session.reply(request, Err(&Error::not_found("nothing"))));
        }
    }

    fn ends(&mut self, how: Result<(), &Error>) {
        if let Some((stream, _)) = self.streams.pop_first() {
            assert!(self.session.end(stream, how), "{stream:?} was open");
            assert!(!self.session.end(stream, how), "{stream:?} is ended twice");
            assert!(!self.session.send(stream, b"", LARGEST).is_ok_and(|sent| sent));
        }
    }

    fn packet(&mut self, max: usize) -> Option<Vec<u8>> {
        let mut events = Vec::new();
        let packet = self.session.next_packet(max, &mut events);
        self.on(events);
        let packet = packet?;
        assert!(packet.len() <= max && self.session.taken() > 0);
        envelope::decode(&packet).expect("an envelope");
        Some(packet.to_vec())
    }

    fn lost(&mut self, packets: usize) {
        self.does(|session, events| session.undelivered(packets as u64, true, events));
        assert!(self.streams.is_empty() && self.requests.is_empty());
    }

    fn does(&mut self, what: impl FnOnce(&mut Session, &mut Vec<Event>)) {
        let mut events = Vec::new();
        what(&mut self.session, &mut events);
        self.on(events);
    }

    fn on(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Request { id, .. } => self.requests.push(id),
                Event::Cancelled { id } => self.requests.retain(|request| *request != id),
                Event::Message { stream, .. } => {
                    assert_eq!(self.streams.get(&stream), Some(&false), "{stream:?} has ended");
                }
                Event::Finished { stream } => {
                    assert_eq!(self.streams.insert(stream, true), Some(false), "{stream:?}");
                }
                Event::Broken { stream, .. } => {
                    assert!(self.streams.remove(&stream).is_some(), "{stream:?} was not open");
                }
                other => panic!("a service got {other:?}"),
            }
            assert!(self.requests.len() + self.streams.len() <= OPEN, "more than is allowed");
        }
    }

    fn over(&mut self) {
        while self.packet(LARGEST).is_some() {}
        self.lost(0);
        assert!(self.session.is_idle());
    }
}

fn limits() -> Limits {
    Limits::default().with_open(OPEN).with_queued_bytes(4096)
}

/// All that a session counted when it was given a packet.
fn dropped(counts: Counts) -> u64 {
    counts.garbage + counts.stray + counts.lost_requests + counts.late
}

fn number(text: &[u8]) -> usize {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}
