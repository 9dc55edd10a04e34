//! What the halves of a port and its peers share.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Wake};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use micro_core::transport::PeerId;
use tokio::time::Instant;

use crate::config::Options;
use crate::dropped::Counters;
use crate::peer::Shared;
use crate::tls::Loaded;

/// One open port.
pub(crate) struct Hub {
    pub(crate) options: Options,
    pub(crate) counters: Arc<Counters>,
    /// With what everything is encrypted.
    pub(crate) tls: Option<Arc<Loaded>>,
    /// As whom we are on this machine.
    #[cfg(target_os = "linux")]
    pub(crate) user: Option<u32>,
    /// The task that polls the receiver.
    receiver: AtomicWaker,
    /// How often the receiver was polled.
    turns: AtomicU64,
    peers: AtomicU64,
    ready: Mutex<Ready>,
    /// Peers whose packets may wait to be written.
    live: Mutex<HashMap<PeerId, Arc<Shared>>>,
}

/// Peers at whom the receiver is to look.
#[derive(Default)]
struct Ready {
    peers: Vec<Arc<Shared>>,
    /// There is no receiver any more.
    over: bool,
}

/// Wakes the receiver for its listeners.
pub(crate) struct Doorbell {
    hub: Arc<Hub>,
    rung: AtomicBool,
}

impl Hub {
    pub(crate) fn new(options: Options, counters: Arc<Counters>, tls: Option<Arc<Loaded>>) -> Self {
        Self {
            options,
            counters,
            tls,
            #[cfg(target_os = "linux")]
            user: own_user(),
            receiver: AtomicWaker::new(),
            turns: AtomicU64::new(0),
            peers: AtomicU64::new(0),
            ready: Mutex::default(),
            live: Mutex::default(),
        }
    }

    pub(crate) fn next_peer(&self) -> PeerId {
        PeerId(self.peers.fetch_add(1, Ordering::Relaxed))
    }

    /// The receiver is polled, by this task.
    pub(crate) fn turn(&self, cx: &Context<'_>) {
        self.receiver.register(cx.waker());
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The receiver is to look at this peer; false if there is none any more.
    pub(crate) fn look_at(&self, peer: Arc<Shared>) -> bool {
        let mut ready = lock(&self.ready);
        if ready.over {
            return false;
        }
        ready.peers.push(peer);
        drop(ready);
        self.receiver.wake();
        true
    }

    pub(crate) fn take_ready(&self, into: &mut impl Extend<Arc<Shared>>) {
        into.extend(lock(&self.ready).peers.drain(..));
    }

    /// There is no receiver any more; who waited for it.
    pub(crate) fn end(&self) -> Vec<Arc<Shared>> {
        let mut ready = lock(&self.ready);
        ready.over = true;
        std::mem::take(&mut ready.peers)
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, HashMap<PeerId, Arc<Shared>>> {
        lock(&self.live)
    }
}

impl Doorbell {
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self { hub, rung: AtomicBool::new(true) }
    }

    /// Whether somebody is at the door; asked before it is looked, so that who comes meanwhile
    /// rings again.
    pub(crate) fn answer(&self) -> bool {
        self.rung.load(Ordering::Relaxed) && self.rung.swap(false, Ordering::AcqRel)
    }
}

impl Wake for Doorbell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.hub.receiver.wake();
    }
}

/// So much later; what the clock cannot say is far enough.
pub(crate) fn after(time: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + time.min(FAR)
}

/// Locks what nobody panics in the middle of.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// As a socket's other end says it of us.
#[cfg(target_os = "linux")]
fn own_user() -> Option<u32> {
    let (one, _other) = tokio::net::UnixStream::pair().ok()?;
    Some(one.peer_cred().ok()?.uid())
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("options", &self.options).finish_non_exhaustive()
    }
}
