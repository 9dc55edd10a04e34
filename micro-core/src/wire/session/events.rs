//! What a session tells its runtime, how much it holds and what it dropped.

use bytes::Bytes;

use crate::wire::gomicro::{Reply, Request};
use crate::{Error, Result};

/// Names a call within its session; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallId(pub(super) u64);

/// Names a request within its session; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(super) u64);

/// Names a stream within its session; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub(super) u64);

/// What a session tells its runtime.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Somebody calls. It is to be answered once, by [`Session::reply`](super::Session::reply); or
    /// it opens a stream, which [`Session::accept`](super::Session::accept) takes.
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
        /// The answer; an error of the other side's is
        /// [`Executed`](crate::RequestState::Executed).
        reply: Result<Reply>,
    },
    /// A call of ours will not be answered; its error says what is known of the request.
    Failed {
        /// The call.
        call: CallId,
        /// Why.
        error: Error,
    },
    /// A message of a stream.
    Message {
        /// The stream.
        stream: StreamId,
        /// The encoded message.
        body: Bytes,
    },
    /// The other side of a stream sends no more messages. For who opened it, the stream is over;
    /// who serves it may still send.
    Finished {
        /// The stream.
        stream: StreamId,
    },
    /// A stream is over, and not as it should be: the other side says so, or is gone.
    Broken {
        /// The stream.
        stream: StreamId,
        /// Why, and what is known of the request that opened it.
        error: Error,
    },
    /// The answer to [`Session::ask_end`](super::Session::ask_end): the handler of a stream has
    /// ended; what it sent before may still be on its way.
    HandlerEnded {
        /// The stream.
        stream: StreamId,
    },
}

/// How much a session holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Calls that wait, requests and streams that are open, at most.
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
    /// Messages of streams that have ended.
    pub late: u64,
    /// Replies that reached nobody, or did not even fit as an error.
    pub lost_replies: u64,
    /// Requests of a caller that takes no replies, not even that it is refused.
    pub lost_requests: u64,
}
