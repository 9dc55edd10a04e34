//! A service that serves.

use std::fmt;
use std::sync::Arc;

use micro_core::registry::{Node, RegisterOptions, Service as Record};
use micro_core::{Registry, Result};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::AbortOnDropHandle;

use super::Times;
use crate::backends::Backends;
use crate::client::Client;
use crate::server::RunningServer;

/// A service that serves, until it is [stopped](Self::stop). Dropping it ends everything at once
/// and says goodbye to nobody.
pub struct Running {
    record: Arc<Record>,
    server: RunningServer,
    backends: Backends,
    client: Client,
    times: Times,
    renew: AbortOnDropHandle<()>,
}

impl Running {
    pub(super) async fn start(
        record: Record,
        server: RunningServer,
        backends: Backends,
        client: Client,
        times: Times,
    ) -> Result<Self> {
        let record = Arc::new(record);
        let options = RegisterOptions::default().with_ttl(times.register_ttl);
        backends.registry.register(&record, options).await?;
        let renewing = renew(backends.registry.clone(), record.clone(), times);
        let renew = AbortOnDropHandle::new(tokio::spawn(renewing));
        let running = Self { record, server, backends, client, times, renew };
        tracing::info!(
            service = running.name(),
            node = running.node().id,
            address = running.node().address,
            "serving"
        );
        Ok(running)
    }

    /// The name that callers ask for.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// As what it is registered.
    pub fn node(&self) -> &Node {
        // There is one, from the start.
        &self.record.nodes[0]
    }

    /// A client over the same backends.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Deregisters, serves on until hardly any call comes any more, stops listening, finishes
    /// what was accepted and flushes. At the latest after the builder's
    /// [`stop_timeout`](super::ServiceBuilder::stop_timeout) it ends as it is.
    ///
    /// # Errors
    /// `Timeout` if something was still being served then; `Unavailable` if the goodbye or the
    /// last replies could not be sent.
    pub async fn stop(self) -> Result<()> {
        let limit = Instant::now() + self.times.stop_timeout;
        drop(self.renew);
        let name = &self.record.name;
        let goodbye =
            tokio::time::timeout_at(limit, self.backends.registry.deregister(&self.record)).await;
        if let Ok(Err(error)) = &goodbye {
            tracing::warn!(service = name, %error, "could not deregister");
        }
        let served = self.server.stop(limit).await;
        let flushed = match tokio::time::timeout_at(limit, self.client.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => Err(micro_core::Error::timeout("the last messages could not be sent")),
        };
        tracing::info!(service = name, "stopped");
        served.and(flushed)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", self.node()).finish_non_exhaustive()
    }
}

/// Registers again, for ever.
async fn renew(registry: Arc<dyn Registry>, record: Arc<Record>, times: Times) {
    let mut ticks = tokio::time::interval(times.register_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now, and that has been done.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let options = RegisterOptions::default().with_ttl(times.register_ttl);
        if let Err(error) = registry.register(&record, options).await {
            tracing::warn!(service = record.name, %error, "could not renew the registration");
        }
    }
}
