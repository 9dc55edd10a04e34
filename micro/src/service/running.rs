//! A service that serves.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::Node;
use micro_core::{Error, Result};
use tokio_util::task::AbortOnDropHandle;

use super::registration::Registration;
use crate::client::Client;
use crate::clock::after;
use crate::server::RunningServer;

/// A service that serves, until it is [stopped](Self::stop). Dropping it ends everything at once
/// and says goodbye to nobody.
pub struct Running {
    name: String,
    registration: Arc<Registration>,
    server: RunningServer,
    client: Client,
    stop_timeout: Duration,
    renew: AbortOnDropHandle<()>,
}

impl Running {
    pub(super) async fn start(
        name: String,
        registration: Registration,
        server: RunningServer,
        client: Client,
        stop_timeout: Duration,
    ) -> Result<Self> {
        registration.register().await?;
        let registration = Arc::new(registration);
        let renewing = registration.clone().renew(server.over());
        let renew = AbortOnDropHandle::new(tokio::spawn(renewing));
        let node = registration.node();
        tracing::info!(service = name, node = node.id, address = node.address, "serving");
        Ok(Self { name, registration, server, client, stop_timeout, renew })
    }

    /// The name that callers ask for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As what it is registered now: over a transport whose addresses are those of this machine, its
    /// address follows the network of that, at each renewal of the registration.
    pub fn node(&self) -> Node {
        self.registration.node()
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
        let limit = after(self.stop_timeout);
        // Only when it has ended can it not register again.
        self.renew.abort();
        let _ = self.renew.await;
        let goodbye = tokio::time::timeout_at(limit, self.registration.deregister()).await;
        let late = || Err(Error::unavailable("the service could not be deregistered in time"));
        let goodbye = goodbye.unwrap_or_else(|_| late());
        let served = self.server.stop(limit).await;
        let flushed = match tokio::time::timeout_at(limit, self.client.flush()).await {
            Ok(flushed) => flushed,
            Err(_) => Err(Error::timeout("the last messages could not be sent")),
        };
        tracing::info!(service = self.name, "stopped");
        served.and(flushed).and(goodbye)
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("node", &self.node()).finish_non_exhaustive()
    }
}
