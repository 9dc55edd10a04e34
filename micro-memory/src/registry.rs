//! Discovery inside one process.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use micro_core::registry::{
    Capabilities, Change, RegisterOptions, Registry, Service, ServiceName, View, WatchOptions,
    Watcher,
};
use micro_core::{Error, ErrorKind, PluginConfig, Reach, Result, async_trait};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_stream::Stream;
use tokio_stream::wrappers::WatchStream;

use crate::{Memory, MemoryOptions};

/// A registry that reaches this process alone. Clones are one handle: what was registered
/// through it is deregistered by [`close`](Registry::close), and the leases of what is left when
/// the last clone is dropped run out. What has no lease stays until the world ends.
#[derive(Clone, Debug)]
pub struct MemoryRegistry(Arc<Handle>);

/// What all registries of one world share.
pub(crate) struct World {
    state: Mutex<State>,
    /// When the next lease runs out: a watcher sleeps until then.
    next_expiry: watch::Sender<Option<Instant>>,
    handles: AtomicU64,
}

struct State {
    view: View,
    /// Which handle registered a node last.
    owners: BTreeMap<Registered, u64>,
}

/// A name, a version and a node's id.
type Registered = (String, String, String);

struct Handle {
    world: Arc<World>,
    id: u64,
    closed: watch::Sender<bool>,
}

impl MemoryRegistry {
    /// A registry with a world of its own. It has no use for addresses and takes them only to be
    /// made as every other registry is.
    ///
    /// # Errors
    /// None.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        drop(addresses);
        Ok(Self::default())
    }

    /// As [`new`](Self::new): nothing can be configured.
    ///
    /// # Errors
    /// None.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::new(&config.addresses)
    }

    /// A registry of this world.
    pub fn with(memory: &Memory) -> Self {
        let world = memory.registry.clone();
        let id = world.handles.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Handle { world, id, closed: watch::Sender::new(false) }))
    }
}

/// A registry with a world of its own.
impl Default for MemoryRegistry {
    fn default() -> Self {
        Self::with(&Memory::new())
    }
}

#[async_trait]
impl Registry for MemoryRegistry {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().with_reach(Reach::Process)
    }

    /// # Errors
    /// Also `Overloaded` when there is no room for the nodes, and `Unavailable` after `close`.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()> {
        service.check()?;
        let handle = &*self.0;
        let mut state = handle.world.current();
        // Under the lock, so that nothing is registered behind the back of `close`.
        if *handle.closed.borrow() {
            return Err(Error::unavailable("the memory registry is closed"));
        }
        let until = options.ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        let mut told = service.clone();
        told.nodes.iter_mut().for_each(|node| node.lease = options.ttl);
        let refused = state.view.insert(told, |_| until);
        for node in &service.nodes {
            let registered = (service.name.clone(), service.version.clone(), node.id.clone());
            // One that found no room is owned by nobody.
            if refused == 0 || state.knows(&registered) {
                state.owners.insert(registered, handle.id);
            }
        }
        handle.world.tell(&mut state);
        if refused > 0 {
            return Err(Error::new(
                ErrorKind::Overloaded,
                format!("the memory registry is full: {refused} nodes found no room"),
            ));
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        service.check()?;
        let world = &*self.0.world;
        let mut state = world.current();
        for node in &service.nodes {
            state.remove(&(service.name.clone(), service.version.clone(), node.id.clone()));
        }
        world.tell(&mut state);
        Ok(())
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Service>> {
        let found = self.0.world.current().view.get(name.as_str());
        if found.is_empty() {
            return Err(Error::not_found(format!(
                "service {name} is not registered; the memory registry reaches this process \
                 alone: --registry=mdns --transport=tcp or --profile=nats reach others"
            )));
        }
        Ok(found)
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Ok(self.0.world.current().view.list())
    }

    async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
        let world = self.0.world.clone();
        let changes = world.current().view.watch(options.name);
        Ok(Watcher::new(Watching {
            changes,
            expiries: WatchStream::new(world.next_expiry.subscribe()),
            expiry: None,
            closed: WatchStream::new(self.0.closed.subscribe()),
            world,
        }))
    }

    async fn close(&self) -> Result<()> {
        let handle = &*self.0;
        let mut state = handle.world.current();
        handle.closed.send_replace(true);
        let own: Vec<Registered> = (state.owners.iter())
            .filter(|(_, owner)| **owner == handle.id)
            .map(|(registered, _)| registered.clone())
            .collect();
        for registered in &own {
            state.remove(registered);
        }
        handle.world.tell(&mut state);
        Ok(())
    }
}

impl World {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        let mut view = View::new(options.max_nodes);
        // What there is, is known from the beginning.
        view.set_synced(None);
        view.publish();
        Self {
            state: Mutex::new(State { view, owners: BTreeMap::new() }),
            next_expiry: watch::Sender::new(None),
            handles: AtomicU64::new(0),
        }
    }

    /// The state without what has expired.
    fn current(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; a state that is whole is a good state anyway.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = *self.next_expiry.borrow();
        if next.is_some() {
            let now = Instant::now();
            if next.is_some_and(|next| next <= now) {
                for gone in state.view.expired(now) {
                    let name = gone.name.to_string();
                    state.remove(&(name, gone.version.to_string(), gone.id));
                }
                self.tell(&mut state);
            }
        }
        state
    }

    /// Tells the watchers what has changed, and when to look again.
    fn tell(&self, state: &mut State) {
        state.view.publish();
        let next = state.view.next_expiry();
        self.next_expiry.send_if_modified(|told| std::mem::replace(told, next) != next);
    }
}

impl State {
    fn knows(&self, (name, version, id): &Registered) -> bool {
        let versions = self.view.get(name);
        let mut of_version = versions.iter().filter(|service| service.version == *version);
        of_version.any(|service| service.nodes.iter().any(|node| node.id == *id))
    }

    fn remove(&mut self, registered: &Registered) {
        let (name, version, id) = registered;
        self.view.remove(name, Some(version), id);
        self.owners.remove(registered);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("view", &self.current().view).finish_non_exhaustive()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("world", &self.world).field("id", &self.id).finish()
    }
}

/// The changes of a world, which ends leases by itself: whoever watches has the clock.
struct Watching {
    changes: Watcher,
    world: Arc<World>,
    expiries: WatchStream<Option<Instant>>,
    expiry: Option<Pin<Box<Sleep>>>,
    closed: WatchStream<bool>,
}

impl Stream for Watching {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let this = &mut *self;
        // It yields `false` at the beginning; when the last handle is dropped without a close,
        // the watcher goes on.
        if newest(&mut this.closed, cx) == Some(true) {
            return Poll::Ready(None);
        }
        loop {
            if let Poll::Ready(change) = Pin::new(&mut this.changes).poll_next(cx) {
                return Poll::Ready(change);
            }
            if let Some(next) = newest(&mut this.expiries, cx) {
                this.expiry = next.map(|next| Box::pin(sleep_until(next)));
            }
            let Some(expiry) = &mut this.expiry else {
                return Poll::Pending;
            };
            ready!(expiry.as_mut().poll(cx));
            drop(this.world.current());
            let next = *this.world.next_expiry.borrow();
            this.expiry = next.map(|next| Box::pin(sleep_until(next)));
        }
    }
}

/// The newest value, if there is a new one. Whoever told them may be gone: then there is none.
fn newest<T: Clone + Send + Sync + 'static>(
    values: &mut WatchStream<T>,
    cx: &mut Context<'_>,
) -> Option<T> {
    let mut last = None;
    while let Poll::Ready(Some(value)) = Pin::new(&mut *values).poll_next(cx) {
        last = Some(value);
    }
    last
}
