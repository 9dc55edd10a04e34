//! A peer: what is still to be written to it, and how it ends.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::task::{Context, Poll, Wake, Waker, ready};

use async_trait::async_trait;
use bytes::Bytes;
use micro_core::transport::{Link, Peer, PeerId, Refused};
use micro_core::{Error, Result};
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use crate::address::Target;
use crate::frames::{AT_ONCE, Frames};
use crate::hub::{Hub, lock};
use crate::stream::Writing;

/// A peer's link; when it is dropped, the peer is closed.
pub(crate) struct TcpLink(Arc<Shared>);

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

struct Out {
    phase: Phase,
    frames: Frames,
    /// There once the other side has greeted.
    writing: Option<Writing>,
    max_packet: usize,
    /// How many packets were taken, and how many have left the process.
    taken: u64,
    left: u64,
    /// Something that was written may not have left yet.
    unflushed: bool,
    /// The receiver's turn in which it was written to last.
    written_in: Option<u64>,
    /// Somebody waits for room, or for packets to leave.
    awaited: bool,
    watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dialled, and nothing sent yet.
    Idle,
    /// Packets wait for the other side's greeting.
    Opening,
    Open,
    /// Writing failed; what had come before is still read.
    Broken,
    /// Closed here: what was taken is still written.
    Closing,
    Over,
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
        let out = Out {
            phase,
            frames: Frames::default(),
            writing: None,
            max_packet: hub.options.max_packet,
            taken: 0,
            left: 0,
            unflushed: false,
            written_in: None,
            awaited: false,
            watched: false,
        };
        Arc::new(Self {
            id: hub.next_peer(),
            target,
            remote: remote.into(),
            hub: hub.clone(),
            listed: AtomicBool::new(false),
            link: OnceLock::new(),
            out: Mutex::new(out),
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
        if out.phase == Phase::Broken || (out.frames.is_empty() && !out.unflushed) {
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

    /// Takes nothing from now on: the phase that it was in, and how many packets had not been
    /// written in full.
    pub(crate) fn end(&self) -> (Phase, u64) {
        let mut out = lock(&self.out);
        let was = std::mem::replace(&mut out.phase, Phase::Over);
        let unwritten = out.frames.clear();
        let writing = out.writing.take();
        drop(out);
        drop(writing);
        self.hub.live().remove(&self.id);
        self.changed.notify_waiters();
        (was, unwritten)
    }

    /// Closes it here.
    fn close(self: &Arc<Self>) {
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

    fn try_send(self: &Arc<Self>, packet: Bytes) -> Result<(), Refused> {
        let mut out = lock(&self.out);
        if !out.phase.takes() {
            return Err(Refused::Closed(packet));
        }
        if packet.len() > out.max_packet {
            return Err(Refused::TooLarge(packet));
        }
        if !self.has_room(&out) {
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
            // A second one before the receiver's next turn is one of many: they go together.
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
        let options = &self.hub.options;
        let roomy = out.frames.len() <= options.queue_packets / 2
            && out.frames.bytes() <= options.queue_bytes / 2;
        let broken = !out.phase.takes();
        if (out.awaited && (roomy || broken)) || out.watched {
            (out.awaited, out.watched) = (false, false);
            drop(out);
            self.changed.notify_waiters();
        }
    }

    fn has_room(&self, out: &Out) -> bool {
        let options = &self.hub.options;
        out.frames.len() < options.queue_packets && out.frames.bytes() < options.queue_bytes
    }

    /// Returns when what was taken so far has left, or is known not to.
    pub(crate) async fn flushed(&self) {
        let target = lock(&self.out).taken;
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut out = lock(&self.out);
                if out.left >= target || out.phase == Phase::Over || out.phase == Phase::Broken {
                    return;
                }
                out.watched = true;
            }
            changed.await;
        }
    }

    async fn ready(&self) -> Result<()> {
        loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let mut out = lock(&self.out);
                if !out.phase.takes() {
                    let gone = format!("the peer {} takes nothing any more", self.remote);
                    return Err(Error::unavailable(gone));
                }
                if self.has_room(&out) {
                    return Ok(());
                }
                out.awaited = true;
            }
            changed.await;
        }
    }
}

/// Whether somebody still holds a peer.
pub(crate) enum Held {
    By(Peer),
    Forgotten,
}

impl Out {
    fn poll_write(&mut self, cx: &mut Context<'_>, turn: u64) -> Poll<io::Result<()>> {
        self.written_in = Some(turn);
        let written = self.poll_write_all(cx);
        if let Poll::Ready(Err(_)) = written
            && self.phase == Phase::Open
        {
            self.phase = Phase::Broken;
        }
        written
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Pending };
        while self.unflushed || !self.frames.is_empty() {
            if !self.frames.is_empty() {
                let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
                let filled = self.frames.slices(&mut slices);
                let bytes =
                    ready!(Pin::new(&mut *writing).poll_write_vectored(cx, &slices[..filled]))?;
                if bytes == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.frames.advance(bytes);
                self.unflushed = true;
            }
            // TLS may hold some of it back; TCP does not.
            ready!(Pin::new(&mut *writing).poll_flush(cx))?;
            self.unflushed = false;
            self.left = self.taken - self.frames.len() as u64;
        }
        Poll::Ready(Ok(()))
    }
}

impl Phase {
    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Idle | Self::Opening | Self::Open)
    }
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

#[async_trait]
impl Link for TcpLink {
    fn id(&self) -> PeerId {
        self.0.id
    }

    fn accepted(&self) -> bool {
        self.0.target.is_none()
    }

    fn remote(&self) -> &str {
        &self.0.remote
    }

    fn max_packet(&self) -> usize {
        lock(&self.0.out).max_packet
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        self.0.try_send(packet)
    }

    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Drop for TcpLink {
    fn drop(&mut self) {
        self.0.close();
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
