//! The sessions with the nodes that this process calls, on one port.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use micro_core::codec;
use micro_core::transport::{Arrival, Bind, Incoming, PeerId};
use micro_core::wire::{Limits, Session};
use micro_core::{Result, Transport};
use tokio_util::task::AbortOnDropHandle;

use crate::hub::{Conn, Hub, lock};

/// go-micro forgets a socket that was silent for 60 s; one silent for so long is dialled anew.
const IDLE: Duration = Duration::from_secs(50);

/// The sessions with the nodes that this process calls. The port opens with the first call, and
/// again should it ever be over.
pub(super) struct Pool {
    transport: Arc<dyn Transport>,
    open: ArcSwapOption<Open>,
    opening: tokio::sync::Mutex<()>,
}

struct Open {
    hub: Arc<Hub>,
    shared: Arc<Shared>,
    _pump: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Shared {
    conns: Mutex<Conns>,
    over: AtomicBool,
}

#[derive(Default)]
struct Conns {
    by_address: HashMap<String, Arc<Conn>>,
    by_peer: HashMap<PeerId, Arc<Conn>>,
}

/// A session with a node, for one call.
pub(super) struct Lease {
    pub(super) hub: Arc<Hub>,
    pub(super) conn: Arc<Conn>,
    /// Nobody else uses it: it ends with the call.
    alone: Option<Arc<Shared>>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(shared) = &self.alone {
            self.conn.peer.close();
            lock(&shared.conns).by_peer.remove(&self.conn.peer.id());
        }
    }
}

impl Pool {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, open: ArcSwapOption::empty(), opening: tokio::sync::Mutex::default() }
    }

    /// The session with a node. A content type that go-micro has no codec for gets one of its
    /// own, since the answer names no call.
    pub(super) async fn conn(&self, address: &str, content_type: &str) -> Result<Lease> {
        let open = self.open().await?;
        let hub = open.hub.clone();
        let shares = matches!(content_type, codec::JSON | codec::PROTOBUF | codec::OCTET_STREAM);
        let mut conns = lock(&open.shared.conns);
        if shares && let Some(conn) = conns.by_address.get(address).cloned() {
            if conn.is_usable() {
                conn.touch();
                return Ok(Lease { hub, conn, alone: None });
            }
            // Late answers to earlier calls may still come there.
            if !conn.is_busy() {
                conns.by_peer.remove(&conn.peer.id());
            }
        }
        let peer = hub.port.dial(address)?;
        let id = peer.id();
        let session = Session::client(Limits::default());
        let conn = Conn::new(peer, session, hub.dropped.clone());
        conns.by_peer.insert(id, conn.clone());
        if shares {
            conns.sweep();
            conns.by_address.insert(address.to_owned(), conn.clone());
        }
        let alone = (!shares).then(|| open.shared.clone());
        Ok(Lease { hub, conn, alone })
    }

    pub(super) async fn flush(&self) -> Result<()> {
        let hub = self.open.load().as_ref().map(|open| open.hub.clone());
        match hub {
            Some(hub) => hub.port.flush().await,
            None => Ok(()),
        }
    }

    async fn open(&self) -> Result<Arc<Open>> {
        let usable = || {
            let open = self.open.load_full()?;
            (!open.shared.over.load(Ordering::Acquire)).then_some(open)
        };
        if let Some(open) = usable() {
            return Ok(open);
        }
        let _opening = self.opening.lock().await;
        if let Some(open) = usable() {
            return Ok(open);
        }
        let (port, incoming) = self.transport.open(Bind::ClientOnly).await?;
        let shared = Arc::<Shared>::default();
        let pump = tokio::spawn(pump(incoming, shared.clone()));
        let hub = Arc::new(Hub::new(port));
        let open = Arc::new(Open { hub, shared, _pump: AbortOnDropHandle::new(pump) });
        self.open.store(Some(open.clone()));
        Ok(open)
    }
}

impl Conns {
    /// Drops sessions on which nothing has happened for long. A node that is called for the first
    /// time is rare, so each may look at all of them.
    fn sweep(&mut self) {
        let keep = |conn: &mut Arc<Conn>| conn.is_busy() || conn.is_usable();
        self.by_address.retain(|_, conn| keep(conn));
        self.by_peer.retain(|_, conn| keep(conn));
    }
}

impl Conn {
    fn is_usable(&self) -> bool {
        let state = self.state();
        !self.is_closed() && (!state.session.is_idle() || state.last_used.elapsed() < IDLE)
    }

    fn is_busy(&self) -> bool {
        !self.state().session.is_idle()
    }
}

/// Brings what arrives to the calls that wait for it.
async fn pump(mut incoming: Box<dyn Incoming>, shared: Arc<Shared>) {
    let mut arrivals = Vec::new();
    let mut requests = Vec::new();
    loop {
        if let Err(error) = micro_core::transport::recv(&mut *incoming, &mut arrivals).await {
            tracing::warn!(%error, "the client's port is over; the next call opens another");
            shared.over.store(true, Ordering::Release);
            let conns = std::mem::take(&mut *lock(&shared.conns));
            for conn in conns.by_peer.into_values() {
                conn.undelivered(0, true);
            }
            return;
        }
        for arrival in arrivals.drain(..) {
            let id = arrival.peer().id();
            let Some(conn) = lock(&shared.conns).by_peer.get(&id).cloned() else { continue };
            match arrival {
                Arrival::Packet { packet, .. } => {
                    conn.on_packet(&packet, &mut requests);
                    // Nobody calls a client.
                    requests.clear();
                }
                Arrival::Undelivered { packets, .. } => conn.undelivered(packets, false),
                Arrival::Closed { packets, .. } => {
                    conn.undelivered(packets, true);
                    lock(&shared.conns).by_peer.remove(&id);
                }
                _ => {}
            }
        }
    }
}
