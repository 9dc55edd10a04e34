//! The peers of a port at which nobody listens: what they wait for, and when.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use micro_core::transport::Arrival;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gone::{self, Case};
use crate::link::{NatsLink, Stop};
use crate::peers::Peers;

/// The least time between two looks at all of them.
const GAP: Duration = Duration::from_millis(10);
/// With so many it is looked for those that nobody holds.
const CROWD: usize = 64;

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
    /// With so many it is looked next for those that nobody holds.
    crowd: usize,
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
            crowd: CROWD,
        }
    }

    /// A peer has stopped: asks whether its other end is there. The fence goes with
    /// [`poll`](Self::poll): one for all.
    pub(crate) fn add(&mut self, id: u64, link: &Arc<NatsLink>, stop: Stop) {
        if self.by_id.len() >= self.crowd {
            self.by_id.retain(|_, case| case.link().is_some());
            self.crowd = (self.by_id.len() * 2).max(CROWD);
        }
        self.by_id.insert(id, Case::new(&self.peers, id, link, stop));
        self.fence(stop.fence, id);
    }

    /// What came to the reply subject of a question; false if it is none that is waited for.
    pub(crate) fn on_answer(&mut self, subject: &str, token: &str, nobody_there: bool) -> bool {
        let Some(id) = gone::asked(token) else { return false };
        let case = self.by_id.get_mut(&id);
        let waited = case.and_then(|case| case.on_answer(&self.peers, subject, nobody_there));
        if waited == Some(true) {
            self.fence(self.peers.fences.next(), id);
        }
        waited.is_some()
    }

    /// Reports the peers whose fence is back.
    pub(crate) fn settle(&mut self, out: &mut Vec<Arrival>) {
        let returned = self.peers.fences.returned();
        while let Some(&(fence, id)) = self.fenced.front() {
            if fence > returned {
                break;
            }
            self.fenced.pop_front();
            let Some(case) = self.by_id.get_mut(&id) else { continue };
            out.extend(case.settle(&self.peers));
            if let Some(at) = case.next() {
                self.wake_at(at);
            } else if case.wants_fence() {
                self.fence(self.peers.fences.next(), id);
            } else {
                self.by_id.remove(&id);
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
            let Some(link) = case.link() else { return false };
            if case.next().is_some_and(|at| at <= now) && case.look(&self.peers, &link, now) {
                self.fenced.push_back((self.peers.fences.next(), *id));
                self.fence_due = true;
            }
            next = [next, case.next()].into_iter().flatten().min();
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

    /// Waits for this fence, or a later one.
    fn fence(&mut self, fence: u64, id: u64) {
        self.fenced.push_back((fence, id));
        self.fence_due = true;
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
