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

/// The same world, each handle behind two pointers.
struct Pointers(World);

#[async_trait]
impl registry::Fixture for Pointers {
    async fn registry(&self) -> Arc<dyn Registry> {
        let shared: Arc<dyn Registry> = Arc::new(self.0.0.registry());
        let boxed: Box<dyn Registry> = Box::new(shared);
        Arc::new(boxed)
    }
}

#[async_trait]
impl transport::Fixture for Pointers {
    async fn transport(&self) -> Arc<dyn Transport> {
        let shared: Arc<dyn Transport> = Arc::new(self.0.0.transport());
        let boxed: Box<dyn Transport> = Box::new(shared);
        Arc::new(boxed)
    }
}

#[async_trait]
impl broker::Fixture for Pointers {
    async fn broker(&self) -> Arc<dyn Broker> {
        let shared: Arc<dyn Broker> = Arc::new(self.0.0.broker());
        let boxed: Box<dyn Broker> = Box::new(shared);
        Arc::new(boxed)
    }

    fn buffer(&self) -> usize {
        64
    }
}

#[tokio::test(start_paused = true)]
async fn the_contracts_hold_behind_box_and_arc() {
    let pointers = Pointers(World::start());
    registry::run(&pointers).await.unwrap();
    transport::run(&pointers).await.unwrap();
    broker::run(&pointers).await.unwrap();
}
