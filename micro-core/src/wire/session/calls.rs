//! The calls of a session that dialled.

use bytes::Bytes;

use super::events::{CallId, Event};
use super::gone;
use crate::header::keys::CONTENT_TYPE;
use crate::wire::gomicro;
use crate::wire::ids::IdMap;
use crate::{Error, ErrorKind, Header, RequestState};

/// So many probes are remembered; the answer to an earlier one is stray.
const MAX_PROBES: usize = 16;

/// Calls that wait for their answer.
#[derive(Default)]
pub(super) struct Calls(IdMap<u64, Waiting>);

struct Waiting {
    /// The number of the packet that carried it, once taken.
    packet: Option<u64>,
    /// Its answer may come without an id: see `unsupported_media`.
    odd: bool,
}

impl Calls {
    pub(super) fn insert(&mut self, id: u64, content_type: &str) {
        self.0.insert(id, Waiting { packet: None, odd: !has_codec(content_type) });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_unsent(&self, id: u64) -> bool {
        self.0.get(&id).is_some_and(|waiting| waiting.packet.is_none())
    }

    /// Nobody waits for it any more; whether its packet was taken, if it waited.
    pub(super) fn remove(&mut self, id: u64) -> Option<bool> {
        self.0.remove(&id).map(|waiting| waiting.packet.is_some())
    }

    pub(super) fn taken(&mut self, id: u64, packet: u64) {
        if let Some(waiting) = self.0.get_mut(&id) {
            waiting.packet = Some(packet);
        }
    }

    /// Takes in an answer; false if it is none to any of them.
    pub(super) fn answer(&mut self, header: &Header, body: Bytes, events: &mut Vec<Event>) -> bool {
        if let Some(call) = self.named_by(header) {
            self.0.remove(&call);
            let reply = gomicro::read_reply(header, body);
            events.push(Event::Reply { call: CallId(call), reply });
            return true;
        }
        if self.unsupported_media(header) {
            let text = String::from_utf8_lossy(&body).into_owned();
            for (call, _) in self.0.extract_if(|_, waiting| waiting.packet.is_some()) {
                let error = Error::new(ErrorKind::UnsupportedMediaType, text.clone());
                let reply = Err(error.with_request(RequestState::Executed));
                events.push(Event::Reply { call: CallId(call), reply });
            }
            return true;
        }
        false
    }

    /// See [`Session::undelivered`](super::Session::undelivered).
    pub(super) fn undelivered(&mut self, delivered: u64, over: bool, events: &mut Vec<Event>) {
        let mut failed: Vec<(u64, RequestState)> = Vec::new();
        self.0.retain(|&call, waiting| {
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
            failed
                .into_iter()
                .map(|(call, state)| Event::Failed { call: CallId(call), error: gone(state) }),
        );
    }

    /// The call that an answer names. What the peer has not even taken it cannot answer.
    fn named_by(&self, header: &Header) -> Option<u64> {
        let call = gomicro::id(header)?.parse().ok()?;
        self.0.get(&call).is_some_and(|waiting| waiting.packet.is_some()).then_some(call)
    }

    /// go-micro answers a content type that it does not know with plain text and neither id nor
    /// error. Such a call has a socket of its own, so the answer is its.
    fn unsupported_media(&self, header: &Header) -> bool {
        self.0.values().any(|waiting| waiting.packet.is_some())
            && self.0.values().all(|waiting| waiting.odd)
            && is_unsupported_media(header)
    }
}

/// go-micro's answer to a content type that it has no codec for.
pub(super) fn is_unsupported_media(header: &Header) -> bool {
    gomicro::id(header).is_none() && header.get_ignore_case(CONTENT_TYPE) == Some("text/plain")
}

/// Ids of the last probes, whose answers are for nobody. Most sessions have none.
#[derive(Default)]
pub(super) struct Probes(Option<Box<Last>>);

#[derive(Default)]
struct Last {
    ids: [Option<u64>; MAX_PROBES],
    next: usize,
}

impl Probes {
    pub(super) fn push(&mut self, id: u64) {
        let last = self.0.get_or_insert_default();
        last.ids[last.next] = Some(id);
        last.next = (last.next + 1) % MAX_PROBES;
    }

    /// Whether this answers one of them.
    pub(super) fn answer(&mut self, header: &Header) -> bool {
        let Some(last) = &mut self.0 else { return false };
        let id: Option<u64> = gomicro::id(header).and_then(|id| id.parse().ok());
        let known = last.ids.iter_mut().find(|known| id.is_some() && **known == id);
        known.and_then(Option::take).is_some()
    }
}

/// Whether go-micro has a codec for it, so that its answer carries an id.
fn has_codec(content_type: &str) -> bool {
    use crate::codec::{JSON, OCTET_STREAM, PROTOBUF};
    matches!(content_type, JSON | PROTOBUF | OCTET_STREAM)
}
