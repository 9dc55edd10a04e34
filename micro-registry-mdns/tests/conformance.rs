//! The contract of the interface, over multicast on loopback, also behind `Box` and `Arc`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use micro_core::{Registry, async_trait};
use micro_registry_mdns::MdnsRegistry;
use micro_testkit::registry;
use support::Loopback;

#[async_trait]
impl registry::Fixture for Loopback {
    async fn registry(&self) -> Arc<dyn Registry> {
        let options = self
            .options()
            .with_lease(Duration::from_secs(1))
            .with_query_limit(Duration::from_millis(400));
        Arc::new(MdnsRegistry::with_options(options).expect("good options"))
    }

    fn too_large(&self) -> Option<usize> {
        Some(2 << 20)
    }
}

micro_testkit::registry_suite!(async { Loopback::new() });

/// The same, behind the pointers that forward.
struct Boxed(Loopback);

#[async_trait]
impl registry::Fixture for Boxed {
    async fn registry(&self) -> Arc<dyn Registry> {
        let shared: Arc<dyn Registry> = registry::Fixture::registry(&self.0).await;
        let boxed: Box<dyn Registry> = Box::new(shared);
        Arc::new(boxed)
    }

    fn too_large(&self) -> Option<usize> {
        registry::Fixture::too_large(&self.0)
    }
}

mod boxed {
    use super::{Boxed, Loopback};

    micro_testkit::registry_suite!(async { Boxed(Loopback::new()) });
}
