//! The memory backends keep the contracts, also behind `Box` and `Arc`.

use std::sync::Arc;

use micro_core::{Broker, Registry, Transport, async_trait};
use micro_memory::{Memory, MemoryOptions};
use micro_testkit::{broker, registry, transport};

/// A world with small capacities, so that what can fill up does.
struct World(Memory);

impl World {
    fn start() -> Self {
        let options = MemoryOptions::default()
            .with_subscription_events(64)
            .with_max_packet(1 << 20)
            .with_max_body(1 << 20);
        Self(Memory::with_options(options))
    }
}

#[async_trait]
impl registry::Fixture for World {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(self.0.registry())
    }
}

#[async_trait]
impl transport::Fixture for World {
    async fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(self.0.transport())
    }
}

#[async_trait]
impl broker::Fixture for World {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(self.0.broker())
    }

    fn buffer(&self) -> usize {
        64
    }
}

mod registry_keeps {
    micro_testkit::registry_suite!(async { super::World::start() });
}

mod transport_keeps {
    micro_testkit::transport_suite!(async { super::World::start() });
}

mod broker_keeps {
    micro_testkit::broker_suite!(async { super::World::start() });
}
