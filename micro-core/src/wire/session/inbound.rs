//! The streams of a session that was accepted.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::events::StreamId;
use crate::Header;
use crate::wire::gomicro::{self, StreamHead};
use crate::wire::window::Window;

/// So many of the last streams are remembered: what comes late for one opens no new one.
const MAX_KNOWN: usize = 64;

/// The streams of one caller.
#[derive(Default)]
pub(super) struct Inbound(Option<Box<Streams>>);

#[derive(Default)]
struct Streams {
    /// Usually one: each has a socket of its own.
    open: Vec<Stream>,
    /// Hashes of keys: these are as long as their caller likes.
    known: VecDeque<u64>,
    hasher: RandomState,
    /// What was sent on streams of this caller, and what it takes of them if it says so. One of ours
    /// has one stream on a session.
    sent: Window,
    granted: Option<Window>,
}

struct Stream {
    id: u64,
    key: Key,
    header: Arc<Header>,
    head: StreamHead,
    half_closed: bool,
}

/// What a caller names a stream by. Its id alone does not: go-micro's handlers hand the stream
/// that they serve on to the calls that they make.
struct Key {
    stream: Box<str>,
    request: Box<str>,
}

/// What a message is to the streams of its caller.
pub(super) enum Kind {
    /// Not of a stream that is known.
    Other,
    Message(StreamId),
    HalfClose(StreamId),
    /// The caller gave up, and says why.
    GaveUp(StreamId, Box<str>),
    /// Of a stream that sends no more, or has ended: to be dropped and counted.
    Late,
    /// Nothing is to be done: the end of what has ended, or a question whether a stream has, which
    /// its end will answer.
    Nothing,
}

impl Inbound {
    pub(super) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |streams| streams.open.len())
    }

    pub(super) fn ids(&self) -> Vec<StreamId> {
        self.0.iter().flat_map(|streams| &streams.open).map(|open| StreamId(open.id)).collect()
    }

    /// What this message is.
    pub(super) fn kind(&mut self, header: &Header) -> Kind {
        let Some(streams) = &mut self.0 else { return Kind::Other };
        let Some(stream) = gomicro::stream(header) else {
            let asks = |id| streams.open.iter().any(|open| &*open.key.request == id);
            return if gomicro::id(header).is_some_and(asks) { Kind::Nothing } else { Kind::Other };
        };
        let id = gomicro::id(header).unwrap_or_default();
        let named = |key: &Key| &*key.stream == stream && &*key.request == id;
        let error = gomicro::error(header);
        if let Some(open) = streams.open.iter_mut().find(|open| named(&open.key)) {
            let id = StreamId(open.id);
            return match error {
                None if open.half_closed => Kind::Late,
                None => Kind::Message(id),
                Some(gomicro::EOS) if open.half_closed => Kind::Nothing,
                Some(gomicro::EOS) => {
                    open.half_closed = true;
                    Kind::HalfClose(id)
                }
                Some(text) => Kind::GaveUp(id, text.into()),
            };
        }
        match streams.known.contains(&streams.hasher.hash_one((stream, id))) {
            true if error == Some(gomicro::EOS) => Kind::Nothing,
            true => Kind::Late,
            false => Kind::Other,
        }
    }

    /// This request opens a stream; `None` if it says no stream.
    pub(super) fn accept(&mut self, id: u64, header: Arc<Header>) -> Option<StreamId> {
        let key = Key {
            stream: gomicro::stream(&header)?.into(),
            request: gomicro::id(&header).unwrap_or_default().into(),
        };
        let head = StreamHead::of_service(&header);
        let streams = self.0.get_or_insert_default();
        streams.open.push(Stream { id, key, header, head, half_closed: false });
        Some(StreamId(id))
    }

    /// The caller says how much it takes.
    pub(super) fn grant(&mut self, window: Window) {
        if let Some(streams) = &mut self.0 {
            streams.granted = Some(streams.granted.map_or(window, |before| before.or(window)));
        }
    }

    /// Whether the caller takes one message more.
    pub(super) fn may_send(&self) -> bool {
        let granted =
            |streams: &Streams| streams.granted.is_none_or(|w| w.is_open_after(streams.sent));
        self.0.as_deref().is_none_or(granted)
    }

    /// A message was queued.
    pub(super) fn sent(&mut self, bytes: usize) {
        if let Some(streams) = &mut self.0 {
            streams.sent = streams.sent.with_message(bytes);
        }
    }

    pub(super) fn head(&self, stream: StreamId) -> Option<&StreamHead> {
        let open = self.0.as_ref()?.open.iter().find(|open| open.id == stream.0)?;
        Some(&open.head)
    }

    /// It is over: what opened it.
    pub(super) fn end(&mut self, stream: StreamId) -> Option<Arc<Header>> {
        let streams = self.0.as_mut()?;
        let at = streams.open.iter().position(|open| open.id == stream.0)?;
        let Stream { key, header, .. } = streams.open.swap_remove(at);
        streams.remember(&key.stream, &key.request);
        Some(header)
    }

    /// All of them are over.
    pub(super) fn drain(&mut self) -> Vec<StreamId> {
        let open = self.0.take().map(|streams| streams.open).unwrap_or_default();
        open.into_iter().map(|open| StreamId(open.id)).collect()
    }
}

impl Streams {
    fn remember(&mut self, stream: &str, request: &str) {
        let key = self.hasher.hash_one((stream, request));
        if self.known.contains(&key) {
            return;
        }
        if self.known.len() == MAX_KNOWN {
            self.known.pop_front();
        }
        self.known.push_back(key);
    }
}
