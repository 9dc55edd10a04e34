//! What is going on with one peer: calls that wait, requests and streams that are open, packets
//! to go.

mod calls;
mod events;
mod inbound;
mod outbound;
mod probes;
mod queue;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::calls::{Calls, Probes};
pub use self::events::{CallId, Counts, Event, Limits, RequestId, StreamId};
use self::inbound::{Inbound, Kind};
use self::outbound::{Outbound, Received};
use self::queue::{About, Queue};
use super::envelope;
use super::gomicro::{self, Outgoing, Request};
use super::open::Open;
use crate::{Error, ErrorKind, Header, RequestState, Result};

/// The endpoint that a [probe](Session::probe) asks for: nobody has it.
pub const PROBE_ENDPOINT: &str = "Micro.Probe";

/// When whoever was refused for want of room may come back: much can be answered by then.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

/// While more waits to be sent, [`Session::has_room`] says no; as much as the NATS client holds
/// is enough ahead.
const SEND_AHEAD: usize = 256 << 10;

/// A state machine for one peer: packets in give [`Event`]s, packets out are pulled.
///
/// It does no I/O, has no clock and starts nothing. A session that dialled makes calls
/// ([`client`](Self::client)) or opens one stream ([`streaming`](Self::streaming)); one that was
/// accepted answers them ([`server`](Self::server)). `next_packet`, the sending and `taken` belong
/// under one lock, so that "the last n packets" names the right calls.
pub struct Session {
    role: Role,
    limits: Limits,
    /// Names calls, requests and streams; never used again on this session.
    next: u64,
    /// How many packets the peer took.
    taken: u64,
    /// Whether the last of them is one that nobody misses.
    ended: bool,
    queue: Queue,
    probes: Probes,
    counts: Counts,
}

enum Role {
    /// Calls that wait for their answer.
    Client(Calls),
    /// A stream that we opened; most sessions are not for one.
    Streaming(Box<Outbound>),
    /// The headers of requests that wait for ours, and the streams that are open.
    Server(Open, Inbound),
}

impl Session {
    /// A session with a peer that we dialled, for calls.
    pub fn client(limits: Limits) -> Self {
        Self::new(Role::Client(Calls::default()), limits)
    }

    /// A session with a peer that we dialled for one stream.
    pub fn streaming(limits: Limits) -> Self {
        Self::new(Role::Streaming(Box::default()), limits)
    }

    /// A session with a peer that dialled us.
    pub fn server(limits: Limits) -> Self {
        Self::new(Role::Server(Open::default(), Inbound::default()), limits)
    }

    fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            next: 0,
            taken: 0,
            ended: false,
            queue: Queue::default(),
            probes: Probes::default(),
            counts: Counts::default(),
        }
    }

    /// Queues a call.
    ///
    /// # Errors
    /// `Overloaded` and not sent if too much waits already; `InvalidInput` for reserved metadata;
    /// `Unsupported` on a session that is not for calls.
    pub fn call(&mut self, call: &Outgoing<'_>) -> Result<CallId> {
        let full = self.queue.bytes() > self.limits.queued_bytes;
        let Role::Client(calls) = &mut self.role else {
            return Err(Error::unsupported("this session is not for calls of ours"));
        };
        if full || calls.len() >= self.limits.open {
            let detail = format!("{} calls wait for this node already", calls.len());
            let error = Error::new(ErrorKind::Overloaded, detail).with_retry_after(RETRY_AFTER);
            return Err(error.with_request(RequestState::NotSent));
        }
        check_metadata(call)?;
        let id = self.next;
        self.next += 1;
        calls.insert(id, call.content_type);
        self.queue.push(gomicro::encode_request(id, call), About::Call(id));
        Ok(CallId(id))
    }

    /// Opens the stream of this session; the body is for nobody, messages are
    /// [sent](Self::send) after it.
    ///
    /// # Errors
    /// `InvalidInput` for reserved metadata; `Unsupported` on a session that is not for a stream
    /// of ours, or has opened one.
    pub fn open(&mut self, call: &Outgoing<'_>) -> Result<StreamId> {
        let Role::Streaming(outbound) = &mut self.role else {
            return Err(Error::unsupported("this session is not for a stream of ours"));
        };
        if self.next > 0 {
            return Err(Error::unsupported("this session has had its stream"));
        }
        check_metadata(call)?;
        let id = self.next;
        self.next += 1;
        self.queue.push(outbound.open(id, call), About::Message(id));
        Ok(StreamId(id))
    }

    /// Takes a request as the opening of a stream; `None` if it is answered or cancelled already,
    /// or [names no stream](Request::names_stream). Who refuses a stream takes it and
    /// [ends](Self::end) it, so that what follows opens no other: a mere reply is to a call, and
    /// go-micro's handlers name one and the same stream in all the calls that they make.
    pub fn accept(&mut self, request: RequestId) -> Option<StreamId> {
        let Role::Server(requests, inbound) = &mut self.role else { return None };
        let stream = inbound.accept(request.0, requests.get(request.0)?.clone())?;
        requests.remove(request.0);
        Some(stream)
    }

    /// Queues a message of a stream, whatever waits already: see [`has_room`](Self::has_room).
    /// False if it may send none: it is over, or we have half-closed it.
    ///
    /// # Errors
    /// `TooLarge` if the packet would be larger than `max`; nothing is queued then.
    pub fn send(&mut self, stream: StreamId, body: &[u8], max: usize) -> Result<bool> {
        let head = match &self.role {
            Role::Client(_) => None,
            Role::Streaming(outbound) => outbound.sends(stream),
            Role::Server(_, inbound) => inbound.head(stream),
        };
        let Some(head) = head else { return Ok(false) };
        let packet = head.message(body);
        if packet.len() > max {
            return Err(Error::too_large("the encoded message", packet.len(), max));
        }
        self.queue.push(packet, About::Message(stream.0));
        match &mut self.role {
            Role::Client(_) => {}
            Role::Streaming(outbound) => outbound.sent(body.len()),
            Role::Server(_, inbound) => inbound.sent(body.len()),
        }
        Ok(true)
    }

    /// Whether a stream should send now: whoever does without waiting for this makes the queue
    /// longer.
    pub fn has_room(&self) -> bool {
        self.queue.bytes() <= SEND_AHEAD
    }

    /// We send no more messages on a stream that we opened; what is sent to us still comes. False
    /// if that was said already, or the stream is over.
    pub fn half_close(&mut self, stream: StreamId) -> bool {
        let Role::Streaming(outbound) = &mut self.role else { return false };
        let Some(end) = outbound.half_close(stream) else { return false };
        self.queue.push(end, About::Message(stream.0));
        true
    }

    /// Gives up a stream that we opened: what waits to be sent is not, and its service is told why,
    /// unless it knows of nothing. Says what is known of the opening, or `None` if the stream was
    /// over.
    pub fn give_up_stream(&mut self, stream: StreamId, why: &Error) -> Option<RequestState> {
        let Role::Streaming(outbound) = &mut self.role else { return None };
        let unsent = self.queue.has_messages();
        let (told, state) = outbound.give_up(stream, why, unsent)?;
        if unsent {
            // With them a good end, or a question that would arrive as a message.
            self.queue.clear();
        }
        for packet in told.into_iter().flatten() {
            self.queue.push(packet, About::End);
        }
        Some(state)
    }

    /// A stream that we opened is over, as its service knows: nothing is sent.
    pub fn forget_stream(&mut self, stream: StreamId) {
        if let Role::Streaming(outbound) = &mut self.role {
            outbound.forget(stream);
        }
    }

    /// Asks whether the handler of a stream that we have half-closed has ended: go-micro does not
    /// say so by itself then. [`Event::HandlerEnded`] is the answer; there is none before, and one
    /// who ends the stream properly need not give any.
    pub fn ask_end(&mut self, stream: StreamId) {
        if let Role::Streaming(outbound) = &self.role
            && let Some(packet) = outbound.ask_end(stream)
        {
            self.queue.push(packet, About::End);
        }
    }

    /// Ends a stream that we serve, well or with an error; false if it is over already.
    pub fn end(&mut self, stream: StreamId, how: Result<(), &Error>) -> bool {
        let Role::Server(_, inbound) = &mut self.role else { return false };
        let Some(header) = inbound.end(stream) else { return false };
        match how {
            Ok(()) => self.queue.push(gomicro::encode_end(&header), About::End),
            // Somebody's plain text, which would be a good end.
            Err(error) if error.to_wire() == gomicro::EOS => {
                self.push_error(header, &Error::internal(gomicro::EOS));
            }
            Err(error) => self.push_error(header, error),
        }
        true
    }

    /// Forgets a call that nobody waits for any more. It is not sent if it has not been; says
    /// what is known of it, or `None` if it had an answer already.
    pub fn give_up(&mut self, call: CallId) -> Option<RequestState> {
        let Role::Client(calls) = &mut self.role else { return None };
        if calls.remove(call.0)? {
            return Some(RequestState::Unknown);
        }
        self.queue.give_up(call.0);
        Some(RequestState::NotSent)
    }

    /// Whether a call waits for its answer and the peer has not taken its packet yet.
    pub fn is_unsent(&self, call: CallId) -> bool {
        matches!(&self.role, Role::Client(calls) if calls.is_unsent(call.0))
    }

    /// Whether a request is still open: neither answered nor cancelled.
    pub fn is_open(&self, request: RequestId) -> bool {
        matches!(&self.role, Role::Server(requests, _) if requests.get(request.0).is_some())
    }

    /// Queues the answer to a request: content type and body, or an error. A second answer, and
    /// one to a caller that is gone, is dropped; returns whether it was queued.
    pub fn reply(&mut self, request: RequestId, reply: Result<(&str, &[u8]), &Error>) -> bool {
        let Role::Server(requests, _) = &mut self.role else { return false };
        let Some(header) = requests.remove(request.0) else { return false };
        match reply {
            Ok((content_type, body)) => {
                let packet = gomicro::encode_reply(&header, content_type, body);
                self.queue.push(packet, About::Reply(header));
            }
            Err(error) => self.push_error(header, error),
        }
        true
    }

    /// Takes in a packet. Whatever does not belong here is counted, never an error.
    pub fn on_packet(&mut self, packet: &[u8], events: &mut Vec<Event>) {
        let Ok((header, body)) = envelope::decode(packet) else {
            self.counts.garbage += 1;
            return;
        };
        match &mut self.role {
            Role::Client(calls) => {
                if !calls.answer(&header, body, events) && !self.probes.answer(&header) {
                    self.counts.stray += 1;
                }
            }
            Role::Streaming(outbound) => match outbound.receive(&header, body, events) {
                Received::Own => {}
                Received::Ended(end) => self.queue.push(end, About::End),
                Received::Stray if self.probes.answer(&header) => outbound.probed(&header),
                Received::Stray => self.counts.stray += 1,
            },
            Role::Server(_, inbound) => match inbound.kind(&header) {
                Kind::Other => self.on_request(header, body, events),
                Kind::Message(stream) => events.push(Event::Message { stream, body }),
                Kind::HalfClose(stream) => events.push(Event::Finished { stream }),
                Kind::GaveUp(stream, text) => {
                    inbound.end(stream);
                    events.push(Event::Broken { stream, error: Error::from_wire(&text) });
                }
                Kind::Late => self.counts.late += 1,
                Kind::Nothing => {}
            },
        }
    }

    fn on_request(&mut self, header: Header, body: Bytes, events: &mut Vec<Event>) {
        let Role::Server(requests, inbound) = &mut self.role else { return };
        if let Some(window) = gomicro::window(&header).filter(|_| probes::is_probe(&header)) {
            inbound.grant(window);
        }
        if gomicro::error(&header).is_some() {
            self.counts.stray += 1;
            return;
        }
        let id = self.next;
        self.next += 1;
        let header = Arc::new(header);
        if self.queue.bytes() > self.limits.queued_bytes.saturating_mul(2) {
            // The caller takes nothing, not even refusals.
            self.counts.lost_requests += 1;
            return;
        }
        if requests.len() + inbound.len() >= self.limits.open
            || self.queue.bytes() > self.limits.queued_bytes
        {
            let detail = "this caller has too many requests open or replies unread";
            let error = Error::new(ErrorKind::Overloaded, detail);
            self.push_error(header, &error.with_retry_after(RETRY_AFTER));
            return;
        }
        requests.push(id, header.clone());
        let request = Request::new(header, body);
        events.push(Event::Request { id: RequestId(id), request });
    }

    /// The packet that is to go next, of at most `max` bytes. It stays the session's until
    /// [`taken`](Self::taken). What is too large for the peer fails here: a call as
    /// `TooLarge` and not sent, a reply as that error in its place, a stream with its message.
    pub fn next_packet(&mut self, max: usize, events: &mut Vec<Event>) -> Option<Bytes> {
        loop {
            let packet = self.queue.front()?;
            let size = packet.len();
            if size <= max {
                return Some(packet.clone());
            }
            match self.queue.pop()? {
                About::Call(call) => {
                    if let Role::Client(calls) = &mut self.role {
                        calls.remove(call);
                    }
                    let error = Error::too_large("the encoded request", size, max);
                    let error = error.with_request(RequestState::NotSent);
                    events.push(Event::Failed { call: CallId(call), error });
                }
                About::Reply(request) => {
                    let error = Error::too_large("the encoded reply", size, max);
                    let (packet, text) = gomicro::encode_error(&request, &error);
                    self.queue.push_front(packet, About::Error(Box::new((request, text))));
                }
                About::Error(error) => {
                    let (request, text) = *error;
                    let mut packet = gomicro::encode_short_error(&request, &text);
                    if packet.len() > max {
                        let error = Error::too_large("the error", packet.len(), max);
                        packet = gomicro::encode_short_error(&request, &error.to_wire());
                    }
                    self.queue.push_front(packet, About::ShortError);
                }
                About::Message(stream) => {
                    let error = Error::too_large("the encoded message", size, max);
                    self.break_stream(StreamId(stream), error, events);
                }
                // No packet at all goes through then.
                About::Probe(_) | About::GivenUp(_) | About::End => {}
                About::ShortError => self.counts.lost_replies += 1,
            }
        }
    }

    /// The peer took the packet that [`next_packet`](Self::next_packet) gave; returns its number,
    /// counted from 1.
    pub fn taken(&mut self) -> u64 {
        let Some(about) = self.queue.pop() else { return self.taken };
        self.taken += 1;
        self.ended = matches!(about, About::End);
        match (about, &mut self.role) {
            (About::Call(call), Role::Client(calls)) => calls.taken(call, self.taken),
            (About::Message(id), Role::Streaming(outbound)) => outbound.taken(id, self.taken),
            _ => {}
        }
        self.taken
    }

    /// The last `packets` that the peer took reached nobody, and it takes no more: their calls,
    /// and those not taken yet, fail as not sent. `over`: nothing comes from there any more, so
    /// the other calls fail as unknown. A stream of ours lives on only where it has nothing more
    /// to send. On a server the open requests are cancelled, and the streams broken.
    pub fn undelivered(&mut self, packets: u64, over: bool, events: &mut Vec<Event>) {
        let delivered = self.taken.saturating_sub(packets);
        match &mut self.role {
            Role::Client(calls) => calls.undelivered(delivered, over, events),
            Role::Streaming(outbound) => {
                let lost = over || self.queue.has_messages();
                outbound.undelivered(delivered, lost, events);
            }
            Role::Server(requests, inbound) => {
                let replies = self.queue.missed() as u64 + packets.min(self.taken);
                let ended = self.ended && packets > 0;
                self.counts.lost_replies += replies - u64::from(ended);
                events.extend(requests.drain().map(|id| Event::Cancelled { id: RequestId(id) }));
                events.extend(inbound.drain().into_iter().map(|stream| {
                    let error = Error::unavailable("the caller is gone");
                    Event::Broken { stream, error }
                }));
            }
        }
        self.queue.clear();
    }

    /// What was on the way may be lost: whatever only makes sense as a whole is over. Calls are
    /// not, each is answered or not; streams of ours are given up, unless nothing of them was sent
    /// yet, and those that we serve ended.
    pub fn interrupted(&mut self, events: &mut Vec<Event>) {
        let streams = match &self.role {
            Role::Client(_) => Vec::new(),
            Role::Streaming(outbound) => outbound.begun().into_iter().collect(),
            Role::Server(_, inbound) => inbound.ids(),
        };
        for stream in streams {
            if matches!(self.role, Role::Server(..)) {
                // They would come after what may be missing. Of ours, giving up forgets them.
                self.queue.forget_messages(stream.0);
            }
            let detail = "the network was away, or brought more than could be taken; messages of this \
                          stream may be missing";
            self.break_stream(stream, Error::unavailable(detail), events);
        }
    }

    /// Whether anything waits to be sent.
    pub fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether nothing is going on: no call waits, no request or stream is open, nothing is to be
    /// sent.
    pub fn is_idle(&self) -> bool {
        self.open_count() == 0 && self.queue.is_empty()
    }

    /// What was dropped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn open_count(&self) -> usize {
        match &self.role {
            Role::Client(calls) => calls.len(),
            Role::Streaming(outbound) => usize::from(outbound.id().is_some()),
            Role::Server(requests, inbound) => requests.len() + inbound.len(),
        }
    }

    /// Ends a stream with an error, here and at the other side.
    fn break_stream(&mut self, stream: StreamId, error: Error, events: &mut Vec<Event>) {
        let known = match &self.role {
            Role::Server(..) => self.end(stream, Err(&error)).then_some(RequestState::Unknown),
            _ => self.give_up_stream(stream, &error),
        };
        if let Some(state) = known {
            events.push(Event::Broken { stream, error: error.with_request(state) });
        }
    }

    fn push_error(&mut self, request: Arc<Header>, error: &Error) {
        let (packet, text) = gomicro::encode_error(&request, error);
        self.queue.push(packet, About::Error(Box::new((request, text))));
    }
}

/// Counts only: headers and bodies are the application's.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = match &self.role {
            Role::Client(_) => "client",
            Role::Streaming(_) => "streaming",
            Role::Server(..) => "server",
        };
        f.debug_struct("Session")
            .field("role", &role)
            .field("open", &self.open_count())
            .field("taken", &self.taken)
            .field("queued", &self.queue.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

fn check_metadata(call: &Outgoing<'_>) -> Result<()> {
    match call.metadata.iter().find(|(key, _)| gomicro::is_reserved(key)) {
        None => Ok(()),
        Some((key, _)) => {
            let detail = format!("metadata key {key} belongs to the wire");
            Err(Error::invalid_input(detail).with_request(RequestState::NotSent))
        }
    }
}

fn gone(state: RequestState) -> Error {
    let detail = match state {
        RequestState::NotSent => "nobody listens there any more",
        _ => "the node is gone; whether it ran the request is not known",
    };
    Error::unavailable(detail).with_request(state)
}
