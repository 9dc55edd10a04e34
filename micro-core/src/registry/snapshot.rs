//! What a view has published, as its watchers see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::{Endpoint, Node, Service, ServiceName};

/// A name and a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) name: Arc<str>,
    pub(super) version: Arc<str>,
}

#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) services: Arc<BTreeMap<Key, Arc<Published>>>,
    pub(super) synced: Synced,
}

/// Whose state is complete.
#[derive(Clone, Default)]
pub(super) struct Synced {
    pub(super) all: bool,
    pub(super) names: Arc<BTreeSet<String>>,
}

/// One name and version. It shares its nodes with the view, so that one change among a thousand
/// nodes copies none of them; the [`Service`] is made once, when the first watcher asks for it.
pub(super) struct Published {
    key: Key,
    about: Arc<About>,
    pub(super) nodes: Vec<Arc<Node>>,
    service: OnceLock<Arc<Service>>,
}

/// What is said of a service beside its nodes.
#[derive(Default, PartialEq, Eq)]
pub(super) struct About {
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Key {
    pub(super) fn new(name: &str, version: &str) -> Self {
        Self { name: name.into(), version: version.into() }
    }
}

impl Snapshot {
    pub(super) fn of(
        &self,
        name: Option<&ServiceName>,
    ) -> impl Iterator<Item = (&Key, &Arc<Published>)> {
        let from = Key::new(name.map_or("", ServiceName::as_str), "");
        self.services
            .range(from..)
            .take_while(move |(key, _)| name.is_none_or(|name| name.as_str() == &*key.name))
    }

    pub(super) fn is_synced(&self, name: Option<&ServiceName>) -> bool {
        self.synced.all || name.is_some_and(|name| self.synced.names.contains(name.as_str()))
    }
}

impl Published {
    pub(super) fn new(key: Key, about: Arc<About>, nodes: Vec<Arc<Node>>) -> Self {
        Self { key, about, nodes, service: OnceLock::new() }
    }

    pub(super) fn service(&self) -> Arc<Service> {
        let make = || {
            Arc::new(Service {
                name: self.key.name.to_string(),
                version: self.key.version.to_string(),
                metadata: self.about.metadata.clone(),
                endpoints: self.about.endpoints.clone(),
                nodes: self.nodes.iter().map(|node| Node::clone(node)).collect(),
            })
        };
        self.service.get_or_init(make).clone()
    }
}

/// Equal if the services are. Nodes that are the same are not looked into.
impl PartialEq for Published {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.about == other.about && self.nodes == other.nodes
    }
}
