//! The registry itself: what callers see.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use micro_core::registry::{
    Capabilities, RegisterOptions, Registry, Service, ServiceName, WatchOptions, Watcher,
};
use micro_core::{Error, PluginConfig, Result, async_trait};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::warn;

use crate::NAME;
use crate::address;
use crate::config::Options;
use crate::driver::{Shared, drive};
use crate::interfaces::{self, Interface};
use crate::net::Net;
use crate::state::{Found, State};

/// How long a call waits until the task has sent what it was told.
const SENT: Duration = Duration::from_secs(1);

/// Services found by multicast DNS on the networks of this machine, without any server.
///
/// Cheap to clone; all clones are the same registry. Making one does no I/O and needs no runtime.
/// One background task, started by the first use, does all the work; it ends with the last handle
/// or with [`close`](Registry::close).
///
/// A node whose process dies leaves every view at the end of its lease ([`Options::lease`]), after
/// it was asked and did not answer.
#[derive(Clone)]
pub struct MdnsRegistry(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    task: Mutex<Task>,
}

#[derive(Debug)]
enum Task {
    /// Nobody has used the registry yet.
    Unused,
    Started(AbortHandle),
    /// For good: whoever is late does not start another one.
    Ended,
}

impl MdnsRegistry {
    /// A registry on these interfaces, each a name (`eth0`), an IP address of this machine,
    /// `loopback`, or a comma-separated list of such; none means all that are up.
    ///
    /// # Errors
    /// `InvalidInput`, naming what cannot be an interface. Whether it is there is seen by whoever
    /// uses the registry: `Unavailable`.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let interfaces = Interface::parse_list(addresses)?;
        Self::with_options(Options::default().with_interfaces(interfaces))
    }

    /// As [`new`](Self::new), with the interfaces and the namespace that the flags say.
    ///
    /// # Errors
    /// As for `new`; `InvalidInput` if the namespace is none.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::with_options(Options::from_config(config)?)
    }

    /// A registry with these options.
    ///
    /// # Errors
    /// `InvalidInput`, naming the option.
    pub fn with_options(options: Options) -> Result<Self> {
        options.check()?;
        let shared = Arc::new(Shared::new(options));
        Ok(Self(Arc::new(Handle { shared, task: Mutex::new(Task::Unused) })))
    }

    /// How many records of others were dropped because they meant nothing or found no room.
    pub fn dropped_records(&self) -> u64 {
        self.0.shared.state().dropped()
    }

    /// # Errors
    /// As for [`run`](Self::run); `Unavailable` after [`close`](Registry::close).
    fn start(&self) -> Result<()> {
        self.0.shared.state().check_open()?;
        self.run()
    }

    /// Sees to it that the task runs, which does all the work.
    ///
    /// # Errors
    /// `Unavailable`: none of the interfaces is there, or the port cannot be had.
    fn run(&self) -> Result<()> {
        let shared = &self.0.shared;
        let mut task = self.0.task();
        match &*task {
            Task::Ended => return Err(Error::unavailable("the registry is closed")),
            // It may have ended with its runtime.
            Task::Started(task) if !task.is_finished() => return Ok(()),
            Task::Unused | Task::Started(_) => {}
        }
        let net = Net::open(&shared.options)?;
        shared.state().resume(Instant::now());
        // It keeps no handle: it ends with the last one.
        *task = Task::Started(tokio::spawn(drive(shared.clone(), net)).abort_handle());
        Ok(())
    }

    /// A node that only this machine can dial is told on loopback alone, which may not be used.
    fn warn_of_nobody(&self, service: &Service) {
        let local = service.nodes.iter().find(|node| address::is_local(&node.address));
        let Some(node) = local else { return };
        let used = interfaces::present(&self.0.shared.options.interfaces).unwrap_or_default();
        if !used.iter().any(if_addrs::Interface::is_loopback) {
            warn!(
                service = service.name,
                address = node.address,
                "nobody hears of a node that only this machine can dial: this registry does not \
                 use loopback"
            );
        }
    }

    /// Waits, bounded, until what was done in this revision has been sent.
    async fn settle(&self, revision: u64) -> Result<()> {
        self.run()?;
        self.0.shared.changed();
        self.sent(revision).await
    }

    async fn sent(&self, revision: u64) -> Result<()> {
        timeout(SENT, self.0.shared.done(revision)).await.map_err(|_| {
            Error::unavailable(format!("multicast DNS did not send what it was told in {SENT:?}"))
        })
    }

    async fn look_up(&self, look: impl Fn(&State, Instant) -> Found) -> Result<Vec<Service>> {
        let Shared { options, .. } = &*self.0.shared;
        self.start()?;
        interfaces::present(&options.interfaces)?;
        let mut heard = self.0.shared.heard();
        self.0.shared.state().search(Instant::now())?;
        self.0.shared.changed();
        loop {
            heard.mark_unchanged();
            let found = {
                let state = self.0.shared.state();
                state.check_open()?;
                look(&state, Instant::now())
            };
            match found {
                Found::Services(services) => return Ok(services),
                // The sender lives as long as this does.
                Found::NotYet(at) => _ = timeout_at(at, heard.changed()).await,
            }
        }
    }
}

#[async_trait]
impl Registry for MdnsRegistry {
    fn name(&self) -> &'static str {
        NAME
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().with_reach(interfaces::reach(&self.0.shared.options.interfaces))
    }

    /// # Errors
    /// Also `Unavailable`: none of the interfaces is there, the port cannot be had, or the
    /// registry is closed.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        service.check()?;
        self.start()?;
        self.warn_of_nobody(service);
        let revision = self.0.shared.state().register(service, options.ttl, Instant::now())?;
        // It is remembered, and said as soon as it can be.
        let _ = self.settle(revision).await;
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        service.check()?;
        let revision = self.0.shared.state().deregister(service);
        if self.start().is_ok() {
            let _ = self.settle(revision).await;
        }
        Ok(())
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        let services = self.look_up(|state, now| state.get(name, now)).await?;
        if services.is_empty() {
            let Shared { options, .. } = &*self.0.shared;
            let interfaces = interfaces::present(&options.interfaces)?;
            let mut names: Vec<&str> = interfaces.iter().map(|i| i.name.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            return Err(Error::not_found(format!(
                "service {name}: nobody answers to that name by multicast DNS on {}",
                names.join(", ")
            )));
        }
        Ok(services)
    }

    async fn list(&self) -> Result<Vec<Service>> {
        self.look_up(State::list).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
        self.start()?;
        let watcher = {
            let mut state = self.0.shared.state();
            state.search(Instant::now())?;
            state.watch(options.name)
        };
        self.0.shared.changed();
        Ok(watcher)
    }

    fn health(&self) -> Result<()> {
        self.0.shared.state().check_open()?;
        interfaces::present(&self.0.shared.options.interfaces).map(drop)
    }

    async fn close(&self) -> Result<()> {
        let shared = &self.0.shared;
        let (was_closed, revision) = {
            let mut state = shared.state();
            (state.is_closed(), state.close())
        };
        let is_used = matches!(*self.0.task(), Task::Started(_));
        let told = match (is_used, was_closed) {
            (false, _) => Ok(()),
            (true, false) => self.settle(revision).await,
            // Somebody else may be waiting for the same. There is no task to wake after that.
            (true, true) => self.sent(revision).await,
        };
        self.0.end();
        told
    }
}

impl Handle {
    fn task(&self) -> MutexGuard<'_, Task> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        if let Task::Started(task) = std::mem::replace(&mut *self.task(), Task::Ended) {
            task.abort();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for MdnsRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.0.shared.options;
        f.debug_struct("MdnsRegistry").field("options", options).finish_non_exhaustive()
    }
}
