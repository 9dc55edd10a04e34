//! Peers at which nobody listens: what reached nobody, and whether the other end is gone.
//!
//! A fence settles the account of each. Nobody listening does not mean that nobody answers: a
//! node that drains stops listening first. So the subject that its replies named as its own is
//! asked, with an empty message, and asked again as long as the peer is held: "nobody listens"
//! there, too, says that the node's connection is gone.
//!
//! Whatever says that the other end is gone counts only if a fence that the server handles after it
//! comes back over the same connection: a server that shuts down may close others' before ours.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::Context;
use std::time::Duration;

use bytes::Bytes;
use micro_core::transport::{Arrival, Link as _, Peer};
use micro_nats::async_nats::Subject;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::heard::Home;
use crate::link::{NatsLink, Stop};
use crate::peers::Peers;

/// What the last part of a question's reply subject begins with; the peer's number, a dash and
/// a secret follow.
const MARKER: char = 'l';
/// The pause after the first question, and the longest one; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(3_200);
/// The least time between two looks at all of them.
const GAP: Duration = Duration::from_millis(10);
/// A longer wait than this is for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The peers of a port at which nobody listens.
pub(crate) struct Stopped {
    peers: Arc<Peers>,
    by_id: BTreeMap<u64, Case>,
    /// The fences that are waited for, in order, and for which peer.
    fenced: VecDeque<(u64, u64)>,
    /// One of them has still to be sent.
    fence_due: bool,
    /// When one that did not come back is sent again.
    fence_again: Option<Instant>,
    /// Runs until the next thing to do.
    timer: Option<Pin<Box<Sleep>>>,
    looked: Instant,
    /// With so many it is looked for those that nobody holds.
    crowd: usize,
}

/// What is known of one of them.
struct Case {
    link: Weak<NatsLink>,
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

impl Stopped {
    pub(crate) fn new(peers: Arc<Peers>) -> Self {
        Self {
            peers,
            by_id: BTreeMap::new(),
            fenced: VecDeque::new(),
            fence_due: false,
            fence_again: None,
            timer: None,
            looked: Instant::now(),
            crowd: 64,
        }
    }

    /// A peer has stopped: asks whether its other end is there. The fence goes with
    /// [`poll`](Self::poll): one for all.
    pub(crate) fn add(&mut self, id: u64, link: &Arc<NatsLink>, stop: Stop) {
        if self.by_id.len() >= self.crowd {
            self.by_id.retain(|_, case| case.link.strong_count() > 0);
            self.crowd = (self.by_id.len() * 2).max(64);
        }
        let mut case = Case {
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
            Home::At(home) => case.ask(&self.peers, id, home),
            Home::Listener => {
                case.gone = stop.was_there.map(|epoch| Gone { epoch, replies: case.replies });
            }
            Home::Unknown => {}
        }
        self.by_id.insert(id, case);
        self.fenced.push_back((stop.fence, id));
        self.fence_due = true;
    }

    /// What came to the reply subject of a question; false if it is none that is waited for.
    pub(crate) fn on_answer(&mut self, subject: &str, token: &str, nobody_there: bool) -> bool {
        let Some(id) = asked(token) else { return false };
        let Some(case) = self.by_id.get_mut(&id) else { return false };
        let waited_for = |question: &mut Question| question.subject.as_str() == subject;
        let Some(question) = case.question.take_if(waited_for) else { return false };
        if nobody_there
            && let Some(link) = case.link.upgrade()
            && case.is_gone(&self.peers, &link, &question)
        {
            case.gone = Some(Gone { epoch: self.peers.epoch(), replies: link.replies() });
            // Otherwise a fence is on its way already.
            if case.next.take().is_some() {
                self.fenced.push_back((self.peers.fences.next(), id));
                self.fence_due = true;
            }
        }
        true
    }

    /// Reports the peers whose fence is back.
    pub(crate) fn settle(&mut self, out: &mut Vec<Arrival>) {
        let returned = self.peers.fences.returned();
        while let Some(&(fence, id)) = self.fenced.front() {
            if fence > returned {
                break;
            }
            self.fenced.pop_front();
            let report = self.by_id.get_mut(&id).and_then(|case| case.settle(&self.peers));
            let next = self.by_id.get(&id).and_then(|case| case.next);
            out.extend(report);
            match next {
                Some(at) => self.wake_at(at),
                None => drop(self.by_id.remove(&id)),
            }
        }
    }

    /// Sends what there is to send, now and when it is time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) {
        loop {
            if std::mem::take(&mut self.fence_due) {
                self.peers.fences.send(&self.peers.nats);
                let again = Instant::now() + self.peers.fences.interval();
                self.fence_again = Some(again);
                self.wake_at(again);
            }
            let Some(timer) = &mut self.timer else { return };
            if timer.as_mut().poll(cx).is_pending() {
                return;
            }
            self.on_time();
        }
    }

    fn on_time(&mut self) {
        let now = Instant::now();
        (self.timer, self.looked) = (None, now);
        let mut next: Option<Instant> = None;
        self.by_id.retain(|id, case| {
            let Some(link) = case.link.upgrade().filter(|link| link.has_stopped()) else {
                return false;
            };
            if case.next.is_some_and(|at| at <= now) && case.look(&self.peers, *id, &link, now) {
                self.fenced.push_back((self.peers.fences.next(), *id));
                self.fence_due = true;
            }
            next = [next, case.next].into_iter().flatten().min();
            true
        });
        self.fenced.retain(|(_, id)| self.by_id.contains_key(id));
        if self.fenced.is_empty() {
            self.fence_again = None;
        }
        self.fence_due |= self.fence_again.is_some_and(|at| at <= now);
        for at in next.into_iter().chain(self.fence_again.filter(|at| *at > now)) {
            self.wake_at(at);
        }
    }

    fn wake_at(&mut self, at: Instant) {
        let at = at.max(self.looked + GAP);
        match &mut self.timer {
            Some(timer) if timer.deadline() <= at => {}
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(sleep_until(at))),
        }
    }
}

impl Case {
    /// What there is to say when the fence is back. Without a `next` it was the last word.
    fn settle(&mut self, peers: &Peers) -> Option<Arrival> {
        let link = self.link.upgrade().filter(|link| link.has_stopped())?;
        let told = self.undelivered.is_some();
        let packets = self.undelivered.or_else(|| link.settle())?;
        let found = Gone { epoch: peers.epoch(), replies: link.replies() };
        if self.gone.take() == Some(found) {
            return link.end().then(|| Arrival::Closed { peer: Peer::new(link), packets });
        }
        if link.accepted() {
            return Some(Arrival::Undelivered { peer: Peer::new(link), packets });
        }
        self.undelivered = Some(packets);
        let now = Instant::now();
        match link.home() {
            Home::At(_) => self.pause(now),
            _ => self.next = Some(now + peers.options.no_reply_wait.min(LONGEST_WAIT)),
        }
        (!told).then(|| Arrival::Undelivered { peer: Peer::new(link), packets })
    }

    /// It is time to look at it again. True if it seems to be gone: a fence shall prove it.
    fn look(&mut self, peers: &Peers, id: u64, link: &NatsLink, now: Instant) -> bool {
        let replies = link.replies();
        let quiet = std::mem::replace(&mut self.replies, replies) == replies;
        if let Home::At(home) = link.home() {
            self.ask(peers, id, home);
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
    fn ask(&mut self, peers: &Peers, id: u64, home: Subject) {
        let (epoch, at) = (peers.epoch(), Instant::now());
        let subject = peers.secret_subject(&format!("{MARKER}{id}-"));
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
fn asked(token: &str) -> Option<u64> {
    token.strip_prefix(MARKER)?.split_once('-')?.0.parse().ok()
}
