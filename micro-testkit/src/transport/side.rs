//! A port that is received from all the time, as an application does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use micro_core::transport::{Arrival, Bind, Incoming, Peer, PeerId, Port, recv};
use micro_core::{Result, Transport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Fixture, send};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, unique, within};

/// A port whose receiver a task polls, since on some backends nothing moves otherwise.
pub(super) struct Side {
    pub(super) port: Arc<dyn Port>,
    arrivals: mpsc::Receiver<Result<Arrival>>,
    pump: JoinHandle<()>,
    /// Who dialled us: a peer that nobody holds is forgotten.
    held: BTreeMap<PeerId, Peer>,
    /// At whom nobody listens, with how many packets reached nobody.
    undelivered: BTreeMap<PeerId, u64>,
    closed: BTreeSet<PeerId>,
}

impl Side {
    /// A port of another process.
    pub(super) async fn open(fixture: &dyn Fixture, bind: Bind) -> Checked<Self> {
        Self::on(&*fixture.transport().await, bind).await
    }

    /// A port of this transport, once it is reached.
    pub(super) async fn on(transport: &dyn Transport, bind: Bind) -> Checked<Self> {
        let (port, mut incoming) = within("open", transport.open(bind)).await??;
        settle(transport, &*port, &mut *incoming).await?;
        Ok(Self::pumped(port, incoming))
    }

    /// A port of this transport, whether it is reached yet or not.
    pub(super) async fn unsettled(transport: &dyn Transport, bind: Bind) -> Checked<Self> {
        let (port, incoming) = within("open", transport.open(bind)).await??;
        Ok(Self::pumped(port, incoming))
    }

    /// Receives from now on.
    pub(super) fn pumped(port: Arc<dyn Port>, mut incoming: Box<dyn Incoming>) -> Self {
        let (sender, arrivals) = mpsc::channel(65_536);
        let pump = tokio::spawn(async move {
            let mut batch = Vec::new();
            loop {
                let outcome = recv(&mut *incoming, &mut batch).await;
                for arrival in batch.drain(..).map(Ok).chain(outcome.err().map(Err)) {
                    let over = arrival.is_err();
                    if sender.send(arrival).await.is_err() || over {
                        return;
                    }
                }
            }
        });
        Self {
            port,
            arrivals,
            pump,
            held: BTreeMap::new(),
            undelivered: BTreeMap::new(),
            closed: BTreeSet::new(),
        }
    }

    /// Where others reach it.
    pub(super) fn address(&self) -> Checked<String> {
        let local = self.port.local().map(str::to_owned);
        local.ok_or_else(|| Failure::new("a port that listens has no address"))
    }

    /// Whatever arrives next. That a peer is closed of which it is known that nobody listens may
    /// come at any time, and is passed over.
    pub(super) async fn next(&mut self, what: &str) -> Checked<Arrival> {
        loop {
            let arrival = within(what, self.arrivals.recv()).await?;
            let arrival =
                arrival.ok_or_else(|| Failure::new(format!("{what}: the port is over")))?;
            let arrival = arrival?;
            if self.note(&arrival)? {
                return Ok(arrival);
            }
        }
    }

    /// False for a close of which the first half was told before. Nothing may come after a close.
    fn note(&mut self, arrival: &Arrival) -> Checked<bool> {
        let peer = arrival.peer();
        let id = peer.id();
        ensure!(!self.closed.contains(&id), "{arrival:?} came after the close");
        match arrival {
            Arrival::Undelivered { packets, .. } => {
                self.undelivered.insert(id, *packets);
            }
            Arrival::Closed { packets, .. } => {
                self.closed.insert(id);
                if let Some(told) = self.undelivered.get(&id) {
                    ensure!(packets == told, "{told} reached nobody, but then {arrival:?} came");
                    return Ok(false);
                }
            }
            _ => {}
        }
        if peer.accepted() {
            self.held.insert(id, peer.clone());
        }
        Ok(true)
    }

    /// Holds this peer no longer.
    pub(super) fn forget(&mut self, id: PeerId) {
        self.held.remove(&id);
    }

    /// The next packet; nothing else may come before it.
    pub(super) async fn packet(&mut self, what: &str) -> Checked<(Peer, Bytes)> {
        match self.next(what).await? {
            Arrival::Packet { peer, packet } => Ok((peer, packet)),
            other => Err(Failure::new(format!("{what}: {other:?} came instead"))),
        }
    }

    /// This packet, from this peer; nothing else may come before it.
    pub(super) async fn packet_of(&mut self, from: PeerId, packet: impl Into<Bytes>) -> Checked {
        let packet = packet.into();
        let (peer, came) = self.packet(&format!("a packet of {from:?}")).await?;
        ensure!(peer.id() == from, "it came from {:?}, not from {from:?}: {came:?}", peer.id());
        ensure!(came == packet, "{from:?} sent {packet:?}, but what came is {came:?}");
        Ok(())
    }

    /// Everything of this peer until it is told that the peer is over: the packets, and how many
    /// reached nobody. What else arrives is passed over.
    pub(super) async fn end_of(&mut self, id: PeerId) -> Checked<(Vec<Bytes>, u64)> {
        let mut came = Vec::new();
        loop {
            match self.next(&format!("the end of {id:?}")).await? {
                Arrival::Packet { peer, packet } if peer.id() == id => came.push(packet),
                Arrival::Undelivered { peer, packets } | Arrival::Closed { peer, packets }
                    if peer.id() == id =>
                {
                    return Ok((came, packets));
                }
                _ => {}
            }
        }
    }

    /// What has arrived and was not asked for yet.
    pub(super) fn rest(&mut self) -> Checked<Vec<Arrival>> {
        let mut rest = Vec::new();
        while let Ok(Ok(arrival)) = self.arrivals.try_recv() {
            if self.note(&arrival)? {
                rest.push(arrival);
            }
        }
        Ok(rest)
    }

    /// Drops port and receiver; returns when that is done.
    pub(super) async fn gone(mut self) -> Checked {
        self.pump.abort();
        let _ = within("the end of a port", &mut self.pump).await?;
        Ok(())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Waits until a port that listens is reached: opening is local, so whoever dials at once from
/// elsewhere may come too early. The port finds out by dialling itself. What else it receives is
/// no matter here.
pub(super) async fn settle(
    transport: &dyn Transport,
    port: &dyn Port,
    incoming: &mut dyn Incoming,
) -> Checked {
    let Some(address) = port.local() else {
        return Ok(());
    };
    let own = Bytes::from(unique("settle"));
    let reached = async {
        loop {
            let peer = port.dial(address)?;
            send(&peer, own.clone()).await?;
            let told = until(incoming, |arrival| match arrival {
                Arrival::Packet { packet, .. } => *packet == own,
                other => other.peer().id() == peer.id(),
            });
            if let Ok(Some(Arrival::Packet { peer: accepted, .. })) = timeout(LIMIT / 2, told).await
            {
                return Ok((peer, accepted));
            }
        }
    };
    let reached: Checked<(Peer, Peer)> = within("a port that reaches itself", reached).await?;
    // Held until its close is there: a peer that nobody holds is forgotten.
    let (peer, _accepted) = reached?;
    peer.close();
    if transport.capabilities().closed {
        let closed = until(incoming, |arrival| matches!(arrival, Arrival::Closed { .. }));
        let _ = timeout(LIMIT / 10, closed).await;
    }
    Ok(())
}

/// Receives until this arrives; `None` if the port is over.
async fn until(incoming: &mut dyn Incoming, arrives: impl Fn(&Arrival) -> bool) -> Option<Arrival> {
    let mut arrivals = Vec::new();
    loop {
        recv(incoming, &mut arrivals).await.ok()?;
        if let Some(arrival) = arrivals.drain(..).find(&arrives) {
            return Some(arrival);
        }
    }
}
