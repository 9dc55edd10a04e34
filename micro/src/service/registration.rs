//! That a service stays registered, at the address where it is reached.

use std::sync::Arc;

use arc_swap::ArcSwap;
use micro_core::registry::{Node, RegisterOptions, Service as Record};
use micro_core::transport::Port;
use micro_core::{Error, Registry, Result};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Times;

/// What a service is registered as.
pub(super) struct Registration {
    registry: Arc<dyn Registry>,
    port: Arc<dyn Port>,
    /// What the port is asked for: the address that was given, or else its own.
    address: String,
    record: ArcSwap<Record>,
    times: Times,
}

impl Registration {
    /// `record`: has one node, at the place that the port made of `address`. Nothing is registered
    /// yet.
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        port: Arc<dyn Port>,
        address: String,
        record: Record,
        times: Times,
    ) -> Self {
        Self { registry, port, address, record: ArcSwap::from_pointee(record), times }
    }

    /// The node as it is registered now.
    pub(super) fn node(&self) -> Node {
        // There is one, from the start.
        self.record.load().nodes[0].clone()
    }

    pub(super) async fn register(&self) -> Result<()> {
        let options = RegisterOptions::default().with_ttl(self.times.register_ttl);
        self.registry.register(&self.record.load_full(), options).await
    }

    pub(super) async fn deregister(&self) -> Result<()> {
        self.registry.deregister(&self.record.load_full()).await
    }

    /// Registers again, as long as anybody could be served.
    pub(super) async fn renew(self: Arc<Self>, mut over: watch::Receiver<Option<Arc<Error>>>) {
        let service = self.record.load().name.clone();
        let mut ticks = tokio::time::interval(self.times.register_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is now, and that has been done.
        ticks.tick().await;
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = ended(&mut over) => {
                    if let Err(error) = self.deregister().await {
                        tracing::warn!(service, %error, "could not deregister");
                    }
                    return;
                }
            }
            self.follow();
            if let Err(error) = self.register().await {
                tracing::warn!(service, %error, "could not renew the registration");
            }
        }
    }

    /// Takes over the address at which the port is reached now.
    fn follow(&self) {
        let record = self.record.load_full();
        let (service, Node { id: node, address: before, .. }) = (&record.name, &record.nodes[0]);
        match self.port.advertise(&self.address) {
            Ok(address) if address == *before => {}
            Ok(address) => {
                tracing::info!(service, node, before, address, "reached at another address");
                let mut moved = Record::clone(&record);
                moved.nodes[0].address = address;
                self.record.store(Arc::new(moved));
            }
            Err(error) => {
                tracing::warn!(service, node, address = before, %error, "its address stays");
            }
        }
    }
}

/// Returns when the server's port is over.
async fn ended(over: &mut watch::Receiver<Option<Arc<Error>>>) {
    // An error means that the server itself is gone.
    let _ = over.wait_for(Option::is_some).await;
}
