//! A port that is received from all the time, as an application does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use micro_core::transport::{Arrival, Bind, Incoming, Peer, Port, Refused, Transport as _, recv};
use micro_transport_tcp::{Options, TcpTransport};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Far longer than a loaded machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The options of tests in which nobody is silent for ever, only slow on a loaded machine.
pub(crate) fn patient() -> Options {
    Options::default().with_connect_timeout(LIMIT)
}

pub(crate) struct End {
    pub(crate) transport: TcpTransport,
    pub(crate) port: Arc<dyn Port>,
    arrivals: mpsc::Receiver<Arrival>,
    pump: JoinHandle<()>,
}

impl End {
    /// Listens at an address of its own.
    pub(crate) async fn server(options: Options) -> Self {
        Self::at("127.0.0.1", options).await
    }

    pub(crate) async fn at(address: &str, options: Options) -> Self {
        Self::on(TcpTransport::with_options([address], options).unwrap(), Bind::Any).await
    }

    pub(crate) async fn client(options: Options) -> Self {
        Self::on(TcpTransport::with_options([""; 0], options).unwrap(), Bind::ClientOnly).await
    }

    pub(crate) async fn on(transport: TcpTransport, bind: Bind) -> Self {
        let (port, incoming) = transport.open(bind).await.unwrap();
        Self::pumped(transport, port, incoming)
    }

    pub(crate) fn pumped(
        transport: TcpTransport,
        port: Arc<dyn Port>,
        mut incoming: Box<dyn Incoming>,
    ) -> Self {
        let (sender, arrivals) = mpsc::channel(65_536);
        let pump = tokio::spawn(async move {
            let mut batch = Vec::new();
            while recv(&mut *incoming, &mut batch).await.is_ok() {
                for arrival in batch.drain(..) {
                    if sender.send(arrival).await.is_err() {
                        return;
                    }
                }
            }
        });
        Self { transport, port, arrivals, pump }
    }

    pub(crate) fn address(&self) -> String {
        self.port.local().unwrap().to_owned()
    }

    /// The address without what tells it from others that were there.
    pub(crate) fn place(&self) -> String {
        self.address().split('/').next().unwrap().to_owned()
    }

    pub(crate) fn dial(&self, address: &str) -> Peer {
        self.port.dial(address).unwrap()
    }

    /// Whatever arrives next.
    pub(crate) async fn next(&mut self) -> Arrival {
        let next = tokio::time::timeout(LIMIT, self.arrivals.recv()).await;
        next.expect("nothing arrives").expect("the port is over")
    }

    /// Whatever arrives next, however long that takes.
    pub(crate) async fn next_ever(&mut self) -> Arrival {
        self.arrivals.recv().await.expect("the port is over")
    }

    /// The next packet; nothing else may come before it.
    pub(crate) async fn packet(&mut self) -> (Peer, Bytes) {
        match self.next().await {
            Arrival::Packet { peer, packet } => (peer, packet),
            other => panic!("{other:?} came, and no packet"),
        }
    }

    /// How many packets reached nobody at all; nothing else may come before it.
    pub(crate) async fn undelivered(&mut self) -> u64 {
        match self.next().await {
            Arrival::Undelivered { packets, .. } => packets,
            other => panic!("{other:?} came, and not that nobody is there"),
        }
    }

    /// What comes of the next peer that ends: its packets, and how many of ours were not written.
    pub(crate) async fn closed(&mut self) -> (Vec<Bytes>, u64) {
        let mut came = Vec::new();
        loop {
            match self.next().await {
                Arrival::Packet { packet, .. } => came.push(packet),
                Arrival::Closed { packets, .. } => return (came, packets),
                other => panic!("{other:?} came, and no end"),
            }
        }
    }

    /// What has arrived and was not asked for.
    pub(crate) fn rest(&mut self) -> Vec<Arrival> {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect()
    }

    /// Drops the port and its receiver; returns when that is done.
    pub(crate) async fn gone(mut self) {
        self.pump.abort();
        let _ = (&mut self.pump).await;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Sends, and waits for room where there is none; false once the peer takes nothing any more.
pub(crate) async fn send(peer: &Peer, packet: impl Into<Bytes>) -> bool {
    let mut packet = packet.into();
    loop {
        packet = match peer.try_send(packet) {
            Ok(()) => return true,
            Err(Refused::Full(packet)) => packet,
            Err(Refused::Closed(_)) => return false,
            Err(refused) => panic!("{refused:?}"),
        };
        let ready = tokio::time::timeout(LIMIT, peer.ready()).await.expect("never ready");
        if ready.is_err() {
            return false;
        }
    }
}

/// Asks until it holds.
pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let asked = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| panic!("never: {what}"));
}
