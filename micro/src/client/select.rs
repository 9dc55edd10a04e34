//! Which of the nodes of a service is called.

use std::sync::Arc;

use super::filter::Filter;
use super::nodes::{Candidate, NodeState, Nodes};

/// Which of several nodes is called. Whichever it is, nodes of the caller's own zone come first,
/// and those that failed lately last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Strategy {
    /// Of two that are chosen at random, the one to which fewer calls of this process are in
    /// flight: nearly as good as the least loaded of all, and no herd follows it.
    #[default]
    LeastLoaded,
    /// Any of them.
    Random,
    /// One after the other.
    RoundRobin,
}

/// Nodes that failed in this very call.
pub(super) type Failed = Vec<Arc<NodeState>>;

/// One node, if possible a near one that has not failed; `None` if none passes the filters.
pub(super) fn pick(
    nodes: &Nodes,
    strategy: Strategy,
    filters: [Option<&Filter>; 2],
    failed: &Failed,
) -> Option<Arc<Candidate>> {
    if filters.iter().all(Option::is_none) && failed.is_empty() {
        // Usually the first that is chosen will do, however many there are.
        let near = nodes.all().get(..nodes.near())?;
        let turn = || nodes.next_turn(false);
        let chosen = choose(strategy, turn, near.len(), |at| near.get(at));
        if let Some(chosen) = chosen.filter(|chosen| !chosen.state.is_avoided()) {
            return Some(chosen.clone());
        }
    }
    let passes = |node: &Candidate| {
        let passes = |filter: &Filter| filter.passes(node.service(), node.node());
        filters.iter().flatten().all(|filter| passes(filter))
    };
    let rank = |at: usize, node: &Arc<Candidate>| {
        let failed = failed.iter().any(|state| Arc::ptr_eq(state, &node.state));
        (failed, node.state.is_avoided(), at >= nodes.near())
    };
    let mut best: Vec<&Arc<Candidate>> = Vec::new();
    let mut best_rank = (true, true, true);
    for (at, node) in nodes.all().iter().enumerate().filter(|(_, node)| passes(node)) {
        let rank = rank(at, node);
        if rank < best_rank {
            best.clear();
            best_rank = rank;
        }
        if rank == best_rank {
            best.push(node);
        }
    }
    choose(strategy, || nodes.next_turn(true), best.len(), |at| best.get(at).copied()).cloned()
}

/// One of `count` nodes.
fn choose<'a>(
    strategy: Strategy,
    turn: impl FnOnce() -> usize,
    count: usize,
    get: impl Fn(usize) -> Option<&'a Arc<Candidate>>,
) -> Option<&'a Arc<Candidate>> {
    match (strategy, count) {
        (_, 0) => None,
        (_, 1) => get(0),
        (Strategy::Random, _) => get(fastrand::usize(..count)),
        (Strategy::RoundRobin, _) => get(turn() % count),
        (Strategy::LeastLoaded, _) => {
            let first = fastrand::usize(..count);
            // Another one: as far from the first as chance has it.
            let second = (first + fastrand::usize(1..count)) % count;
            let (first, second) = (get(first)?, get(second)?);
            let busier = first.state.in_flight() > second.state.in_flight();
            Some(if busier { second } else { first })
        }
    }
}
