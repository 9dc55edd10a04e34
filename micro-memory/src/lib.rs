#![doc = include_str!("../README.md")]

mod broker;
mod config;
mod registry;
mod transport;

use std::sync::Arc;

// Each also under the name that every plugin of its kind uses.
pub use self::broker::{MemoryBroker, MemoryBroker as Broker};
pub use self::config::{MemoryOptions, MemoryOptions as Options};
pub use self::registry::{MemoryRegistry, MemoryRegistry as Registry};
pub use self::transport::{MemoryTransport, MemoryTransport as Transport};

/// The name by which flags choose each of the three.
pub const NAME: &str = "memory";

/// A world of its own: what is registered, listened at and published in it is seen by whoever
/// has a clone, and by nobody else. Cheap to clone; the world ends with its last handle.
#[derive(Clone, Debug)]
pub struct Memory {
    registry: Arc<registry::World>,
    transport: Arc<transport::World>,
    broker: Arc<broker::World>,
}

impl Memory {
    /// An empty world.
    pub fn new() -> Self {
        Self::with_options(MemoryOptions::default())
    }

    /// An empty world with capacities of one's own.
    pub fn with_options(options: MemoryOptions) -> Self {
        Self {
            registry: Arc::new(registry::World::new(&options)),
            transport: Arc::new(transport::World::new(&options)),
            broker: Arc::new(broker::World::new(&options)),
        }
    }

    /// A registry of this world.
    pub fn registry(&self) -> MemoryRegistry {
        MemoryRegistry::with(self)
    }

    /// A transport of this world.
    pub fn transport(&self) -> MemoryTransport {
        MemoryTransport::with(self)
    }

    /// A broker of this world.
    pub fn broker(&self) -> MemoryBroker {
        MemoryBroker::with(self)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}
