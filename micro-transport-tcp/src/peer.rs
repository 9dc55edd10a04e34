//! A peer, as its link and the receiver share it.

use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use micro_core::transport::{Peer, PeerId, Refused};
use micro_core::{Error, Result};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use crate::address::Target;
use crate::hub::{Hub, lock};
use crate::link::TcpLink;
use crate::out::{Out, Phase};
use crate::stream::Writing;

/// What a peer's link and the receiver share. It is also the waker of all that the receiver waits
/// for on behalf of this peer.
pub(crate) struct Shared {
    pub(crate) id: PeerId,
    /// What was dialled; `None` if it dialled us.
    pub(crate) target: Option<Target>,
    pub(crate) remote: Box<str>,
    pub(crate) hub: Arc<Hub>,
    /// The receiver will look at it.
    listed: AtomicBool,
    /// Dangling once nobody holds the peer any more.
    link: OnceLock<Weak<TcpLink>>,
    out: Mutex<Out>,
    /// There is room, or it is over, or a packet was written that somebody waits for.
    changed: Notify,
}

impl Shared {
    pub(crate) fn dialled(hub: &Arc<Hub>, address: &str, target: Target) -> Peer {
        let shared = Self::new(hub, Some(target), address, Phase::Idle);
        shared.known()
    }

    pub(crate) fn accepted(hub: &Arc<Hub>, remote: &str) -> Arc<Self> {
        Self::new(hub, None, remote, Phase::Opening)
    }

    fn new(hub: &Arc<Hub>, target: Option<Target>, remote: &str, phase: Phase) -> Arc<Self> {
        Arc::new(Self {
            id: hub.next_peer(),
            target,
            remote: remote.into(),
            hub: hub.clone(),
            listed: AtomicBool::new(false),
            link: OnceLock::new(),
            out: Mutex::new(Out::new(phase, hub.options.max_packet)),
            changed: Notify::new(),
        })
    }

    /// Makes the peer known; once.
    pub(crate) fn known(self: &Arc<Self>) -> Peer {
        let link = Arc::new(TcpLink(self.clone()));
        let _ = self.link.set(Arc::downgrade(&link));
        Peer::new(link)
    }

    /// The peer, unless it is not known yet.
    pub(crate) fn peer(&self) -> Option<Held> {
        let link = self.link.get()?;
        Some(link.upgrade().map_or(Held::Forgotten, |link| Held::By(Peer::new(link))))
    }

    pub(crate) fn max_packet(&self) -> usize {
        lock(&self.out).max_packet
    }

    pub(crate) fn phase(&self) -> Phase {
        lock(&self.out).phase
    }

    /// The receiver looks at it now; who wakes it from here on is not lost.
    pub(crate) fn seen(&self) {
        self.listed.store(false, Ordering::Release);
    }

    /// The other side has greeted. False if one of the packets that wait is too large for it.
    pub(crate) fn open(self: &Arc<Self>, writing: Writing, max_packet: usize) -> bool {
        let mut out = lock(&self.out);
        if out.frames.longest() > max_packet {
            return false;
        }
        out.max_packet = max_packet;
        out.writing = Some(writing);
        if out.phase == Phase::Opening {
            out.phase = Phase::Open;
        }
        drop(out);
        self.hub.live().insert(self.id, self.clone());
        true
    }

    /// Writes what waits: ready when all of it has left.
    pub(crate) fn poll_write(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut out = lock(&self.out);
        if out.phase == Phase::Broken || out.is_idle() {
            return Poll::Ready(());
        }
        let written = out.poll_write(cx, self.hub.turns());
        self.tell(out);
        written.map(drop)
    }

    /// Says that nothing more will come.
    pub(crate) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut lock(&self.out).writing {
            Some(writing) => Pin::new(writing).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// What is written last: how many packets of the other side were heard. Said once.
    pub(crate) fn say_farewell(&self, heard: u64) {
        let mut out = lock(&self.out);
        if out.writing.is_some() && !std::mem::replace(&mut out.farewell, true) {
            if out.phase.takes() {
                out.phase = Phase::Closing;
            }
            out.frames.push_farewell(heard);
        }
    }

    /// Takes nothing from now on.
    pub(crate) fn end(&self) -> Ended {
        let mut out = lock(&self.out);
        let was = std::mem::replace(&mut out.phase, Phase::Over);
        let (unwritten, taken) = (out.frames.clear(), out.taken);
        let writing = out.writing.take();
        drop(out);
        drop(writing);
        self.hub.live().remove(&self.id);
        self.changed.notify_waiters();
        Ended { was, unwritten, taken }
    }

    /// Closes it here.
    pub(crate) fn close(self: &Arc<Self>) {
        let mut out = lock(&self.out);
        match out.phase {
            Phase::Idle => {
                out.phase = Phase::Over;
                return;
            }
            Phase::Opening | Phase::Open | Phase::Broken => out.phase = Phase::Closing,
            Phase::Closing | Phase::Over => return,
        }
        drop(out);
        self.changed.notify_waiters();
        self.wake_by_ref();
    }

    /// Writes it at once from the caller's thread, if nothing was written since the receiver's last
    /// turn; else the receiver writes it, with all that came meanwhile.
    pub(crate) fn try_send(self: &Arc<Self>, packet: Bytes) -> Result<(), Refused> {
        let mut out = lock(&self.out);
        if !out.phase.takes() {
            return Err(Refused::Closed(packet));
        }
        if packet.len() > out.max_packet {
            return Err(Refused::TooLarge(packet));
        }
        if !out.has_room(&self.hub.options) {
            out.awaited = true;
            return Err(Refused::Full(packet));
        }
        if out.phase == Phase::Idle {
            self.listed.store(true, Ordering::Release);
            if !self.hub.look_at(self.clone()) {
                out.phase = Phase::Over;
                return Err(Refused::Closed(packet));
            }
            out.phase = Phase::Opening;
            self.hub.live().insert(self.id, self.clone());
        }
        let waits = !out.frames.is_empty();
        out.frames.push(packet);
        out.taken += 1;
        if out.phase == Phase::Open && !waits {
            // A second one is one of many: to write each on its own is a tenth as fast.
            if out.written_in == Some(self.hub.turns()) {
                drop(out);
                self.wake_by_ref();
            } else {
                let waker = Waker::from(self.clone());
                let _ = out.poll_write(&mut Context::from_waker(&waker), self.hub.turns());
                let broken = out.phase == Phase::Broken;
                self.tell(out);
                if broken {
                    self.wake_by_ref();
                }
            }
        }
        Ok(())
    }

    /// Whoever waits looks again, where there is reason to.
    fn tell(&self, mut out: MutexGuard<'_, Out>) {
        if out.tells(&self.hub.options) {
            drop(out);
            self.changed.notify_waiters();
        }
    }

    /// Returns when what was taken so far has left, or is known not to; of a peer that is closing
    /// when the other side has heard all of it.
    pub(crate) async fn flushed(&self) {
        let target = lock(&self.out).taken;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut out = lock(&self.out);
                let left = out.left >= target && out.phase != Phase::Closing;
                if left || out.phase == Phase::Over || out.phase == Phase::Broken {
                    return;
                }
                out.watched = true;
            }
            changed.await;
        }
    }

    /// Returns when there is room.
    pub(crate) async fn ready(&self) -> Result<()> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut out = lock(&self.out);
                if !out.phase.takes() {
                    let gone = format!("the peer {} takes nothing any more", self.remote);
                    return Err(Error::unavailable(gone));
                }
                if out.has_room(&self.hub.options) {
                    return Ok(());
                }
                out.awaited = true;
            }
            changed.await;
        }
    }
}

/// How a peer was when it ended.
pub(crate) struct Ended {
    pub(crate) was: Phase,
    /// How many packets had not been written in full.
    pub(crate) unwritten: u64,
    pub(crate) taken: u64,
}

/// Whether somebody still holds a peer.
pub(crate) enum Held {
    By(Peer),
    Forgotten,
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::AcqRel) {
            self.hub.look_at(self.clone());
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("id", &self.id)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}
