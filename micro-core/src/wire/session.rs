//! What is going on with one peer: calls that wait, requests that are open, packets to go.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::envelope;
use super::gomicro::{self, Outgoing, Reply, Request};
use super::ids::IdMap;
use super::open::Open;
use crate::header::keys::CONTENT_TYPE;
use crate::{Error, ErrorKind, Header, RequestState, Result};

/// The endpoint that a [probe](Session::probe) asks for: nobody has it.
pub const PROBE_ENDPOINT: &str = "Micro.Probe";

/// When whoever was refused for want of room may come back: much can be answered by then.
pub const RETRY_AFTER: Duration = Duration::from_millis(100);

/// So many probes are remembered; the answer to an earlier one is stray.
const MAX_PROBES: usize = 16;

/// A state machine for one peer: packets in give [`Event`]s, packets out are pulled.
///
/// It does no I/O, has no clock and starts nothing. A session that dialled makes calls
/// ([`client`](Self::client)), one that was accepted answers them ([`server`](Self::server)).
/// `next_packet`, the sending and `taken` belong under one lock, so that "the last n packets"
/// names the right calls.
pub struct Session {
    role: Role,
    limits: Limits,
    /// Names calls and requests; never used again on this session.
    next: u64,
    /// How many packets the peer took.
    taken: u64,
    /// A client's is in the order of its ids, and its first is not given up.
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    /// How many in the queue are given up.
    given_up: usize,
    /// Ids of the last probes, whose answers are for nobody.
    probes: VecDeque<u64>,
    counts: Counts,
}

/// Names a call within its session; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(u64);

/// Names a request within its session; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// What a session tells its runtime.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody calls. It is to be answered once, by [`Session::reply`].
    Request {
        /// What the answer names.
        id: RequestId,
        /// The call.
        request: Request,
    },
    /// The caller is gone; an answer would reach nobody.
    Cancelled {
        /// The request that it made.
        id: RequestId,
    },
    /// A call of ours was answered.
    Reply {
        /// The call.
        call: CallId,
        /// The answer; an error of the other side's is [`RequestState::Executed`].
        reply: Result<Reply>,
    },
    /// A call of ours will not be answered; its error says what is known of the request.
    Failed {
        /// The call.
        call: CallId,
        /// Why.
        error: Error,
    },
}

/// How much a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that wait and requests that are open, at most.
    pub open: usize,
    /// Bytes of packets that wait to be sent, at most, beyond one packet.
    pub queued_bytes: usize,
}

impl Default for Limits {
    /// 65,536 calls, 64 MiB.
    fn default() -> Self {
        Self { open: 65_536, queued_bytes: 64 << 20 }
    }
}

impl Limits {
    /// Sets [`open`](Self::open).
    #[must_use]
    pub fn with_open(mut self, calls: usize) -> Self {
        self.open = calls;
        self
    }

    /// Sets [`queued_bytes`](Self::queued_bytes).
    #[must_use]
    pub fn with_queued_bytes(mut self, bytes: usize) -> Self {
        self.queued_bytes = bytes;
        self
    }
}

/// What a session dropped, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Packets that do not decode.
    pub garbage: u64,
    /// Answers that nobody waits for any more, and messages that are no request.
    pub stray: u64,
    /// Replies that reached nobody, or did not even fit as an error.
    pub lost_replies: u64,
    /// Requests of a caller that takes no replies, not even that it is refused.
    pub lost_requests: u64,
}

enum Role {
    /// Calls that wait for their answer.
    Client(IdMap<u64, Waiting>),
    /// The headers of requests that wait for ours.
    Server(Open),
}

struct Waiting {
    /// The number of the packet that carried it, once taken.
    packet: Option<u64>,
    /// Its answer may come without an id: see `read_answer`.
    odd: bool,
}

struct Queued {
    packet: Bytes,
    about: About,
}

enum About {
    Call(u64),
    Probe(u64),
    /// A call that is not to be sent any more; its packet is gone already.
    GivenUp(u64),
    /// The request's header, for an error in its place.
    Reply(Arc<Header>),
    /// The request's header and the error, for a shorter form of it.
    Error(Box<(Arc<Header>, Box<str>)>),
    /// There is nothing shorter to send.
    ShortError,
}

impl Session {
    /// A session with a peer that we dialled.
    pub fn client(limits: Limits) -> Self {
        Self::new(Role::Client(IdMap::default()), limits)
    }

    /// A session with a peer that dialled us.
    pub fn server(limits: Limits) -> Self {
        Self::new(Role::Server(Open::default()), limits)
    }

    fn new(role: Role, limits: Limits) -> Self {
        Self {
            role,
            limits,
            next: 0,
            taken: 0,
            queue: VecDeque::new(),
            queued_bytes: 0,
            given_up: 0,
            probes: VecDeque::new(),
            counts: Counts::default(),
        }
    }

    /// Queues a call.
    ///
    /// # Errors
    /// `Overloaded` and not sent if too much waits already; `InvalidInput` for reserved metadata;
    /// `Unsupported` on a session that was accepted.
    pub fn call(&mut self, call: &Outgoing<'_>) -> Result<CallId> {
        let full = self.queued_bytes > self.limits.queued_bytes;
        let Role::Client(calls) = &mut self.role else {
            return Err(Error::unsupported("who was dialled cannot call back on that socket"));
        };
        if full || calls.len() >= self.limits.open {
            let detail = format!("{} calls wait for this node already", calls.len());
            let error = Error::new(ErrorKind::Overloaded, detail).with_retry_after(RETRY_AFTER);
            return Err(error.with_request(RequestState::NotSent));
        }
        if let Some((key, _)) = call.metadata.iter().find(|(key, _)| gomicro::is_reserved(key)) {
            let detail = format!("metadata key {key} belongs to the wire");
            return Err(Error::invalid_input(detail).with_request(RequestState::NotSent));
        }
        let id = self.next;
        self.next += 1;
        let odd = !has_codec(call.content_type);
        calls.insert(id, Waiting { packet: None, odd });
        self.push(gomicro::encode_request(id, call), About::Call(id));
        Ok(CallId(id))
    }

    /// Queues a request for an endpoint that nobody has: whoever is there answers that it has
    /// none, and the answer is dropped. So a peer that is silent shows whether it lives, and one
    /// that forgets silent callers does not forget this one. Does nothing on a session that was
    /// accepted, and while the last probe has not been taken.
    pub fn probe(&mut self) {
        if matches!(self.role, Role::Server(_))
            || self.queue.iter().any(|queued| matches!(queued.about, About::Probe(_)))
        {
            return;
        }
        let id = self.next;
        self.next += 1;
        if self.probes.len() == MAX_PROBES {
            self.probes.pop_front();
        }
        self.probes.push_back(id);
        let probe = Outgoing {
            service: "",
            endpoint: PROBE_ENDPOINT,
            content_type: crate::codec::JSON,
            timeout: None,
            metadata: &Header::new(),
            body: b"",
        };
        self.push(gomicro::encode_request(id, &probe), About::Probe(id));
    }

    /// Forgets a call that nobody waits for any more. It is not sent if it has not been; says
    /// what is known of it, or `None` if it had an answer already.
    pub fn give_up(&mut self, call: CallId) -> Option<RequestState> {
        let Role::Client(calls) = &mut self.role else { return None };
        let waiting = calls.remove(&call.0)?;
        if waiting.packet.is_some() {
            return Some(RequestState::Unknown);
        }
        // Many may be given up together: each is found, and none is moved for another.
        if let Ok(at) = self.queue.binary_search_by_key(&Some(call.0), |queued| queued.about.id()) {
            let queued = &mut self.queue[at];
            self.queued_bytes -= queued.packet.len();
            *queued = Queued { packet: Bytes::new(), about: About::GivenUp(call.0) };
            self.given_up += 1;
            self.forget_given_up();
        }
        Some(RequestState::NotSent)
    }

    /// Whether a call waits for its answer and the peer has not taken its packet yet.
    pub fn is_unsent(&self, call: CallId) -> bool {
        match &self.role {
            Role::Client(calls) => calls.get(&call.0).is_some_and(|w| w.packet.is_none()),
            Role::Server(_) => false,
        }
    }

    /// Whether a request is still open: neither answered nor cancelled.
    pub fn is_open(&self, request: RequestId) -> bool {
        matches!(&self.role, Role::Server(requests) if requests.contains(request.0))
    }

    /// Queues the answer to a request: content type and body, or an error. A second answer, and
    /// one to a caller that is gone, is dropped; returns whether it was queued.
    pub fn reply(&mut self, request: RequestId, reply: Result<(&str, &[u8]), &Error>) -> bool {
        let Role::Server(requests) = &mut self.role else { return false };
        let Some(header) = requests.remove(request.0) else { return false };
        match reply {
            Ok((content_type, body)) => {
                let packet = gomicro::encode_reply(&header, content_type, body);
                self.push(packet, About::Reply(header));
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
            Role::Client(calls) => match read_answer(calls, &header) {
                Some(call) => {
                    calls.remove(&call);
                    let reply = gomicro::read_reply(&header, body);
                    events.push(Event::Reply { call: CallId(call), reply });
                }
                None if unsupported_media(calls, &header) => {
                    let text = String::from_utf8_lossy(&body).into_owned();
                    for (call, _) in calls.extract_if(|_, waiting| waiting.packet.is_some()) {
                        let error = Error::new(ErrorKind::UnsupportedMediaType, text.clone());
                        let reply = Err(error.with_request(RequestState::Executed));
                        events.push(Event::Reply { call: CallId(call), reply });
                    }
                }
                None if is_probe(&mut self.probes, &header) => {}
                None => self.counts.stray += 1,
            },
            Role::Server(requests) => {
                if gomicro::error(&header).is_some() {
                    self.counts.stray += 1;
                    return;
                }
                let id = self.next;
                self.next += 1;
                let header = Arc::new(header);
                if self.queued_bytes > self.limits.queued_bytes.saturating_mul(2) {
                    // The caller takes nothing, not even refusals.
                    self.counts.lost_requests += 1;
                    return;
                }
                if requests.len() >= self.limits.open
                    || self.queued_bytes > self.limits.queued_bytes
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
        }
    }

    /// The packet that is to go next, of at most `max` bytes. It stays the session's until
    /// [`taken`](Self::taken). What is too large for the peer fails here: a call as
    /// `TooLarge` and not sent, a reply as that error in its place.
    pub fn next_packet(&mut self, max: usize, events: &mut Vec<Event>) -> Option<Bytes> {
        loop {
            let Queued { packet, .. } = self.queue.front()?;
            let size = packet.len();
            if size <= max {
                return Some(packet.clone());
            }
            match self.pop()? {
                About::Call(call) => {
                    if let Role::Client(calls) = &mut self.role {
                        calls.remove(&call);
                    }
                    let error = Error::too_large("the encoded request", size, max);
                    let error = error.with_request(RequestState::NotSent);
                    events.push(Event::Failed { call: CallId(call), error });
                }
                About::Reply(request) => {
                    let error = Error::too_large("the encoded reply", size, max);
                    let (packet, text) = gomicro::encode_error(&request, &error);
                    self.push_front(packet, About::Error(Box::new((request, text))));
                }
                About::Error(error) => {
                    let (request, text) = *error;
                    let mut packet = gomicro::encode_short_error(&request, &text);
                    if packet.len() > max {
                        let error = Error::too_large("the error", packet.len(), max);
                        packet = gomicro::encode_short_error(&request, &error.to_wire());
                    }
                    self.push_front(packet, About::ShortError);
                }
                // No packet at all goes through then.
                About::Probe(_) | About::GivenUp(_) => {}
                About::ShortError => self.counts.lost_replies += 1,
            }
        }
    }

    /// The peer took the packet that [`next_packet`](Self::next_packet) gave; returns its number,
    /// counted from 1.
    pub fn taken(&mut self) -> u64 {
        let Some(about) = self.pop() else { return self.taken };
        self.taken += 1;
        if let (About::Call(call), Role::Client(calls)) = (about, &mut self.role)
            && let Some(waiting) = calls.get_mut(&call)
        {
            waiting.packet = Some(self.taken);
        }
        self.taken
    }

    /// The last `packets` that the peer took reached nobody, and it takes no more: their calls,
    /// and those not taken yet, fail as not sent. `over`: nothing comes from there any more, so
    /// the other calls fail as unknown. On a server the open requests are cancelled.
    pub fn undelivered(&mut self, packets: u64, over: bool, events: &mut Vec<Event>) {
        let delivered = self.taken.saturating_sub(packets);
        match &mut self.role {
            Role::Client(calls) => {
                let mut failed: Vec<(u64, RequestState)> = Vec::new();
                calls.retain(|&call, waiting| {
                    let state = match waiting.packet {
                        Some(packet) if packet > delivered => RequestState::NotSent,
                        None => RequestState::NotSent,
                        Some(_) if over => RequestState::Unknown,
                        Some(_) => return true,
                    };
                    failed.push((call, state));
                    false
                });
                failed.sort_unstable_by_key(|(call, _)| *call);
                events.extend(
                    failed.into_iter().map(|(call, state)| Event::Failed {
                        call: CallId(call),
                        error: gone(state),
                    }),
                );
            }
            Role::Server(requests) => {
                let replies = self.queue.len() as u64 + packets.min(self.taken);
                self.counts.lost_replies += replies;
                events.extend(requests.drain().map(|id| Event::Cancelled { id: RequestId(id) }));
            }
        }
        self.queue.clear();
        self.queued_bytes = 0;
        self.given_up = 0;
    }

    /// Whether anything waits to be sent.
    pub fn has_output(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether nothing is going on: no call waits, no request is open, nothing is to be sent.
    pub fn is_idle(&self) -> bool {
        let open = match &self.role {
            Role::Client(calls) => calls.len(),
            Role::Server(requests) => requests.len(),
        };
        open == 0 && self.queue.is_empty()
    }

    /// What was dropped so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn push(&mut self, packet: Bytes, about: About) {
        if self.queue.capacity() == 0 {
            // Most of those who call have one request at a time, and there are many of them.
            self.queue.reserve_exact(1);
        }
        self.queued_bytes += packet.len();
        self.queue.push_back(Queued { packet, about });
    }

    fn push_error(&mut self, request: Arc<Header>, error: &Error) {
        let (packet, text) = gomicro::encode_error(&request, error);
        self.push(packet, About::Error(Box::new((request, text))));
    }

    fn push_front(&mut self, packet: Bytes, about: About) {
        self.queued_bytes += packet.len();
        self.queue.push_front(Queued { packet, about });
    }

    fn pop(&mut self) -> Option<About> {
        let Queued { packet, about } = self.queue.pop_front()?;
        self.queued_bytes -= packet.len();
        self.forget_given_up();
        Some(about)
    }

    /// Forgets what was given up, once it is the next or the larger part of the queue.
    fn forget_given_up(&mut self) {
        while self.queue.front().is_some_and(Queued::is_given_up) {
            self.queue.pop_front();
            self.given_up -= 1;
        }
        if self.given_up > self.queue.len() / 2 {
            self.queue.retain(|queued| !queued.is_given_up());
            self.given_up = 0;
        }
    }
}

impl Queued {
    fn is_given_up(&self) -> bool {
        matches!(self.about, About::GivenUp(_))
    }
}

impl About {
    /// What a client names it by.
    fn id(&self) -> Option<u64> {
        match self {
            Self::Call(id) | Self::Probe(id) | Self::GivenUp(id) => Some(*id),
            _ => None,
        }
    }
}

/// Counts only: headers and bodies are the application's.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (role, open) = match &self.role {
            Role::Client(calls) => ("client", calls.len()),
            Role::Server(requests) => ("server", requests.len()),
        };
        f.debug_struct("Session")
            .field("role", &role)
            .field("open", &open)
            .field("taken", &self.taken)
            .field("queued", &self.queue.len())
            .field("counts", &self.counts)
            .finish_non_exhaustive()
    }
}

/// The call that an answer names. What the peer has not even taken it cannot answer.
fn read_answer(calls: &IdMap<u64, Waiting>, header: &Header) -> Option<u64> {
    let call = gomicro::id(header)?.parse().ok()?;
    calls.get(&call).is_some_and(|waiting| waiting.packet.is_some()).then_some(call)
}

fn is_probe(probes: &mut VecDeque<u64>, header: &Header) -> bool {
    let id: Option<u64> = gomicro::id(header).and_then(|id| id.parse().ok());
    let at = probes.iter().position(|probe| Some(*probe) == id);
    at.and_then(|at| probes.remove(at)).is_some()
}

/// go-micro answers a content type that it does not know with plain text and neither id nor
/// error. Such a call has a socket of its own, so the answer is its.
fn unsupported_media(calls: &IdMap<u64, Waiting>, header: &Header) -> bool {
    calls.values().any(|waiting| waiting.packet.is_some())
        && calls.values().all(|waiting| waiting.odd)
        && gomicro::id(header).is_none()
        && header.get_ignore_case(CONTENT_TYPE) == Some("text/plain")
}

/// Whether go-micro has a codec for it, so that its answer carries an id.
fn has_codec(content_type: &str) -> bool {
    use crate::codec::{JSON, OCTET_STREAM, PROTOBUF};
    matches!(content_type, JSON | PROTOBUF | OCTET_STREAM)
}

fn gone(state: RequestState) -> Error {
    let detail = match state {
        RequestState::NotSent => "nobody listens there any more",
        _ => "the node is gone; whether it ran the request is not known",
    };
    Error::unavailable(detail).with_request(state)
}
