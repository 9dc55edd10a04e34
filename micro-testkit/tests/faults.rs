//! The suites notice: with each fault the check that is named for it fails, without any all pass.

use std::fmt::Debug;
use std::sync::Arc;

use micro_core::{Broker, Registry, Transport, async_trait};
use micro_memory::{Memory, MemoryOptions};
use micro_testkit::faults::{
    BrokerFault, FaultyBroker, FaultyRegistry, FaultyTransport, RegistryFault, TransportFault,
};
use micro_testkit::{Check, broker, registry, transport};

/// A world whose handles have a fault.
struct World<F> {
    memory: Memory,
    fault: Option<F>,
}

impl<F> World<F> {
    fn new(fault: impl Into<Option<F>>) -> Self {
        let options = MemoryOptions::default()
            .with_subscription_events(64)
            .with_max_packet(1 << 20)
            .with_max_body(1 << 20);
        Self { memory: Memory::with_options(options), fault: fault.into() }
    }
}

#[async_trait]
impl registry::Fixture for World<RegistryFault> {
    async fn registry(&self) -> Arc<dyn Registry> {
        Arc::new(FaultyRegistry::new(Arc::new(self.memory.registry()), self.fault))
    }
}

#[async_trait]
impl transport::Fixture for World<TransportFault> {
    async fn transport(&self) -> Arc<dyn Transport> {
        Arc::new(FaultyTransport::new(Arc::new(self.memory.transport()), self.fault))
    }
}

#[async_trait]
impl broker::Fixture for World<BrokerFault> {
    async fn broker(&self) -> Arc<dyn Broker> {
        Arc::new(FaultyBroker::new(Arc::new(self.memory.broker()), self.fault))
    }

    fn buffer(&self) -> usize {
        64
    }
}

/// The check of this name fails, and says that it is this one.
async fn is_caught<F: ?Sized>(
    fault: impl Debug,
    name: &str,
    suite: Vec<Check<F>>,
    fixture: &F,
) -> Result<(), String> {
    let Some(check) = suite.into_iter().find(|check| check.name == name) else {
        return Err(format!("{fault:?}: there is no check {name}"));
    };
    match check.run(fixture).await {
        Err(failure) if failure.check() == name && !failure.message().is_empty() => Ok(()),
        Err(failure) => Err(format!("{fault:?}: {name} failed as {failure}")),
        Ok(()) => Err(format!("{fault:?} is not noticed by {name}")),
    }
}

/// Collects what was not as it should be, so that one run tells it all.
fn none(unnoticed: Vec<String>) {
    assert!(unnoticed.is_empty(), "{unnoticed:#?}");
}

// The clock stands still while anybody can do something, so a wait in vain takes no time.

#[tokio::test(start_paused = true)]
async fn without_a_fault_every_check_passes() {
    let outcomes = [
        registry::run(&World::new(None)).await,
        transport::run(&World::new(None)).await,
        broker::run(&World::new(None)).await,
    ];
    for outcome in outcomes {
        assert!(outcome.is_ok(), "{outcome:#?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_registry_is_caught_by_its_check() {
    let mut unnoticed = Vec::new();
    for &fault in RegistryFault::ALL {
        let world = World::new(fault);
        let suite = registry::suite();
        let caught = is_caught::<dyn registry::Fixture>(fault, fault.caught_by(), suite, &world);
        unnoticed.extend(caught.await.err());
    }
    none(unnoticed);
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_transport_is_caught_by_its_check() {
    let mut unnoticed = Vec::new();
    for &fault in TransportFault::ALL {
        let world = World::new(fault);
        let suite = transport::suite();
        let caught = is_caught::<dyn transport::Fixture>(fault, fault.caught_by(), suite, &world);
        unnoticed.extend(caught.await.err());
    }
    none(unnoticed);
}

#[tokio::test(start_paused = true)]
async fn every_fault_of_a_broker_is_caught_by_its_check() {
    let mut unnoticed = Vec::new();
    for &fault in BrokerFault::ALL {
        let world = World::new(fault);
        let suite = broker::suite();
        let caught = is_caught::<dyn broker::Fixture>(fault, fault.caught_by(), suite, &world);
        unnoticed.extend(caught.await.err());
    }
    none(unnoticed);
}
