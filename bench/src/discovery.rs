//! Cold discovery: how long the first lookup of a service takes that has many nodes.
//!
//! Each node is a registry of its own: it subscribes, is asked and answers for itself, as in a
//! process of its own. What is not as there: ten share a connection, and all one process, so that
//! the cores that carry NATS and the one who asks have to write all answers too.
//!
//! Whoever asks is a registry that has never asked before: once on a connection that is there
//! already, and once as in a new process, with a connection yet to be made. Before each lookup
//! there is a pause, so that nobody is still busy with answers to the one before.

use std::time::{Duration, Instant};

use anyhow::ensure;
use micro::ErrorKind;
use micro::nats::{Nats, NatsRegistry};
use micro::registry::{Node, RegisterOptions, Registry as _, Service, ServiceName};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::lines;
use crate::stats::percentile;
use crate::worker::Worker;

/// Nodes that share a connection.
const PER_CONNECTION: usize = 10;
/// Before each lookup.
const PAUSE: Duration = Duration::from_millis(50);
/// How many register at the same time.
const AT_ONCE: usize = 50;
const SERVICE: &str = "bench.nodes";

/// How often a lookup is made.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Order {
    nodes: usize,
    times: usize,
}

/// All lookups of a service of so many nodes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    /// How many nodes there are.
    pub(crate) nodes: usize,
    /// On a connection that was there.
    pub(crate) connected: Lookups,
    /// By a new process: with a connection to be made first.
    pub(crate) connecting: Lookups,
}

/// Lookups of the same kind.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lookups {
    /// How many.
    pub(crate) times: usize,
    /// How many of them found every node.
    pub(crate) complete: usize,
    /// The fewest nodes that one has found.
    pub(crate) fewest: usize,
    /// The most.
    pub(crate) most: usize,
    /// Half of them took less, in ms.
    pub(crate) p50_ms: f64,
    /// 99 of 100 took less, in ms.
    pub(crate) p99_ms: f64,
}

/// Registers so many nodes and lets them answer, until stdin ends.
///
/// # Errors
/// If NATS is not there.
pub(crate) async fn serve(address: &str, nodes: usize) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..nodes.div_ceil(PER_CONNECTION) {
        let nats = Nats::new([address])?;
        nats.connected().await?;
        connections.push(nats);
    }
    let mut registered = Vec::with_capacity(nodes);
    let mut registering = JoinSet::new();
    for number in 0..nodes {
        let registry = NatsRegistry::with(&connections[number / PER_CONNECTION]);
        registering.spawn(register(registry, number));
        if registering.len() >= AT_ONCE
            && let Some(done) = registering.join_next().await
        {
            registered.push(done??);
        }
    }
    while let Some(done) = registering.join_next().await {
        registered.push(done??);
    }
    ensure!(registered.len() == nodes, "{} of {nodes} nodes are registered", registered.len());
    lines::tell_cpu(None).await
}

/// As a service of the runtime describes itself.
async fn register(registry: NatsRegistry, number: usize) -> micro::Result<NatsRegistry> {
    let address = registry.nats().new_inbox();
    let node = Node::new(format!("{SERVICE}-{number:032x}"), address)
        .with_metadata("broker", "nats")
        .with_metadata("registry", "nats")
        .with_metadata("transport", "nats")
        .with_metadata("protocol", "mucp")
        .with_metadata("server", "mucp");
    let service = Service::new(SERVICE, "latest").with_node(node);
    registry.register(&service, RegisterOptions::default()).await?;
    Ok(registry)
}

/// Carries out the orders on stdin.
///
/// # Errors
/// If NATS is not there.
pub(crate) async fn load(address: &str) -> anyhow::Result<()> {
    let nats = Nats::new([address])?;
    nats.connected().await?;
    let name = ServiceName::new(SERVICE)?;
    lines::carry_out(async |order: Order| {
        let (mut connected, mut connecting) = (Vec::new(), Vec::new());
        for _ in 0..order.times {
            connected.push(look_up(&name, || Ok(NatsRegistry::with(&nats))).await?);
            connecting.push(look_up(&name, || NatsRegistry::new([address])).await?);
        }
        Ok(Found {
            nodes: order.nodes,
            connected: Lookups::of(&connected, order.nodes),
            connecting: Lookups::of(&connecting, order.nodes),
        })
    })
    .await
}

/// The first lookup of a registry that is made for it: its time in ms, and how many nodes it found.
async fn look_up(
    name: &ServiceName,
    make: impl Fn() -> micro::Result<NatsRegistry>,
) -> micro::Result<(f64, usize)> {
    tokio::time::sleep(PAUSE).await;
    let start = Instant::now();
    let registry = make()?;
    let versions = match registry.get(name).await {
        // Whoever answers too late for it is nobody: a figure too.
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        found => found?,
    };
    let took = start.elapsed();
    registry.close().await?;
    let found = versions.iter().map(|version| version.nodes.len()).sum();
    Ok((took.as_secs_f64() * 1e3, found))
}

impl Lookups {
    /// Each with its time in ms and how many nodes it has found.
    fn of(lookups: &[(f64, usize)], nodes: usize) -> Self {
        let mut times: Vec<f64> = lookups.iter().map(|&(ms, _)| ms).collect();
        times.sort_unstable_by(f64::total_cmp);
        Self {
            times: lookups.len(),
            complete: lookups.iter().filter(|&&(_, found)| found == nodes).count(),
            fewest: lookups.iter().map(|&(_, found)| found).min().unwrap_or_default(),
            most: lookups.iter().map(|&(_, found)| found).max().unwrap_or_default(),
            p50_ms: percentile(&times, 0.50).unwrap_or_default(),
            p99_ms: percentile(&times, 0.99).unwrap_or_default(),
        }
    }
}

/// Measures with the nats-server at this address.
///
/// # Errors
/// If a process ends, or no lookup at all found anybody.
pub(crate) async fn measure(
    nats: &str,
    sizes: &[usize],
    times: usize,
) -> anyhow::Result<Vec<Found>> {
    let mut load = Worker::start(&["load-discovery", "--nats", nats]).await?;
    let mut all = Vec::new();
    for &nodes in sizes {
        eprintln!("micro-bench: discovery: registering {nodes} nodes");
        let count = nodes.to_string();
        let server = Worker::start(&["serve-nodes", "--nodes", &count, "--nats", nats]).await?;
        let found: Found = load.ask(&Order { nodes, times }).await?;
        ensure!(found.connected.most > 0, "no lookup found any of {nodes} nodes");
        eprintln!("micro-bench: discovery: {nodes} nodes: p50 {:.1} ms", found.connected.p50_ms);
        all.push(found);
        server.end().await?;
    }
    load.end().await?;
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_is_complete_if_it_found_every_node() {
        let lookups = Lookups::of(&[(3.0, 10), (1.0, 9), (2.0, 10)], 10);
        assert_eq!((lookups.times, lookups.complete), (3, 2));
        assert_eq!((lookups.fewest, lookups.most), (9, 10));
        assert_eq!((lookups.p50_ms, lookups.p99_ms), (2.0, 3.0));
    }
}
