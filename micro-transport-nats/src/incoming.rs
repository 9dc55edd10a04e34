//! The receiver of a port.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::Stream;
use micro_core::transport::{Arrival, Incoming, Link, Peer};
use micro_core::{Error, Result};
use micro_nats::async_nats::{Message, StatusCode, Subscriber};
use tokio::time::{Instant, Sleep};

use crate::dropped::Reason;
use crate::link::NatsLink;
use crate::listening::Listening;
use crate::peers::Peers;

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
    /// Peers at which nobody listens, each with the fence that settles its account.
    stopped: Vec<(u64, Weak<NatsLink>)>,
    /// When a fence that did not come back is sent again; runs while there are stopped peers.
    again: Option<Pin<Box<Sleep>>>,
}

impl NatsIncoming {
    pub(crate) fn new(
        peers: Arc<Peers>,
        returns: Subscriber,
        listening: Option<Arc<Listening>>,
    ) -> Self {
        Self {
            peers,
            returns: Some(returns),
            listening,
            listening_first: false,
            stopped: Vec::new(),
            again: None,
        }
    }

    /// True if there is surely more to read.
    fn poll_returns(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> bool {
        let mut settle = false;
        let mut stopped = false;
        let mut seen = 0;
        while let Some(returns) = &mut self.returns {
            if seen == AT_ONCE {
                break;
            }
            match Pin::new(returns).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    seen += 1;
                    match self.on_return(message, out) {
                        Return::Handled => {}
                        Return::Fence => settle = true,
                        Return::Stopped(fence, link) => {
                            self.stopped.push((fence, Arc::downgrade(&link)));
                            stopped = true;
                        }
                    }
                }
                Poll::Ready(None) => self.returns = None,
                Poll::Pending => break,
            }
        }
        if settle {
            self.settle(out);
        }
        if stopped {
            // One for all that stopped in this poll.
            self.fence();
        }
        seen == AT_ONCE
    }

    fn on_return(&self, message: Message, out: &mut Vec<Arrival>) -> Return {
        let peers = &self.peers;
        let Some(token) = peers.token(&message.subject) else {
            peers.counters.count(Reason::UnknownPeer);
            return Return::Handled;
        };
        let Ok(id) = token.parse() else {
            if peers.fences.on_token(token, &peers.nats) {
                return Return::Fence;
            }
            peers.counters.count(Reason::UnknownPeer);
            return Return::Handled;
        };
        let Some(link) = peers.by_id(id) else {
            peers.counters.count(Reason::UnknownPeer);
            return Return::Handled;
        };
        match message.status {
            Some(StatusCode::NO_RESPONDERS) => match link.on_nobody_listens() {
                Some(fence) => return Return::Stopped(fence, link),
                None => return Return::Handled,
            },
            // No other status is for a publisher.
            Some(_) => {}
            None if link.accepted() => peers.counters.count(Reason::Unsolicited),
            None => {
                out.push(Arrival::Packet { peer: Peer::new(link), packet: message.payload });
            }
        }
        Return::Handled
    }

    /// Reports the peers whose fence is back.
    fn settle(&mut self, out: &mut Vec<Arrival>) {
        let returned = self.peers.fences.returned();
        self.stopped.retain(|(fence, link)| {
            if *fence > returned {
                return true;
            }
            if let Some(link) = link.upgrade()
                && let Some(packets) = link.settle()
            {
                out.push(Arrival::Undelivered { peer: Peer::new(link), packets });
            }
            false
        });
        if self.stopped.is_empty() {
            self.again = None;
        }
    }

    /// Sends a fence, and again until no stopped peer waits for one.
    fn fence(&mut self) {
        self.peers.fences.send(&self.peers.nats);
        let at = Instant::now() + self.peers.fences.interval();
        match &mut self.again {
            Some(again) => again.as_mut().reset(at),
            None => self.again = Some(Box::pin(tokio::time::sleep_until(at))),
        }
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

/// What became of a message to a return address.
enum Return {
    Handled,
    Fence,
    Stopped(u64, Arc<NatsLink>),
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
        while let Some(again) = &mut self.again {
            if again.as_mut().poll(cx).is_pending() {
                break;
            }
            self.stopped.retain(|(_, link)| link.strong_count() > 0);
            if self.stopped.is_empty() {
                self.again = None;
            } else {
                self.fence();
            }
        }
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
