//! The stream of a session that dialled: go-micro gives each a socket of its own.

use bytes::Bytes;

use super::calls::is_unsupported_media;
use super::events::{Event, StreamId};
use super::gone;
use crate::wire::gomicro::{self, Outgoing, StreamHead};
use crate::wire::window::Window;
use crate::{Error, ErrorKind, Header, RequestState};

/// What a session that dialled for a stream holds: none before it is opened.
#[derive(Default)]
pub(super) struct Outbound {
    stream: Option<Open>,
    /// The service is one of ours: it takes in whatever comes after the end, and sends no more than
    /// it is granted.
    ours: bool,
    /// What was sent on the stream, and what its service takes if it says so.
    sent: Window,
    granted: Option<Window>,
    /// When so much was sent, it is asked for more.
    ask_at: Window,
    /// It was asked, and has not answered.
    asked: bool,
}

/// The stream, until it is over.
struct Open {
    id: u64,
    head: StreamHead,
    half_closed: bool,
    /// The numbers of its first and its last packet that the peer took.
    packets: Option<(u64, u64)>,
}

impl Outbound {
    /// The opening message of a new stream.
    pub(super) fn open(&mut self, id: u64, call: &Outgoing<'_>) -> Bytes {
        let head = StreamHead::of_caller(id, call);
        let opening = gomicro::encode_opening(id, call);
        self.stream = Some(Open { id, head, half_closed: false, packets: None });
        opening
    }

    pub(super) fn id(&self) -> Option<StreamId> {
        self.stream.as_ref().map(|open| StreamId(open.id))
    }

    /// It, if its service may know of it.
    pub(super) fn begun(&self) -> Option<StreamId> {
        self.stream.as_ref().filter(|open| open.packets.is_some()).map(|open| StreamId(open.id))
    }

    /// What its messages begin with, if it may send any.
    pub(super) fn sends(&self, stream: StreamId) -> Option<&StreamHead> {
        let open = self.stream.as_ref().filter(|open| open.id == stream.0)?;
        (!open.half_closed).then_some(&open.head)
    }

    /// The end of its messages, if it has not ended them.
    pub(super) fn half_close(&mut self, stream: StreamId) -> Option<Bytes> {
        let open = self.stream.as_mut().filter(|open| open.id == stream.0)?;
        let end = open.end();
        open.half_closed = true;
        end
    }

    /// It is over: what its service is told, which is nothing where it knows of nothing, and what
    /// is known of its opening. `unsent`: its last message, or that there is none more, was not sent.
    pub(super) fn give_up(
        &mut self,
        stream: StreamId,
        error: &Error,
        unsent: bool,
    ) -> Option<(Option<[Bytes; 2]>, RequestState)> {
        let open = self.stream.take_if(|open| open.id == stream.0)?;
        if open.packets.is_none() {
            return Some((None, RequestState::NotSent));
        }
        if open.half_closed && !unsent && !self.ours {
            // The handler may have ended, which go-micro does not say; a message would be the
            // opening of another run. Nobody reads it otherwise.
            return Some((None, RequestState::Unknown));
        }
        // The end alone would look like a good one, and what was sent so far like all of it.
        let told = [open.head.end(&error.to_wire()), open.head.end(gomicro::EOS)];
        Some((Some(told), RequestState::Unknown))
    }

    /// It is over, and its service needs not be told.
    pub(super) fn forget(&mut self, stream: StreamId) {
        self.stream.take_if(|open| open.id == stream.0);
    }

    /// The answer to a probe: our services answer with an error of their own, and how much they take.
    pub(super) fn probed(&mut self, header: &Header) {
        let code = gomicro::error(header).map(|text| Error::from_wire(text).code());
        self.ours |= code == Some(ErrorKind::NotFound.code());
        self.asked = false;
        if let Some(window) = gomicro::request_window(header) {
            let granted = self.granted.map_or(window, |before| before.or(window));
            self.granted = Some(granted);
            self.ask_at = granted.half_after(self.sent);
        }
    }

    /// A message was queued.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent = self.sent.with_message(bytes);
    }

    /// Whether its service takes one message more.
    pub(super) fn may_send(&self) -> bool {
        self.granted.is_none_or(|granted| granted.is_open_after(self.sent))
    }

    /// Whether its service is to be asked how much more it takes. It is taken to be asked then.
    pub(super) fn asks_window(&mut self) -> bool {
        let asks = self.granted.is_some() && !self.asked && !self.ask_at.is_open_after(self.sent);
        self.asked |= asks;
        asks
    }

    /// Whether its service keeps to what it is granted, as far as is known: it has answered, and is
    /// one of ours, or has not yet.
    pub(super) fn is_granted(&self) -> bool {
        self.stream.as_ref().is_some_and(|open| self.ours || open.packets.is_none())
    }

    /// A question whether its handler has ended, if its messages have.
    pub(super) fn ask_end(&self, stream: StreamId) -> Option<Bytes> {
        let open = self.stream.as_ref().filter(|open| open.id == stream.0)?;
        if !open.half_closed {
            // It would arrive as a message.
            return None;
        }
        Some(gomicro::encode_request(open.id, &super::probes::nobodys_endpoint()))
    }

    pub(super) fn taken(&mut self, id: u64, packet: u64) {
        if let Some(open) = self.stream.as_mut().filter(|open| open.id == id) {
            open.packets = Some((open.packets.map_or(packet, |(first, _)| first), packet));
        }
    }

    /// Takes in what its service sends.
    pub(super) fn receive(
        &mut self,
        header: &Header,
        body: Bytes,
        events: &mut Vec<Event>,
    ) -> Received {
        let Some(open) = &self.stream else { return Received::Stray };
        let stream = StreamId(open.id);
        // What the peer has not even taken it cannot answer.
        if open.packets.is_none() {
            return Received::Stray;
        }
        if is_unsupported_media(header) {
            let text = String::from_utf8_lossy(&body).into_owned();
            let error = Error::new(ErrorKind::UnsupportedMediaType, text);
            self.broken(error.with_request(RequestState::Executed), events);
            return Received::Own;
        }
        if gomicro::id(header).and_then(|id| id.parse().ok()) != Some(open.id) {
            return Received::Stray;
        }
        if gomicro::endpoint(header) == super::PROBE_ENDPOINT {
            events.push(Event::HandlerEnded { stream });
            return Received::Own;
        }
        match gomicro::error(header) {
            None => {
                events.push(Event::Message { stream, body });
                Received::Own
            }
            Some(gomicro::EOS) => {
                let end = open.end();
                self.stream = None;
                events.push(Event::Finished { stream });
                end.map_or(Received::Own, Received::Ended)
            }
            Some(text) => {
                let error = Error::from_wire(text).with_request(RequestState::Executed);
                let end = open.end();
                self.broken(error, events);
                end.map_or(Received::Own, Received::Ended)
            }
        }
    }

    /// See [`Session::undelivered`](super::Session::undelivered).
    /// `lost`: some of its messages are surely lost, or its service is gone.
    pub(super) fn undelivered(&mut self, delivered: u64, lost: bool, events: &mut Vec<Event>) {
        let Some(open) = &self.stream else { return };
        let state = match open.packets {
            None => RequestState::NotSent,
            Some((first, _)) if first > delivered => RequestState::NotSent,
            Some((_, last)) if lost || last > delivered || !open.half_closed => {
                RequestState::Unknown
            }
            // It has nothing more to send, and all of it has arrived: who drains answers yet.
            Some(_) => return,
        };
        self.broken(gone(state), events);
    }

    fn broken(&mut self, error: Error, events: &mut Vec<Event>) {
        if let Some(open) = self.stream.take() {
            events.push(Event::Broken { stream: StreamId(open.id), error });
        }
    }
}

impl Open {
    /// The end of its messages, unless that was said. go-micro's clients say it also when their
    /// service has ended the stream, whereupon its server frees the socket.
    fn end(&self) -> Option<Bytes> {
        (!self.half_closed).then(|| self.head.end(gomicro::EOS))
    }
}

/// What became of a packet.
pub(super) enum Received {
    Own,
    /// The stream has ended, and this is to be sent.
    Ended(Bytes),
    Stray,
}
