//! The receiver of a port.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use micro_core::transport::{Arrival, Incoming, Link, Peer};
use micro_core::{Error, Result};
use micro_nats::async_nats::{Message, StatusCode, Subscriber};

use crate::dropped::Reason;
use crate::listening::Listening;
use crate::peers::Peers;
use crate::stopped::Stopped;

/// At most so many messages of one subscription are looked at in one poll.
const AT_ONCE: usize = 128;

pub(crate) struct NatsIncoming {
    peers: Arc<Peers>,
    /// What comes to return addresses, and fences.
    returns: Option<Subscriber>,
    /// What comes to the listening address.
    listening: Option<Arc<Listening>>,
    /// Which of the two is polled first; they take turns, so that neither starves the other.
    listening_first: bool,
    /// Peers at which nobody listens.
    stopped: Stopped,
}

impl NatsIncoming {
    pub(crate) fn new(
        peers: Arc<Peers>,
        returns: Subscriber,
        listening: Option<Arc<Listening>>,
    ) -> Self {
        let stopped = Stopped::new(Arc::clone(&peers));
        Self { peers, returns: Some(returns), listening, listening_first: false, stopped }
    }

    /// True if there is surely more to read.
    fn poll_returns(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> bool {
        let mut settle = false;
        let mut seen = 0;
        while let Some(returns) = &mut self.returns {
            if seen == AT_ONCE {
                break;
            }
            match Pin::new(returns).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    seen += 1;
                    settle |= self.on_return(message, out);
                }
                Poll::Ready(None) => self.returns = None,
                Poll::Pending => break,
            }
        }
        if settle {
            self.stopped.settle(out);
        }
        seen == AT_ONCE
    }

    /// True if it was a fence.
    fn on_return(&mut self, message: Message, out: &mut Vec<Arrival>) -> bool {
        let peers = &self.peers;
        let nobody_there = message.status == Some(StatusCode::NO_RESPONDERS);
        let token = peers.token(&message.subject).unwrap_or_default();
        let Ok(id) = token.parse() else {
            let fence = peers.fences.on_token(token, &peers.nats);
            if !fence && !self.stopped.on_answer(&message.subject, token, nobody_there) {
                peers.counters.count(Reason::UnknownPeer);
            }
            return fence;
        };
        let Some(link) = peers.by_id(id) else {
            peers.counters.count(Reason::UnknownPeer);
            return false;
        };
        match message.status {
            Some(_) if nobody_there => {
                if let Some(stop) = link.on_nobody_listens() {
                    self.stopped.add(id, &link, stop);
                }
            }
            // No other status is for a publisher.
            Some(_) => {}
            // Without anything in it, it asks whether we are there: that it arrived is the answer.
            None if link.accepted() && message.payload.is_empty() => {}
            None if link.accepted() => peers.counters.count(Reason::Unsolicited),
            None => {
                link.on_reply(message.reply.as_ref());
                out.push(Arrival::Packet { peer: Peer::new(link), packet: message.payload });
            }
        }
        false
    }

    /// True if there is surely more to read.
    fn poll_listening(&self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> bool {
        let Some(listening) = &self.listening else { return false };
        for _ in 0..AT_ONCE {
            match listening.poll_next(cx) {
                Poll::Ready(Some(message)) => self.on_request(message, out),
                Poll::Ready(None) | Poll::Pending => return false,
            }
        }
        true
    }

    fn on_request(&self, message: Message, out: &mut Vec<Arrival>) {
        let Some(reply) = &message.reply else {
            return self.peers.counters.count(Reason::NoReply);
        };
        match self.peers.accept(reply) {
            Ok(link) => {
                out.push(Arrival::Packet { peer: Peer::new(link), packet: message.payload });
            }
            Err(reason) => self.peers.counters.count(reason),
        }
    }
}

impl Incoming for NatsIncoming {
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        let before = out.len();
        self.listening_first = !self.listening_first;
        let more = if self.listening_first {
            let more = self.poll_listening(cx, out);
            self.poll_returns(cx, out) || more
        } else {
            let more = self.poll_returns(cx, out);
            self.poll_listening(cx, out) || more
        };
        self.stopped.poll(cx);
        if out.len() > before {
            return Poll::Ready(Ok(()));
        }
        if self.returns.is_none() {
            return Poll::Ready(Err(Error::unavailable("the NATS connection was closed")));
        }
        if more {
            // Nothing of what was read was a packet.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for NatsIncoming {
    fn drop(&mut self) {
        if let Some(listening) = &self.listening {
            listening.unsubscribe();
        }
    }
}

impl fmt::Debug for NatsIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsIncoming").field("peers", &self.peers).finish_non_exhaustive()
    }
}
