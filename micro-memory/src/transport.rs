//! Packets inside one process.

mod link;
mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use micro_core::transport::{Arrival, Bind, Capabilities, Incoming, Peer, PeerId, Port, Transport};
use micro_core::{Error, ErrorKind, PluginConfig, Reach, Result, async_trait};

use self::link::{Connection, End};
use self::queue::{Item, Queue};
use crate::{Memory, MemoryOptions};

/// A transport that reaches this process alone. It tells everything that a transport can tell.
///
/// An address is any text without white space and control characters. A peer ends with its last
/// clone as if it had been closed, and a port with its [`Incoming`]: the other ends are told.
#[derive(Clone, Debug)]
pub struct MemoryTransport(Arc<World>);

/// Who listens where.
pub(crate) struct World {
    listening: Mutex<HashMap<String, Arc<Shared>>>,
    limits: Limits,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    packets: usize,
    bytes: usize,
    max_packet: usize,
}

/// What a port, its receiver and its peers share.
struct Shared {
    world: Arc<World>,
    local: Option<String>,
    queue: Queue,
    /// How many peers it has had.
    peers: AtomicU64,
    connections: Mutex<Connections>,
}

/// The connections of a port, by the peers at its ends.
type Connections = HashMap<PeerId, (Weak<Connection>, End)>;

struct MemoryPort(Arc<Shared>);

/// The receiver. When it is dropped, the port is over.
struct Receiver(Arc<Shared>);

impl MemoryTransport {
    /// A transport with a world of its own. It has no use for addresses and takes them only to be
    /// made as every other transport is.
    ///
    /// # Errors
    /// None.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        drop(addresses);
        Ok(Self::default())
    }

    /// As [`new`](Self::new): nothing can be configured.
    ///
    /// # Errors
    /// None.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::new(&config.addresses)
    }

    /// A transport of this world.
    pub fn with(memory: &Memory) -> Self {
        Self(memory.transport.clone())
    }
}

/// A transport with a world of its own.
impl Default for MemoryTransport {
    fn default() -> Self {
        Self::with(&Memory::new())
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let local = match bind {
            Bind::Any => Some(format!("memory-{}", uuid::Uuid::new_v4())),
            Bind::Address(address) => Some(checked(&address)?.to_owned()),
            Bind::ClientOnly => None,
            _ => return Err(Error::unsupported("the memory transport cannot bind like this")),
        };
        let shared = Arc::new(Shared {
            world: self.0.clone(),
            local: local.clone(),
            queue: Queue::default(),
            peers: AtomicU64::new(0),
            connections: Mutex::default(),
        });
        if let Some(local) = local {
            let mut listening = self.0.listening();
            if listening.contains_key(&local) {
                let taken = format!("somebody listens at {local:?} already");
                return Err(Error::new(ErrorKind::Conflict, taken));
            }
            listening.insert(local, shared.clone());
        }
        Ok((Arc::new(MemoryPort(shared.clone())), Box::new(Receiver(shared))))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
            .with_undelivered(true)
            .with_closed(true)
            .with_reliable(true)
            .with_max_packet(self.0.limits.max_packet)
            .with_reach(Reach::Process)
    }
}

#[async_trait]
impl Port for MemoryPort {
    fn local(&self) -> Option<&str> {
        self.0.local.as_deref()
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        Ok(Connection::dial(&self.0, checked(address)?))
    }

    async fn stop_listening(&self) -> Result<()> {
        self.0.stop_listening();
        Ok(())
    }

    async fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl Incoming for Receiver {
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        let before = out.len();
        loop {
            let Poll::Ready(items) = self.0.queue.poll_take(cx) else {
                return Poll::Pending;
            };
            // What was for a peer that has been closed since, nobody hears.
            out.extend(items.into_iter().filter_map(Item::arrive));
            if out.len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.0.stop_listening();
        for item in self.0.queue.end() {
            item.bury();
        }
        let connections = std::mem::take(&mut *self.0.connections());
        for (connection, end) in connections.into_values() {
            if let Some(connection) = connection.upgrade() {
                connection.close(end);
            }
        }
    }
}

impl World {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            listening: Mutex::default(),
            limits: Limits {
                packets: options.port_packets,
                bytes: options.port_bytes,
                max_packet: options.max_packet,
            },
        }
    }

    fn listening(&self) -> MutexGuard<'_, HashMap<String, Arc<Shared>>> {
        // Nothing panics while it holds the lock.
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listener(&self, address: &str) -> Option<Arc<Shared>> {
        self.listening().get(address).cloned()
    }
}

impl Shared {
    fn stop_listening(self: &Arc<Self>) {
        let Some(local) = &self.local else {
            return;
        };
        let mut listening = self.world.listening();
        // The address may be another port's by now.
        if listening.get(local).is_some_and(|port| Arc::ptr_eq(port, self)) {
            listening.remove(local);
        }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        // Nothing panics while it holds the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_peer(&self) -> PeerId {
        PeerId(self.peers.fetch_add(1, Ordering::Relaxed))
    }
}

fn checked(address: &str) -> Result<&str> {
    let flaw = if address.is_empty() {
        "is empty"
    } else if address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        "contains white space or a control character"
    } else {
        return Ok(address);
    };
    Err(Error::invalid_input(format!("{address:?} is no address: it {flaw}")))
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("listening", &self.listening().len())
            .field("limits", &self.limits)
            .finish()
    }
}
