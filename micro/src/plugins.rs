//! Backends by name.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};

use micro_core::{Broker, Error, PluginConfig, Registry, Result, Transport};

use crate::hub::lock;

/// The backends that can be chosen by name, and what those that are in use share.
///
/// A plain value: [`Plugins::new`] holds what the crate's features have compiled in, and more can
/// be added. It owns the NATS connections and the memory world: every service and client built
/// from the same value (or a clone, which is the same) shares them, and those built from another
/// share nothing. Nothing is chosen by being here.
#[derive(Clone)]
pub struct Plugins {
    registries: Table<dyn Registry>,
    transports: Table<dyn Transport>,
    brokers: Table<dyn Broker>,
}

/// Makes a backend from what the flags say of it.
pub type Plugin<T> = Arc<dyn Fn(&PluginConfig) -> Result<Arc<T>> + Send + Sync>;

/// The plugins of one interface.
struct Table<T: ?Sized> {
    /// `registry`, for messages.
    what: &'static str,
    plugins: BTreeMap<String, Plugin<T>>,
    /// What has been made already and by which plugin, shared by all who ask for the same.
    made: Arc<Mutex<Made<T>>>,
}

type Made<T> = HashMap<(String, PluginConfig), (Plugin<T>, Arc<T>)>;

/// Names that a feature of this crate compiles in: the interface, the name, the feature.
const FEATURES: &[(&str, &str, &str)] = &[
    ("registry", "memory", "memory"),
    ("registry", "mdns", "registry-mdns"),
    ("registry", "nats", "registry-nats"),
    ("transport", "memory", "memory"),
    ("transport", "nats", "transport-nats"),
    ("transport", "tcp", "transport-tcp"),
    ("broker", "memory", "memory"),
    ("broker", "nats", "broker-nats"),
];

impl Default for Plugins {
    fn default() -> Self {
        Self::new()
    }
}

impl Plugins {
    /// The plugins that this crate's features have compiled in.
    pub fn new() -> Self {
        let plugins = Self::empty();
        #[cfg(feature = "memory")]
        let plugins = memory(plugins);
        #[cfg(any(feature = "registry-nats", feature = "transport-nats", feature = "broker-nats"))]
        let plugins = nats(plugins);
        #[cfg(feature = "registry-mdns")]
        let plugins = plugins.with_registry(
            micro_registry_mdns::NAME,
            Arc::new(|config| Ok(Arc::new(micro_registry_mdns::Registry::from_config(config)?))),
        );
        #[cfg(feature = "transport-tcp")]
        let plugins = plugins.with_transport(
            micro_transport_tcp::NAME,
            Arc::new(|config| Ok(Arc::new(micro_transport_tcp::Transport::from_config(config)?))),
        );
        plugins
    }

    /// No plugins at all.
    pub fn empty() -> Self {
        Self {
            registries: Table::new("registry"),
            transports: Table::new("transport"),
            brokers: Table::new("broker"),
        }
    }

    /// Adds a registry, or replaces the one of this name.
    #[must_use]
    pub fn with_registry(mut self, name: &str, plugin: Plugin<dyn Registry>) -> Self {
        self.registries.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// Adds a transport, or replaces the one of this name.
    #[must_use]
    pub fn with_transport(mut self, name: &str, plugin: Plugin<dyn Transport>) -> Self {
        self.transports.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// Adds a broker, or replaces the one of this name.
    #[must_use]
    pub fn with_broker(mut self, name: &str, plugin: Plugin<dyn Broker>) -> Self {
        self.brokers.plugins.insert(name.to_owned(), plugin);
        self
    }

    /// The registry of this name; the same one for the same configuration.
    ///
    /// # Errors
    /// `NotFound` for an unknown name, listing those that there are, or naming the feature that is
    /// off; what the plugin says of its configuration.
    pub fn registry(&self, name: &str, config: &PluginConfig) -> Result<Arc<dyn Registry>> {
        self.registries.make(name, config)
    }

    /// The transport of this name; see [`registry`](Self::registry).
    ///
    /// # Errors
    /// As for [`registry`](Self::registry).
    pub fn transport(&self, name: &str, config: &PluginConfig) -> Result<Arc<dyn Transport>> {
        self.transports.make(name, config)
    }

    /// The broker of this name; see [`registry`](Self::registry).
    ///
    /// # Errors
    /// As for [`registry`](Self::registry).
    pub fn broker(&self, name: &str, config: &PluginConfig) -> Result<Arc<dyn Broker>> {
        self.brokers.make(name, config)
    }

    /// The names that can be chosen: registries, transports, brokers.
    pub fn names(&self) -> [Vec<&str>; 3] {
        [self.registries.names(), self.transports.names(), self.brokers.names()]
    }
}

impl fmt::Debug for Plugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [registries, transports, brokers] = self.names();
        f.debug_struct("Plugins")
            .field("registries", &registries)
            .field("transports", &transports)
            .field("brokers", &brokers)
            .finish()
    }
}

impl<T: ?Sized> Table<T> {
    fn new(what: &'static str) -> Self {
        Self { what, plugins: BTreeMap::new(), made: Arc::default() }
    }

    fn names(&self) -> Vec<&str> {
        self.plugins.keys().map(String::as_str).collect()
    }

    fn make(&self, name: &str, config: &PluginConfig) -> Result<Arc<T>> {
        let plugin = self.plugins.get(name).ok_or_else(|| self.unknown(name))?;
        let key = (name.to_owned(), config.clone());
        let shared = |made: &Made<T>| {
            let (by, made) = made.get(&key)?;
            Arc::ptr_eq(by, plugin).then(|| made.clone())
        };
        if let Some(made) = shared(&lock(&self.made)) {
            return Ok(made);
        }
        // Not under the lock: a plugin may be made of another one.
        let new = plugin(config)?;
        let mut made = lock(&self.made);
        if let Some(meanwhile) = shared(&made) {
            return Ok(meanwhile);
        }
        made.insert(key, (plugin.clone(), new.clone()));
        Ok(new)
    }

    fn unknown(&self, name: &str) -> Error {
        let what = self.what;
        let feature = FEATURES.iter().find(|(of, known, _)| *of == what && *known == name);
        if let Some((_, _, feature)) = feature {
            return Error::not_found(format!(
                "{what} {name} is not compiled in: turn on feature {feature:?} of micro-on-nats"
            ));
        }
        let known = match self.plugins.is_empty() {
            true => "none is compiled in".to_owned(),
            false => format!("there are: {}", self.names().join(", ")),
        };
        Error::not_found(format!("no {what} is called {name:?}; {known}"))
    }
}

impl<T: ?Sized> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { what: self.what, plugins: self.plugins.clone(), made: self.made.clone() }
    }
}

/// One world for the three, whatever addresses are given.
#[cfg(feature = "memory")]
fn memory(plugins: Plugins) -> Plugins {
    use micro_memory::{Memory, MemoryBroker, MemoryRegistry, MemoryTransport};
    let (registry, transport, broker) = {
        let world = Memory::new();
        (world.clone(), world.clone(), world)
    };
    plugins
        .with_registry("memory", Arc::new(move |_| Ok(Arc::new(MemoryRegistry::with(&registry)))))
        .with_transport(
            "memory",
            Arc::new(move |_| Ok(Arc::new(MemoryTransport::with(&transport)))),
        )
        .with_broker("memory", Arc::new(move |_| Ok(Arc::new(MemoryBroker::with(&broker)))))
}

/// One connection for each set of servers and credentials.
#[cfg(any(feature = "registry-nats", feature = "transport-nats", feature = "broker-nats"))]
fn nats(plugins: Plugins) -> Plugins {
    use micro_nats::Nats;

    let connections: Arc<Mutex<Vec<Nats>>> = Arc::default();
    let connect = Arc::new(move |config: &PluginConfig| -> Result<Nats> {
        let new = Nats::new(&config.addresses)?;
        let mut connections = lock(&connections);
        // Equal options are equal servers and credentials, however they were written.
        if let Some(shared) = connections.iter().find(|nats| nats.options() == new.options()) {
            return Ok(shared.clone());
        }
        connections.push(new.clone());
        Ok(new)
    });
    #[cfg(feature = "registry-nats")]
    let plugins = plugins.with_registry("nats", {
        let connect = connect.clone();
        Arc::new(move |config| {
            let mut options = micro_registry_nats::Options::default();
            options.namespace.clone_from(&config.namespace);
            let nats = connect(config)?;
            Ok(Arc::new(micro_registry_nats::NatsRegistry::with_options(&nats, options)?))
        })
    });
    #[cfg(feature = "transport-nats")]
    let plugins = plugins.with_transport("nats", {
        let connect = connect.clone();
        Arc::new(move |config| {
            Ok(Arc::new(micro_transport_nats::NatsTransport::with(&connect(config)?)))
        })
    });
    #[cfg(feature = "broker-nats")]
    let plugins = plugins.with_broker("nats", {
        let connect = connect.clone();
        Arc::new(move |config| {
            let mut options = micro_broker_nats::Options::default();
            options.namespace.clone_from(&config.namespace);
            let nats = connect(config)?;
            Ok(Arc::new(micro_broker_nats::NatsBroker::with_options(&nats, options)?))
        })
    });
    plugins
}
