//! The registry itself: what callers see.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use micro_core::registry::{
    Change, RegisterOptions, Registry, Service, ServiceName, WatchOptions, Watcher,
};
use micro_core::{Error, PluginConfig, Result, async_trait};
use micro_nats::{Nats, State as Connection};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_stream::Stream;

use crate::NAME;
use crate::config::Options;
use crate::driver::{Shared, drive};
use crate::message::Target;
use crate::queries::Found;
use crate::state::State;
use crate::subjects::Subjects;

/// How many lookups are under way at the same time; others wait.
const MAX_LOOKUPS: usize = 1024;
/// How long the first registrations wait for a connection that is just being made, so that they
/// are usually visible when `register` returns.
const FIRST_CONNECT: Duration = Duration::from_secs(1);

/// Services found by asking everybody on NATS, as go-micro does.
///
/// Cheap to clone; all clones are the same registry. Making one does no I/O and needs no runtime.
/// One background task, started by the first use, does all the work; it ends with the last handle
/// or with [`close`](Registry::close).
///
/// A node of ours that dies leaves every view after its lease ([`Options::lease`]) and the time of
/// one query; a node of go-micro, which has no lease, after [`Options::unleased`]. It is a second
/// more if it was just asked for another node of the same service.
#[derive(Clone)]
pub struct NatsRegistry(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    lookups: Arc<Semaphore>,
    query_limit: Duration,
    /// Opened by us, so it is ours to close.
    owns_connection: bool,
    task: Mutex<Option<AbortHandle>>,
    first_use: OnceLock<Instant>,
}

impl NatsRegistry {
    /// A registry with a connection of its own to the NATS at these addresses, each of which may
    /// be a comma-separated list; none means 127.0.0.1:4222.
    ///
    /// # Errors
    /// `InvalidInput`, naming the address that is none.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Ok(Self::make(Nats::new(addresses)?, Options::default(), Subjects::plain(), true))
    }

    /// As [`new`](Self::new), with the addresses and the namespace that the flags say.
    ///
    /// # Errors
    /// As for `new`; `InvalidInput` if the namespace is none.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        let nats = Nats::new(&config.addresses)?;
        let mut options = Options::default();
        options.namespace.clone_from(&config.namespace);
        let subjects = Subjects::new(&options)?;
        Ok(Self::make(nats, options, subjects, true))
    }

    /// A registry on a connection that others use too.
    #[must_use]
    pub fn with(nats: &Nats) -> Self {
        Self::with_options(nats, Options::default()).expect("the default options are valid")
    }

    /// A registry with these options on a connection that others use too.
    ///
    /// # Errors
    /// `InvalidInput`, naming the option.
    pub fn with_options(nats: &Nats, options: Options) -> Result<Self> {
        options.check()?;
        let subjects = Subjects::new(&options)?;
        Ok(Self::make(nats.clone(), options, subjects, false))
    }

    /// The connection that it uses.
    pub fn nats(&self) -> &Nats {
        &self.0.shared.nats
    }

    /// How many messages of others were dropped because they meant nothing or were too large.
    pub fn dropped_messages(&self) -> u64 {
        self.0.shared.state().dropped()
    }

    fn make(nats: Nats, options: Options, subjects: Subjects, owns_connection: bool) -> Self {
        let query_limit = options.query_limit;
        let state = State::new(options, subjects, nats.new_inbox(), nats.max_payload());
        Self(Arc::new(Handle {
            shared: Arc::new(Shared::new(nats, state)),
            lookups: Arc::new(Semaphore::new(MAX_LOOKUPS)),
            query_limit,
            owns_connection,
            task: Mutex::new(None),
            first_use: OnceLock::new(),
        }))
    }

    /// Sees to it that the connection is being made and the task runs, and wakes it.
    fn wake(&self) -> Result<()> {
        self.0.shared.nats.client()?;
        let mut task = self.0.task.lock().unwrap_or_else(PoisonError::into_inner);
        if task.as_ref().is_none_or(AbortHandle::is_finished) {
            // It keeps no handle: it ends with the last one.
            *task = Some(tokio::spawn(drive(self.0.shared.clone())).abort_handle());
        }
        self.0.shared.changed();
        Ok(())
    }

    /// Waits until others can see what was done in this revision, if there is a connection.
    async fn settle(&self, revision: u64) {
        let nats = &self.0.shared.nats;
        let mut states = nats.states();
        let starting =
            |state: &Connection| matches!(state, Connection::Idle | Connection::Connecting);
        let until = *self.0.first_use.get_or_init(Instant::now) + FIRST_CONNECT;
        let _ = timeout_at(until, states.wait_for(|state| !starting(state))).await;
        let connected = |state: &Connection| matches!(state, Connection::Connected { .. });
        if !connected(&states.borrow_and_update()) {
            return;
        }
        // While it stays connected: what is away is told when it is back.
        let told = async {
            self.0.shared.done(revision).await;
            nats.round_trip().await
        };
        tokio::select! {
            _ = timeout(nats.options().connect_wait, told) => {}
            _ = states.wait_for(|state| !connected(state)) => {}
        }
    }

    async fn look_up(&self, target: &Target) -> Result<Vec<Service>> {
        let nats = &self.0.shared.nats;
        let deadline = Instant::now() + nats.options().connect_wait;
        loop {
            nats.connected().await?;
            let permit = timeout_at(deadline, self.0.lookups.clone().acquire_owned()).await;
            let Ok(Ok(permit)) = permit else {
                return Err(Error::new(
                    micro_core::ErrorKind::Overloaded,
                    format!("more than {MAX_LOOKUPS} lookups are under way"),
                ));
            };
            let (waiter, found) = oneshot::channel();
            self.0.shared.state().look_up(target.clone(), waiter, permit)?;
            self.wake()?;
            // From the moment that it leaves it has a limit of its own.
            match timeout_at(deadline + self.0.query_limit, found).await {
                Ok(Ok(Found::Services(services))) => return Ok(services),
                // The connection was lost; it may be back in time.
                Ok(Ok(Found::Lost) | Err(_)) if Instant::now() < deadline => {
                    self.0.shared.state().check_open()?;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                _ => {
                    nats.health()?;
                    return Err(Error::unavailable(format!(
                        "NATS at {} is connected, but took no query in time",
                        nats.addresses()
                    )));
                }
            }
        }
    }
}

#[async_trait]
impl Registry for NatsRegistry {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        service.check()?;
        let Shared { nats, .. } = &*self.0.shared;
        let (max, now) = (nats.max_payload(), Instant::now());
        let revision = self.0.shared.state().register(service, options.ttl, max, now)?;
        self.wake()?;
        self.settle(revision).await;
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        service.check()?;
        let revision = self.0.shared.state().deregister(service);
        if self.wake().is_ok() {
            self.settle(revision).await;
        }
        Ok(())
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        let services = self.look_up(&Target::Name(name.to_string())).await?;
        if services.is_empty() {
            // Silence proves absence only if NATS itself is not what is silent.
            self.0.shared.nats.round_trip().await?;
            let addresses = self.0.shared.nats.addresses();
            return Err(Error::not_found(format!(
                "service {name}: nobody on NATS at {addresses} answers to that name"
            )));
        }
        Ok(services)
    }

    async fn list(&self) -> Result<Vec<Service>> {
        self.look_up(&Target::All).await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
        let watcher = self.0.shared.state().watch(options.name.as_ref())?;
        let registry = Arc::downgrade(&self.0.shared);
        let watched = Watched { watcher, name: options.name, registry };
        self.wake()?;
        Ok(Watcher::new(watched))
    }

    fn health(&self) -> Result<()> {
        self.0.shared.state().check_open()?;
        self.0.shared.nats.health()
    }

    async fn close(&self) -> Result<()> {
        let shared = &self.0.shared;
        let (was_closed, revision) = {
            let mut state = shared.state();
            (state.is_closed(), state.close())
        };
        let used = self.0.task.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let told = if was_closed || !used {
            Ok(())
        } else {
            shared.changed();
            self.say_goodbye(revision).await
        };
        self.0.stop();
        if self.0.owns_connection {
            shared.nats.close().await?;
        }
        told
    }
}

impl NatsRegistry {
    async fn say_goodbye(&self, revision: u64) -> Result<()> {
        let nats = &self.0.shared.nats;
        nats.health()?;
        let wait = nats.options().connect_wait;
        let told = async {
            self.0.shared.done(revision).await;
            nats.round_trip().await
        };
        timeout(wait, told).await.unwrap_or_else(|_| {
            let addresses = nats.addresses();
            Err(Error::unavailable(format!("NATS at {addresses} took no goodbye within {wait:?}")))
        })
    }
}

impl Handle {
    fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            task.abort();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl fmt::Debug for NatsRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsRegistry").field("nats", self.nats()).finish_non_exhaustive()
    }
}

/// A watcher that says when it goes, and keeps no registry alive.
struct Watched {
    watcher: Watcher,
    name: Option<ServiceName>,
    registry: Weak<Shared>,
}

impl Stream for Watched {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        Pin::new(&mut self.watcher).poll_next(cx)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.upgrade() {
            registry.state().unwatch(self.name.as_ref());
            registry.changed();
        }
    }
}
