//! Follows a watcher, and fails the check when it tells what cannot be.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use micro_core::Registry;
use micro_core::registry::{Change, Service, ServiceName, WatchOptions, Watcher};
use tokio::time::Instant;

use super::well_formed;
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, within, within_limit};

/// A watcher and the state that its changes add up to.
pub(super) struct Observer {
    watcher: Watcher,
    name: Option<ServiceName>,
    state: BTreeMap<(String, String), Arc<Service>>,
    /// Whether the present state has been told.
    pub(super) synced: bool,
}

impl Observer {
    /// Watches one name, or all.
    pub(super) async fn new(registry: &dyn Registry, name: Option<&ServiceName>) -> Checked<Self> {
        let mut options = WatchOptions::default();
        options.name = name.cloned();
        let watcher = within("watch", registry.watch(options)).await??;
        Ok(Self { watcher, name: name.cloned(), state: BTreeMap::new(), synced: false })
    }

    /// Watches one name, and reads the present state.
    pub(super) async fn of(registry: &dyn Registry, name: &ServiceName) -> Checked<Self> {
        let mut observer = Self::new(registry, Some(name)).await?;
        observer.until("the present state", |seen| seen.synced).await?;
        Ok(observer)
    }

    /// The next change, `None` at the end of the stream; at most [`LIMIT`].
    pub(super) async fn next(&mut self, what: &str) -> Checked<Option<Change>> {
        let change = within(what, self.watcher.next()).await?;
        if let Some(change) = &change {
            self.take(change)?;
        }
        Ok(change)
    }

    /// Reads until the condition holds.
    pub(super) async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Checked {
        self.until_within(LIMIT, what, holds).await
    }

    pub(super) async fn until_within(
        &mut self,
        limit: Duration,
        what: &str,
        holds: impl Fn(&Self) -> bool,
    ) -> Checked {
        let deadline = Instant::now() + limit;
        while !holds(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(change) = within_limit(left, what, self.watcher.next()).await else {
                let state = self.state.values();
                return Err(Failure::new(format!(
                    "{what}: not seen within {limit:?}; synced: {}, state: {:?}",
                    self.synced,
                    state.collect::<Vec<_>>()
                )));
            };
            let Some(change) = change else {
                return Err(Failure::new(format!("{what}: the watcher ended")));
            };
            self.take(&change)?;
        }
        Ok(())
    }

    /// The state of a name so far.
    pub(super) fn services(&self, name: &ServiceName) -> Vec<Service> {
        let of_name = self.state.values().filter(|service| service.name == name.as_str());
        of_name.map(|service| Service::clone(service)).collect()
    }

    /// The ids of the nodes of a name and version so far, in order.
    pub(super) fn ids(&self, name: &ServiceName, version: &str) -> Vec<String> {
        let services = self.services(name);
        super::ids(&services, version).into_iter().map(str::to_owned).collect()
    }

    /// The stream itself, to be polled by hand.
    pub(super) fn watcher(&mut self) -> Pin<&mut Watcher> {
        Pin::new(&mut self.watcher)
    }

    fn take(&mut self, change: &Change) -> Checked {
        if let Change::Added(service) | Change::Updated(service) | Change::Removed(service) = change
        {
            let meant = self.name.as_ref().is_none_or(|name| name.as_str() == service.name);
            ensure!(meant, "a watcher of {:?} told of another name: {change:?}", self.name);
        }
        match change {
            Change::Added(service) => {
                well_formed(&[Service::clone(service)])?;
                let old = self.state.insert(key(service), service.clone());
                ensure!(old.is_none(), "it was added twice: {change:?}, before: {old:?}");
            }
            Change::Updated(service) => {
                well_formed(&[Service::clone(service)])?;
                let old = self.state.insert(key(service), service.clone());
                ensure!(old.is_some(), "it was updated before it was added: {change:?}");
                ensure!(old.as_ref() != Some(service), "nothing was updated: {change:?}");
            }
            Change::Removed(service) => {
                let old = self.state.remove(&key(service));
                ensure!(old.is_some(), "it was removed but had not been there: {change:?}");
            }
            Change::Synced => {
                ensure!(!self.synced, "Synced came twice");
                self.synced = true;
            }
            other => return Err(Failure::new(format!("an unknown change: {other:?}"))),
        }
        Ok(())
    }
}

fn key(service: &Service) -> (String, String) {
    (service.name.clone(), service.version.clone())
}
