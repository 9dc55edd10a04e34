//! One peer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use micro_core::transport::{Link, PeerId, Refused};
use micro_core::{Error, Result};
use micro_nats::async_nats::Subject;

use crate::account::{Account, Phase};
use crate::heard::{Heard, Home};
use crate::peers::Peers;

/// One peer: a subject to publish to, and a return address under the port's wildcard.
pub(crate) struct NatsLink {
    peers: Arc<Peers>,
    id: u64,
    accepted: bool,
    remote: Subject,
    reply: Subject,
    account: Mutex<Account>,
    /// Locked by the port's receiver alone, for each packet that comes.
    heard: Mutex<Heard>,
}

/// A peer that has stopped: nobody listens there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// The fence behind which its account can be settled.
    pub(crate) fence: u64,
    /// The connection over which somebody was there for sure before.
    pub(crate) was_there: Option<u64>,
}

impl NatsLink {
    pub(crate) fn new(
        peers: Arc<Peers>,
        id: u64,
        remote: Subject,
        reply: Subject,
        accepted: bool,
    ) -> Self {
        let (account, heard) = Default::default();
        Self { peers, id, accepted, remote, reply, account, heard }
    }

    /// "Nobody listens" came for one of its packets. The first time it stops.
    pub(crate) fn on_nobody_listens(&self) -> Option<Stop> {
        let mut account = self.account();
        account.unheard += 1;
        if account.phase != Phase::Open {
            return None;
        }
        account.phase = Phase::Stopped;
        account.confirmed = self.peers.fences.returned() >= account.confirms;
        let fence = self.peers.fences.next();
        let epoch = self.peers.epoch();
        let listened = account.confirmed && account.epoch == epoch;
        drop(account);
        self.no_more();
        let was_there = (listened || self.heard().over(epoch)).then_some(epoch);
        Some(Stop { fence, was_there })
    }

    /// The last so many packets reached nobody; called when the fence is back that
    /// [`on_nobody_listens`](Self::on_nobody_listens) named. `None` if it was closed meanwhile.
    pub(crate) fn settle(&self) -> Option<u64> {
        let account = self.account();
        if account.phase != Phase::Stopped {
            return None;
        }
        Some(account.undelivered(self.peers.epoch()))
    }

    /// Whether nobody listens there, while replies may still come.
    pub(crate) fn has_stopped(&self) -> bool {
        self.account().phase == Phase::Stopped
    }

    /// How many packets it took.
    pub(crate) fn taken(&self) -> u64 {
        self.account().taken
    }

    /// Nothing comes after this; false if it was closed meanwhile.
    pub(crate) fn end(&self) -> bool {
        let mut account = self.account();
        if account.phase != Phase::Stopped {
            return false;
        }
        account.phase = Phase::Gone;
        drop(account);
        self.peers.forget(self.id, &self.remote, self.accepted);
        true
    }

    /// Takes note of a packet that came.
    pub(crate) fn on_reply(&self, subject: Option<&Subject>) {
        let epoch = self.peers.fences.returned_over();
        self.heard().on_reply(subject, epoch, |subject| self.peers.may_be_asked(subject));
    }

    /// Where its other end can be asked whether it is still there.
    pub(crate) fn home(&self) -> Home {
        self.heard().home().clone()
    }

    /// How many replies came.
    pub(crate) fn replies(&self) -> u64 {
        self.heard().replies()
    }

    /// Whether a reply came over this connection for sure.
    pub(crate) fn replied_over(&self, epoch: u64) -> bool {
        self.heard().over(epoch)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn no_more(&self) {
        if self.accepted {
            self.peers.retire(self.id, &self.remote);
        }
        self.peers.closed.notify_waiters();
    }

    fn check_open(&self) -> Result<()> {
        match self.account().phase {
            Phase::Open => Ok(()),
            Phase::Stopped | Phase::Gone => {
                Err(Error::unavailable(format!("nobody listens at {}", self.remote.as_str())))
            }
            Phase::Closed => {
                Err(Error::unavailable(format!("the peer {} was closed", self.remote.as_str())))
            }
        }
    }
}

#[async_trait]
impl Link for NatsLink {
    fn id(&self) -> PeerId {
        PeerId(self.id)
    }

    fn accepted(&self) -> bool {
        self.accepted
    }

    fn remote(&self) -> &str {
        &self.remote
    }

    fn max_packet(&self) -> usize {
        self.peers.nats.max_payload()
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        let mut account = self.account();
        if account.phase != Phase::Open {
            return Err(Refused::Closed(packet));
        }
        // Read before the packet goes: should the connection change in between, the packet is
        // held to belong to the old one, and is not counted.
        let epoch = self.peers.epoch();
        let (remote, reply) = (self.remote.clone(), self.reply.clone());
        self.peers.nats.try_publish(remote, Some(reply), packet)?;
        if account.took(epoch) {
            account.confirms = self.peers.fences.next();
            drop(account);
            self.peers.fences.want(&self.peers.nats);
        }
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        let closed = self.peers.closed.notified();
        tokio::pin!(closed);
        loop {
            // Listening before looking: a close in between is not missed.
            closed.as_mut().enable();
            self.check_open()?;
            tokio::select! {
                ready = self.peers.nats.ready() => return ready.and_then(|()| self.check_open()),
                () = closed.as_mut() => closed.set(self.peers.closed.notified()),
            }
        }
    }

    fn close(&self) {
        let mut account = self.account();
        account.phase = Phase::Closed;
        drop(account);
        self.peers.forget(self.id, &self.remote, self.accepted);
        self.peers.closed.notify_waiters();
    }
}

impl Drop for NatsLink {
    fn drop(&mut self) {
        self.peers.forget(self.id, &self.remote, self.accepted);
    }
}

impl fmt::Debug for NatsLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsLink")
            .field("id", &self.id)
            .field("remote", &self.remote.as_str())
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}
