//! Discovery: who offers what, and where.

mod service;
mod snapshot;
mod view;
mod watcher;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

pub use self::service::{Endpoint, MAX_DEPTH, Node, Service, Value};
pub use self::view::{Expired, View};
pub use self::watcher::{Change, Watcher};
use crate::{Error, Reach, Result};

/// Finds services and lets services be found.
///
/// What every implementation keeps:
///
/// * **Identity.** A registration is a node: a name, a version and the node's id. Registering it
///   again is the same registration, with the newest description, and renews its lease.
///   Several nodes in one call are several registrations.
/// * **Merging.** What [`get`](Self::get), [`list`](Self::list) and [`watch`](Self::watch) tell is
///   one [`Service`] per name and version, its nodes merged by id, the newest description of each.
/// * **Missing.** [`get`](Self::get) of a name that nobody registered is
///   [`ErrorKind::NotFound`](crate::ErrorKind::NotFound), never an empty list. `list` may be empty.
/// * **Leases.** A registration with a [`ttl`](RegisterOptions::ttl) that is not renewed within it
///   ends, and everyone who watches sees it. One whose process dies ends too, within a time that
///   the implementation names.
/// * **Deregistering** takes away the nodes that are named, and tells the watchers at once. What is
///   not there is fine.
/// * **Away.** Registering does not need the network to be there: it is remembered and becomes
///   visible when the network is. Only where this machine has no interface to any network at all
///   it may fail as [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), at once. `get` and `list` wait for the network for a bounded time and
///   then fail as [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), saying what is not
///   reachable.
/// * **Cancel safety.** Every future may be dropped at any time; a `register` or `deregister` that
///   was dropped may or may not have happened.
/// * **Drop.** Dropping the last handle to a registry ends its registrations without a word to
///   anybody: their leases run out. [`close`](Self::close) says goodbye.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// The name by which flags choose it and nodes say what they are found by, such as `nats`.
    fn name(&self) -> &'static str;

    /// Makes the nodes of a service known, or renews them.
    ///
    /// # Errors
    /// `InvalidInput` if the name is none ([`ServiceName`]) or there is no node or a node has no
    /// id; `TooLarge` if the description cannot be sent.
    async fn register(&self, service: &Service, options: RegisterOptions) -> Result<()>;

    /// Takes the nodes of a service away.
    ///
    /// # Errors
    /// `InvalidInput` as for [`register`](Self::register).
    async fn deregister(&self, service: &Service) -> Result<()>;

    /// The versions of a service, each with its nodes; never empty.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    async fn get(&self, name: &ServiceName) -> Result<Vec<Service>>;

    /// Everything that is known now.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(&self) -> Result<Vec<Service>>;

    /// The present state as [`Change::Added`], then [`Change::Synced`], then what changes.
    ///
    /// Does not wait for the network. What happens while it is away is told when it is back.
    ///
    /// # Errors
    /// `Unsupported` where an implementation cannot watch.
    async fn watch(&self, options: WatchOptions) -> Result<Watcher>;

    /// What it can tell.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// `Ok` if it can work now; otherwise the reason, for whoever waited in vain.
    ///
    /// # Errors
    /// `Unavailable`, naming what is not reachable.
    fn health(&self) -> Result<()> {
        Ok(())
    }

    /// Deregisters what is still registered here and waits, bounded, until that has left.
    ///
    /// # Errors
    /// `Unavailable` if it could not be told.
    async fn close(&self) -> Result<()>;
}

/// What a registry can tell: data for the runtime and the conformance suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// By whom is found what is registered.
    pub reach: Reach,
}

impl Capabilities {
    /// Sets [`reach`](Self::reach).
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// How to register.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RegisterOptions {
    /// The registration ends unless it is renewed within this time (zero: at once); `None`: it
    /// stays.
    pub ttl: Option<Duration>,
}

impl RegisterOptions {
    /// Sets [`ttl`](Self::ttl).
    #[must_use]
    pub fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }
}

/// What to watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WatchOptions {
    /// Only this service; `None`: all.
    pub name: Option<ServiceName>,
}

impl WatchOptions {
    /// Sets [`name`](Self::name).
    #[must_use]
    pub fn with_name(mut self, name: ServiceName) -> Self {
        self.name = Some(name);
        self
    }
}

/// The name of a service: 1 to 255 bytes, dot-separated parts, none empty, without white space,
/// control characters or NATS's wildcards `*` and `>`, so that every backend can carry it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(String);

impl ServiceName {
    /// Checks a name.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is wrong.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        match subject_flaw(&name) {
            None => Ok(Self(name)),
            Some(flaw) => {
                Err(Error::invalid_input(format!("{name:?} is no name of a service: it {flaw}")))
            }
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for ServiceName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::new(name)
    }
}

/// What keeps a text from being a NATS subject without wildcards, in words after "it …".
pub(crate) fn subject_flaw(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("is empty")
    } else if text.len() > 255 {
        Some("has more than 255 bytes")
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("contains white space or a control character")
    } else if text.contains(['*', '>']) {
        Some("contains a wildcard")
    } else if text.split('.').any(str::is_empty) {
        Some("has an empty part between dots")
    } else {
        None
    }
}
