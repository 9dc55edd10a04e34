//! A service that serves.

use std::fmt;
use std::sync::Arc;

use micro_core::registry::{Node, RegisterOptions, Service as Record};
use micro_core::{Error, Registry, Result};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::Times;
use crate::backends::Backends;
use crate::client::Client;
use crate::clock::after;
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
        let renewing = renew(backends.registry.clone(), record.clone(), times, server.over());
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

    /// Returns, with the reason, when it cannot serve any more: its port is over. It is
    /// deregistered then. Cancel safe.
    pub async fn failed(&self) -> Error {
        let mut over = self.server.over();
        let reason = match over.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            Err(_) => None,
        };
        match reason {
            Some(error) => Error::new(error.kind(), error.detail()),
            None => Error::unavailable("the server has ended"),
        }
    }

    /// Deregisters, serves on until hardly any call comes any more, stops listening, finishes
    /// what was accepted and flushes. At the latest after the builder's
    /// [`stop_timeout`](super::ServiceBuilder::stop_timeout) it ends as it is.
    ///
    /// # Errors
    /// `Timeout` if something was still being served then; `Unavailable` if the goodbye or the
    /// last replies could not be sent.
    pub async fn stop(self) -> Result<()> {
        let limit = after(self.times.stop_timeout);
        // Only when it has ended can it not register again.
        self.renew.abort();
        let _ = self.renew.await;
        let name = &self.record.name;
        let goodbye =
            tokio::time::timeout_at(limit, self.backends.registry.deregister(&self.record)).await;
        let late = || Err(Error::unavailable("the service could not be deregistered in time"));
        let goodbye = goodbye.unwrap_or_else(|_| late());
        let served = self.server.stop(limit).await;
        let flushed = match tokio::time::timeout_at(limit, self.client.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => Err(Error::timeout("the last messages could not be sent")),
        };
        tracing::info!(service = name, "stopped");
        served.and(flushed).and(goodbye)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", self.node()).finish_non_exhaustive()
    }
}

/// Registers again, as long as anybody could be served.
async fn renew(
    registry: Arc<dyn Registry>,
    record: Arc<Record>,
    times: Times,
    mut over: watch::Receiver<Option<Arc<Error>>>,
) {
    let mut ticks = tokio::time::interval(times.register_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is now, and that has been done.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = ended(&mut over) => {
                if let Err(error) = registry.deregister(&record).await {
                    tracing::warn!(service = record.name, %error, "could not deregister");
                }
                return;
            }
        }
        let options = RegisterOptions::default().with_ttl(times.register_ttl);
        if let Err(error) = registry.register(&record, options).await {
            tracing::warn!(service = record.name, %error, "could not renew the registration");
        }
    }
}

/// Returns when the server's port is over.
async fn ended(over: &mut watch::Receiver<Option<Arc<Error>>>) {
    // An error means that the server itself is gone.
    let _ = over.wait_for(Option::is_some).await;
}
