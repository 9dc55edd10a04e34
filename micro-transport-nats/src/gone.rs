//! Whether the other end of a peer at which nobody listens is gone.
//!
//! Nobody listening does not mean that nobody answers: a node that drains stops listening first.
//! So the subject that its replies named as its own is asked, with an empty message, and asked
//! again as long as the peer is held: "nobody listens" there, too, says that the node's connection
//! is gone.
//!
//! Whatever says that the other end is gone counts only if a fence sent after it comes back over
//! the same connection: a server that shuts down closes the connections of others before ours.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use micro_core::transport::{Arrival, Link as _, Peer};
use micro_nats::async_nats::Subject;
use tokio::time::Instant;

use crate::heard::Home;
use crate::link::{NatsLink, Stop};
use crate::peers::Peers;

/// What the last part of a question's reply subject begins with; the peer's number, a dash and
/// a secret follow.
const MARKER: char = 'l';
/// The pause after the first question, and the longest one; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(3_200);
/// A longer wait than this is for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// What is known of one peer at which nobody listens.
pub(crate) struct Case {
    id: u64,
    link: Weak<NatsLink>,
    /// The connection over which somebody was there for sure before nobody listened.
    was_there: Option<u64>,
    /// What was reported as undelivered, once it was.
    undelivered: Option<u64>,
    /// Set when it was found to be gone, until the fence is back.
    gone: Option<Gone>,
    /// When it is looked at next; not while it waits for a fence.
    next: Option<Instant>,
    pause: Duration,
    /// How many replies had come when `next` was set.
    replies: u64,
    question: Option<Question>,
    /// The connection that questions went to, and when the first one did.
    asked: Option<(u64, Instant)>,
}

/// What makes it void: another connection, a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Gone {
    epoch: u64,
    replies: u64,
}

struct Question {
    /// Where an answer comes.
    subject: Subject,
    at: Instant,
}

impl Case {
    /// Asks whether the other end is there.
    pub(crate) fn new(peers: &Peers, id: u64, link: &Arc<NatsLink>, stop: Stop) -> Self {
        let mut case = Self {
            id,
            link: Arc::downgrade(link),
            was_there: stop.was_there,
            undelivered: None,
            gone: None,
            next: None,
            pause: FIRST_PAUSE,
            replies: link.replies(),
            question: None,
            asked: None,
        };
        match link.home() {
            Home::At(home) => case.ask(peers, home),
            Home::Listener => {
                case.gone = stop.was_there.map(|epoch| Gone { epoch, replies: case.replies });
            }
            Home::Unknown => {}
        }
        case
    }

    /// The peer, unless nobody holds it any more or it was closed.
    pub(crate) fn link(&self) -> Option<Arc<NatsLink>> {
        self.link.upgrade().filter(|link| link.has_stopped())
    }

    /// When it is to be looked at; not while it waits for a fence.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Whether another fence has to prove that it is gone.
    pub(crate) fn wants_fence(&self) -> bool {
        self.gone.is_some() && self.next.is_none()
    }

    /// What came to the reply subject of its question; `None` if that is not waited for. True if
    /// a fence has to prove that it is gone, and none is waited for.
    pub(crate) fn on_answer(
        &mut self,
        peers: &Peers,
        subject: &str,
        nobody_there: bool,
    ) -> Option<bool> {
        let question = self.question.take_if(|question| question.subject.as_str() == subject)?;
        let Some(link) = self.link().filter(|_| nobody_there) else { return Some(false) };
        let epoch = peers.epoch();
        if !self.is_gone(peers, &link, &question) {
            return Some(false);
        }
        self.gone = Some(Gone { epoch, replies: link.replies() });
        // Otherwise it waits for the first fence, which may have been sent before.
        Some(self.next.take().is_some())
    }

    /// What there is to say when the fence is back. It goes on with what is set then: `gone`, to be
    /// proved by another fence, or `next`.
    pub(crate) fn settle(&mut self, peers: &Peers) -> Option<Arrival> {
        let gone = self.gone.take();
        let link = self.link()?;
        let found = Gone { epoch: peers.epoch(), replies: link.replies() };
        let gone = gone.filter(|gone| *gone == found);
        if let (Some(packets), Some(_)) = (self.undelivered, gone) {
            return link.end().then(|| Arrival::Closed { peer: Peer::new(link), packets });
        }
        let told = self.undelivered.is_some();
        let packets = self.undelivered.or_else(|| link.settle())?;
        self.undelivered = Some(packets);
        let now = Instant::now();
        match link.home() {
            _ if link.accepted() => {}
            _ if gone.is_some() => self.gone = gone,
            Home::At(_) => self.pause(now),
            _ => self.next = Some(now + peers.options.no_reply_wait.min(LONGEST_WAIT)),
        }
        (!told).then(|| Arrival::Undelivered { peer: Peer::new(link), packets })
    }

    /// It is time to look at it again. True if it seems to be gone: a fence shall prove it.
    pub(crate) fn look(&mut self, peers: &Peers, link: &NatsLink, now: Instant) -> bool {
        let replies = link.replies();
        let quiet = std::mem::replace(&mut self.replies, replies) == replies;
        if let Home::At(home) = link.home() {
            self.ask(peers, home);
        } else {
            let epoch = peers.epoch();
            // After a reconnect of ours it may just not be back yet, and nobody can be asked. But
            // if nothing ever reached it, there is nothing to wait for.
            let sure = self.was_there == Some(epoch) || self.undelivered == Some(link.taken());
            if sure && quiet {
                self.gone = Some(Gone { epoch, replies });
                self.next = None;
                return true;
            }
            if sure {
                self.next = Some(now + peers.options.no_reply_wait.min(LONGEST_WAIT));
                return false;
            }
        }
        self.pause(now);
        false
    }

    /// The next look comes after a pause, which is longer the next time.
    fn pause(&mut self, now: Instant) {
        self.next = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// Sends a question; if it is not taken now, the next one will do.
    fn ask(&mut self, peers: &Peers, home: Subject) {
        let (epoch, at) = (peers.epoch(), Instant::now());
        let subject = peers.secret_subject(&format!("{MARKER}{}-", self.id));
        if peers.nats.try_publish(home, Some(subject.clone()), Bytes::new()).is_err() {
            return;
        }
        if self.asked.is_none_or(|(asked, _)| asked != epoch) {
            self.asked = Some((epoch, at));
            self.pause = FIRST_PAUSE;
        }
        self.question = Some(Question { subject, at });
    }

    /// Whether nobody at its own subject means that it is gone: it was there since we have this
    /// connection, or has had the time to be.
    fn is_gone(&self, peers: &Peers, link: &NatsLink, question: &Question) -> bool {
        let epoch = peers.epoch();
        let grace = peers.options.reconnect_grace;
        self.was_there == Some(epoch)
            || link.replied_over(epoch)
            || self.asked.is_some_and(|(asked, first)| {
                asked == epoch && question.at.saturating_duration_since(first) >= grace
            })
    }
}

/// The peer whose question it is, by the last part of the question's reply subject.
pub(crate) fn asked(token: &str) -> Option<u64> {
    token.strip_prefix(MARKER)?.split_once('-')?.0.parse().ok()
}
