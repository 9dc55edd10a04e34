//! Which of the nodes of a service is called.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use micro_core::registry::{Node, Service};
use micro_core::{Error, ErrorKind, Result};
use tokio::time::Instant;

use super::cache::Known;
use crate::hub::lock;

/// How long a node that failed is called only if there is no other.
const AVOID: Duration = Duration::from_secs(5);
/// How many nodes are remembered as failed; beyond, the list starts anew.
const MAX_AVOIDED: usize = 10_000;

/// Which of several nodes is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Any of them.
    #[default]
    Random,
    /// One after the other.
    RoundRobin,
}

/// A node to call.
pub(super) struct Target {
    pub(super) id: String,
    pub(super) address: String,
    /// The caller named the address.
    pub(super) explicit: bool,
    /// There are further nodes that have not failed.
    pub(super) others: bool,
}

impl Target {
    pub(super) fn explicit(address: &str) -> Self {
        let address = address.to_owned();
        Self { id: address.clone(), address, explicit: true, others: false }
    }
}

pub(super) struct Selector {
    strategy: Strategy,
    avoided: Mutex<HashMap<(String, String), Instant>>,
}

impl Selector {
    pub(super) fn new(strategy: Strategy) -> Self {
        Self { strategy, avoided: Mutex::default() }
    }

    /// A node failed: others first, for a while.
    pub(super) fn avoid(&self, service: &str, id: &str) {
        let mut avoided = lock(&self.avoided);
        if avoided.len() >= MAX_AVOIDED {
            avoided.clear();
        }
        avoided.insert((service.to_owned(), id.to_owned()), Instant::now() + AVOID);
    }

    /// One node that this process can reach, if possible one that has not failed.
    pub(super) fn pick(
        &self,
        service: &str,
        known: &Known,
        transport: &str,
        failed: &[String],
    ) -> Result<Target> {
        let nodes = || known.nodes().filter(|node| is_ours(node, transport));
        let count = nodes().count();
        if count == 0 {
            return Err(nobody(service, known.services(), transport));
        }
        let avoided = {
            let mut avoided = lock(&self.avoided);
            if !avoided.is_empty() {
                let now = Instant::now();
                avoided.retain(|_, until| *until > now);
            }
            let of_service = avoided.keys().filter(|(name, _)| name == service);
            of_service.map(|(_, id)| id.clone()).collect::<Vec<_>>()
        };
        let bad = |node: &&Node| failed.contains(&node.id) || avoided.contains(&node.id);
        let good = nodes().filter(|node| !bad(node)).count();
        let turn = match self.strategy {
            Strategy::Random => fastrand::usize(..),
            Strategy::RoundRobin => known.next_turn(),
        };
        let node = match good {
            0 => nodes().nth(turn % count),
            _ => nodes().filter(|node| !bad(node)).nth(turn % good),
        };
        let node = node.ok_or_else(|| nobody(service, known.services(), transport))?;
        Ok(Target {
            id: node.id.clone(),
            address: node.address.clone(),
            explicit: false,
            others: good > 1,
        })
    }
}

/// Whether this process can call it: over our transport, in go-micro's protocol. A node that
/// does not say is believed to be.
fn is_ours(node: &Node, transport: &str) -> bool {
    let fits = |key: &str, ours: &str| node.metadata.get(key).is_none_or(|value| value == ours);
    fits("transport", transport) && fits("protocol", "mucp")
}

fn nobody(service: &str, known: &[std::sync::Arc<Service>], transport: &str) -> Error {
    let nodes = known.iter().flat_map(|service| &service.nodes);
    let mut seen: Vec<String> = nodes
        .map(|node| {
            let say = |key| node.metadata.get(key).map_or("?", String::as_str);
            format!("transport {} with protocol {}", say("transport"), say("protocol"))
        })
        .collect();
    seen.sort();
    seen.dedup();
    let detail = match seen.is_empty() {
        true => format!("service {service} has no node"),
        false => format!(
            "service {service} is reached by {}, but this process by transport {transport} with \
             protocol mucp",
            seen.join(" or by ")
        ),
    };
    Error::new(ErrorKind::Unavailable, detail)
}
