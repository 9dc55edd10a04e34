//! The nodes of a service that this process can call.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use micro_core::registry::{Node, Service};
use micro_core::{Error, ErrorKind};
use tokio::time::Instant;

use super::pool::Lease;

/// How long a node that failed is called only if there is no other.
const AVOID: Duration = Duration::from_secs(5);

/// The nodes of a service that can be called, as they are now.
pub(super) struct Nodes {
    service: String,
    /// Those of our own zone first.
    all: Vec<Arc<Candidate>>,
    /// How many are of our own zone.
    near: usize,
    /// Of nodes that cannot be called, how they would be reached.
    foreign: Vec<String>,
    /// How often one was chosen in turn, also before the last change: of all that are near; and
    /// of some, because that one was avoided, or of those that pass a filter.
    turns: Arc<[AtomicUsize; 2]>,
}

/// What this process is, for the nodes that it calls.
#[derive(Clone)]
pub(super) struct Own {
    pub(super) transport: &'static str,
    pub(super) zone: Option<String>,
}

/// A node that can be called.
pub(super) struct Candidate {
    service: Arc<Service>,
    node: usize,
    pub(super) state: Arc<NodeState>,
}

/// What this process knows of a node beyond what the registry says; outlives a change of that.
pub(super) struct NodeState {
    in_flight: AtomicUsize,
    /// It failed: until then others are called first. Milliseconds after `start`.
    avoid_until: AtomicU64,
    start: Instant,
    /// The session with it, so that no call looks for it.
    pub(super) lease: ArcSwapOption<Lease>,
}

impl Nodes {
    /// `before`: the states of nodes that are known already.
    pub(super) fn new(
        name: &str,
        services: &[Arc<Service>],
        own: &Own,
        before: Option<&Self>,
    ) -> Self {
        let (mut near, mut far, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        // A node is the same as long as its id and its address are.
        let same = |node: &'_ Node| (node.id.clone(), node.address.clone());
        let states: HashMap<_, _> = (before.iter().flat_map(|before| &before.all))
            .map(|known| (same(known.node()), &known.state))
            .collect();
        for service in services {
            for (at, node) in service.nodes.iter().enumerate() {
                if !own.can_call(node) {
                    foreign.push(how(node));
                    continue;
                }
                let known = states.get(&same(node)).map(|&state| state.clone());
                let state = known.unwrap_or_else(|| Arc::new(NodeState::new()));
                let candidate = Candidate { service: service.clone(), node: at, state };
                let is_near = own.zone.is_some() && zone(node) == own.zone.as_deref();
                if is_near { &mut near } else { &mut far }.push(Arc::new(candidate));
            }
        }
        foreign.sort();
        foreign.dedup();
        let (count, mut all) = (near.len(), near);
        all.append(&mut far);
        let turns = before.map(|before| before.turns.clone()).unwrap_or_default();
        Self { service: name.to_owned(), all, near: count, foreign, turns }
    }

    /// Those of our own zone first.
    pub(super) fn all(&self) -> &[Arc<Candidate>] {
        &self.all
    }

    /// How many of them are of our own zone; all of them if none is.
    pub(super) fn near(&self) -> usize {
        if self.near == 0 { self.all.len() } else { self.near }
    }

    /// `some`: of some of them only; these have turns of their own, or whoever comes after one that
    /// is avoided would have its turns too.
    pub(super) fn next_turn(&self, some: bool) -> usize {
        self.turns[usize::from(some)].fetch_add(1, Ordering::Relaxed)
    }

    /// Why none of them can be called.
    pub(super) fn nobody(&self, own: &Own) -> Error {
        let service = &self.service;
        let detail = match (self.all.is_empty(), self.foreign.is_empty()) {
            (false, _) => format!("no node of service {service} passes the call's filter"),
            (true, true) => format!("service {service} has no node"),
            (true, false) => format!(
                "service {service} is reached by {}, but this process by transport {} with \
                 protocol mucp",
                self.foreign.join(" or by "),
                own.transport
            ),
        };
        Error::new(ErrorKind::Unavailable, detail)
    }
}

impl Own {
    /// Over our transport, in go-micro's protocol; a node that does not say is believed to be.
    fn can_call(&self, node: &Node) -> bool {
        let fits = |key: &str, ours: &str| node.metadata.get(key).is_none_or(|said| said == ours);
        fits("transport", self.transport) && fits("protocol", "mucp")
    }
}

impl Candidate {
    pub(super) fn service(&self) -> &Service {
        &self.service
    }

    pub(super) fn node(&self) -> &Node {
        // It was found at this place.
        &self.service.nodes[self.node]
    }
}

impl NodeState {
    fn new() -> Self {
        Self {
            in_flight: AtomicUsize::new(0),
            avoid_until: AtomicU64::new(0),
            start: Instant::now(),
            lease: ArcSwapOption::empty(),
        }
    }

    /// It failed: others first, for a while. The session with it is forgotten.
    pub(super) fn avoid(&self) {
        let until = self.start.elapsed() + AVOID;
        let millis = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        self.avoid_until.store(millis, Ordering::Relaxed);
        self.lease.store(None);
    }

    /// It answered.
    pub(super) fn trust(&self) {
        if self.avoid_until.load(Ordering::Relaxed) != 0 {
            self.avoid_until.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn is_avoided(&self) -> bool {
        let until = self.avoid_until.load(Ordering::Relaxed);
        // Without a look at the clock where nothing has failed.
        until != 0 && self.start.elapsed() < Duration::from_millis(until)
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// A call to it begins; it ends when this is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Load {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Load(self.clone())
    }
}

/// Counts one call to a node while it lives.
pub(super) struct Load(Arc<NodeState>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn zone(node: &Node) -> Option<&str> {
    node.metadata.get("zone").map(String::as_str).filter(|zone| !zone.is_empty())
}

fn how(node: &Node) -> String {
    let say = |key| node.metadata.get(key).map_or("?", String::as_str);
    format!("transport {} with protocol {}", say("transport"), say("protocol"))
}
