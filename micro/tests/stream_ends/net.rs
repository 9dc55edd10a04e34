//! A network in memory that can be away, lose what was on the way, and tell what was sent.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};

use micro::memory::Memory;
use micro::transport::{
    Arrival, Bind, Capabilities, Incoming, Link, Peer, PeerId, Port, Refused, Transport,
};
use micro::{Bytes, Client, ClientOptions, Header, Result, Service, ServiceBuilder};
use micro_core::async_trait;
use micro_core::wire::envelope;
use tokio::sync::watch;
use tokio::time::Instant;

/// One process's way to the network of this memory.
#[derive(Clone)]
pub(crate) struct Net {
    memory: Memory,
    wire: Arc<Wire>,
}

struct Wire {
    interruptions: AtomicU64,
    /// Attempts that found it away.
    refused: AtomicU64,
    takes: watch::Sender<bool>,
    sent: Mutex<Vec<(Instant, Bytes)>>,
}

impl Net {
    pub(crate) fn new(memory: &Memory) -> Self {
        let (interruptions, refused) = (AtomicU64::new(0), AtomicU64::new(0));
        let (takes, sent) = (watch::Sender::new(true), Mutex::default());
        let wire = Wire { interruptions, refused, takes, sent };
        Self { memory: memory.clone(), wire: Arc::new(wire) }
    }

    pub(crate) fn service(&self, name: &str) -> ServiceBuilder {
        Service::builder(name)
            .registry(self.memory.registry())
            .transport(self.clone())
            .broker(self.memory.broker())
    }

    pub(crate) fn client(&self, options: ClientOptions) -> Client {
        let client = Client::builder().registry(self.memory.registry()).transport(self.clone());
        client.broker(self.memory.broker()).options(options).build().unwrap()
    }

    /// Says that packets may have been lost.
    pub(crate) fn interrupt(&self) {
        self.wire.interruptions.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it takes packets from now on.
    pub(crate) fn takes(&self, packets: bool) {
        self.wire.takes.send_replace(packets);
    }

    /// How many attempts to send found it away.
    pub(crate) fn refused(&self) -> u64 {
        self.wire.refused.load(Ordering::SeqCst)
    }

    /// When each packet was sent, and its header.
    pub(crate) fn sent(&self) -> Vec<(Instant, Header)> {
        let sent = self.wire.sent.lock().unwrap();
        sent.iter().map(|(at, packet)| (*at, envelope::decode(packet).unwrap().0)).collect()
    }
}

#[async_trait]
impl Transport for Net {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let (port, incoming) = self.memory.transport().open(bind).await?;
        let wire = self.wire.clone();
        let incoming = Box::new(NetIncoming(incoming, wire.clone()));
        Ok((Arc::new(NetPort(port, wire)), incoming))
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.transport().capabilities()
    }
}

struct NetPort(Arc<dyn Port>, Arc<Wire>);

#[async_trait]
impl Port for NetPort {
    fn local(&self) -> Option<&str> {
        self.0.local()
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        Ok(wrapped(self.0.dial(address)?, &self.1))
    }

    async fn stop_listening(&self) -> Result<()> {
        self.0.stop_listening().await
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }

    fn interruptions(&self) -> u64 {
        self.1.interruptions.load(Ordering::SeqCst)
    }
}

struct NetIncoming(Box<dyn Incoming>, Arc<Wire>);

impl Incoming for NetIncoming {
    fn poll_recv(&mut self, cx: &mut TaskContext<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        let known = out.len();
        let polled = self.0.poll_recv(cx, out);
        for arrival in &mut out[known..] {
            if let Arrival::Packet { peer, .. } = arrival {
                *peer = wrapped(peer.clone(), &self.1);
            }
        }
        polled
    }
}

fn wrapped(peer: Peer, wire: &Arc<Wire>) -> Peer {
    Peer::new(Arc::new(NetLink(peer, wire.clone())))
}

struct NetLink(Peer, Arc<Wire>);

#[async_trait]
impl Link for NetLink {
    fn id(&self) -> PeerId {
        self.0.id()
    }

    fn accepted(&self) -> bool {
        self.0.accepted()
    }

    fn remote(&self) -> &str {
        self.0.remote()
    }

    fn max_packet(&self) -> usize {
        self.0.max_packet()
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        if !*self.1.takes.borrow() {
            self.1.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Refused::Full(packet));
        }
        self.0.try_send(packet.clone())?;
        self.1.sent.lock().unwrap().push((Instant::now(), packet));
        Ok(())
    }

    async fn ready(&self) -> Result<()> {
        // The sender is in what this holds.
        let _ = self.1.takes.subscribe().wait_for(|takes| *takes).await;
        self.0.ready().await
    }

    fn close(&self) {
        self.0.close();
    }
}
