//! The sessions with the nodes that this process calls, on one port.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_core::codec;
use micro_core::transport::{Arrival, Bind, Incoming, PeerId};
use micro_core::wire::{Limits, Session};
use micro_core::{Result, Transport};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

use crate::hub::{Conn, Hub, lock};

/// go-micro forgets a socket that was silent for 60 s; one silent for so long is dialled anew.
const IDLE: Duration = Duration::from_secs(50);

/// The sessions with the nodes that this process calls. The port opens with the first call.
pub(super) struct Pool {
    transport: Arc<dyn Transport>,
    open: OnceCell<Open>,
}

struct Open {
    hub: Arc<Hub>,
    conns: Arc<Mutex<Conns>>,
    _pump: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Conns {
    by_address: HashMap<String, Arc<Conn>>,
    by_peer: HashMap<PeerId, Arc<Conn>>,
}

impl Pool {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, open: OnceCell::new() }
    }

    /// The session with a node. A content type that go-micro has no codec for gets one of its
    /// own, since the answer names no call.
    pub(super) async fn conn(
        &self,
        address: &str,
        content_type: &str,
    ) -> Result<(Arc<Hub>, Arc<Conn>)> {
        let open = self.open().await?;
        let shared = matches!(content_type, codec::JSON | codec::PROTOBUF | codec::OCTET_STREAM);
        let mut conns = lock(&open.conns);
        if shared && let Some(conn) = conns.by_address.get(address) {
            if conn.is_usable() {
                return Ok((open.hub.clone(), conn.clone()));
            }
            // Late answers to earlier calls may still come there.
            if !conn.is_busy() {
                let stale = conn.peer.id();
                conns.by_peer.remove(&stale);
            }
        }
        let peer = open.hub.port.dial(address)?;
        let id = peer.id();
        let conn = Conn::new(peer, Session::client(Limits::default()));
        conns.sweep();
        conns.by_peer.insert(id, conn.clone());
        if shared {
            conns.by_address.insert(address.to_owned(), conn.clone());
        }
        Ok((open.hub.clone(), conn))
    }

    pub(super) async fn flush(&self) -> Result<()> {
        match self.open.get() {
            Some(open) => open.hub.port.flush().await,
            None => Ok(()),
        }
    }

    async fn open(&self) -> Result<&Open> {
        self.open
            .get_or_try_init(async || {
                let (port, incoming) = self.transport.open(Bind::ClientOnly).await?;
                let conns = Arc::new(Mutex::new(Conns::default()));
                let pump = tokio::spawn(pump(incoming, conns.clone()));
                let hub = Arc::new(Hub::new(port));
                Ok(Open { hub, conns, _pump: AbortOnDropHandle::new(pump) })
            })
            .await
    }
}

impl Conns {
    /// Drops sessions on which nothing has happened for long. Dialling is rare, so each dial may
    /// look at all of them.
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
async fn pump(mut incoming: Box<dyn Incoming>, conns: Arc<Mutex<Conns>>) {
    let mut arrivals = Vec::new();
    loop {
        if let Err(error) = micro_core::transport::recv(&mut *incoming, &mut arrivals).await {
            tracing::warn!(%error, "the client's port is over");
            return;
        }
        for arrival in arrivals.drain(..) {
            let id = arrival.peer().id();
            let Some(conn) = lock(&conns).by_peer.get(&id).cloned() else { continue };
            match arrival {
                Arrival::Packet { packet, .. } => conn.on_packet(&packet, &mut Vec::new()),
                Arrival::Undelivered { packets, .. } => conn.undelivered(packets, false),
                Arrival::Closed { packets, .. } => {
                    conn.undelivered(packets, true);
                    lock(&conns).by_peer.remove(&id);
                }
                _ => {}
            }
        }
    }
}
