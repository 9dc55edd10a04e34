//! The driver: what it can be told, and the order of things.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use micro_testkit::server::{NatsServer, binary};
use tokio::signal::unix::{SignalKind, signal};

use crate::calls::Plan;
use crate::machine::Machine;
use crate::report::{Calls, Discovery, Report, Warm};
use crate::{calls, discovery, lookup};

/// Body and calls in flight.
const CELLS: &[(usize, usize)] =
    &[(16, 1), (16, 64), (16, 256), (1024, 1), (1024, 64), (1024, 256)];
const NODES: &[usize] = &[10, 100, 1_000];
const LOOKUPS: usize = 60;

#[derive(Args)]
pub(crate) struct Options {
    /// How often everything is measured; medians of at least five mean something
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    rounds: usize,
    /// One short round of two cells, and ten nodes: shows that it works, and no figure
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
    /// Only this part
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Writes every measurement into this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Typed calls beside the baseline and tonic
    Calls,
    /// The first lookup of services of many nodes
    Discovery,
}

impl Options {
    fn plan(&self) -> Plan {
        match self.quick {
            true => Plan { rounds: 1, cells: &CELLS[..2], warm_up: 0.1, seconds: 0.2 },
            false => Plan { rounds: self.rounds, cells: CELLS, warm_up: 0.2, seconds: 0.7 },
        }
    }

    fn lookups(&self) -> (&'static [usize], usize) {
        if self.quick { (&NODES[..1], 20) } else { (NODES, LOOKUPS) }
    }

    fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }
}

/// Measures and prints, until that is done or a signal comes; whatever was started ends with it.
///
/// # Errors
/// If something is broken; no figure is an error.
pub(crate) async fn run(options: &Options) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) =
        (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        done = measure(options) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let machine = Machine::look(&binary()).await;
    // Each part as soon as it is there: what comes later may fail.
    println!("{machine}");
    let mut nats = NatsServer::start().await;
    let mut report =
        Report { machine, calls: Vec::new(), discovery: Vec::new(), lookup: Vec::new() };
    if options.wants(Part::Calls) {
        report.calls = calls::measure(&nats.address(), &options.plan()).await?;
        print!("{}", Calls(&report.calls));
    }
    if options.wants(Part::Discovery) {
        let (sizes, times) = options.lookups();
        report.discovery = discovery::measure(&nats.address(), sizes, times).await?;
        print!("{}", Discovery(&report.discovery));
        report.lookup = lookup::measure(options.plan().rounds).await?;
        print!("{}", Warm(&report.lookup));
    }
    nats.stop().await;
    report.machine.look_again();
    println!("\n{}", report.machine.meanwhile());
    if let Some(file) = &options.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(file, json).with_context(|| file.display().to_string())?;
    }
    Ok(())
}
