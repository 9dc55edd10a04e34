//! What is printed: Markdown, so that it can be pasted anywhere.

use std::fmt;

use serde::Serialize;

use crate::calls::{Cell, Round, Sample};
use crate::discovery::{Found, Lookups};
use crate::machine::Machine;
use crate::stats::Spread;

/// Everything that was measured.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) calls: Vec<Cell>,
    pub(crate) discovery: Vec<Found>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.machine)?;
        if let Some(cell) = self.calls.first() {
            writeln!(
                f,
                "\nCalls: medians (least–greatest) of {} rounds. B is `async_nats::Client::request()`, \
                 ours a typed call over NATS with 8 entries of metadata; ratios are those of ours \
                 to B of the same round. CPU is that of client + server per call.\n",
                cell.rounds.len()
            )?;
            calls(f, &self.calls)?;
        }
        if !self.discovery.is_empty() {
            writeln!(
                f,
                "\nCold discovery: the first lookup of a registry, on a connection that is there, \
                 and with one that it makes. Each node has a registry of its own; all are in one \
                 process, ten to a connection.\n"
            )?;
            discovery(f, &self.discovery)?;
        }
        Ok(())
    }
}

fn calls(f: &mut fmt::Formatter<'_>, cells: &[Cell]) -> fmt::Result {
    row(
        f,
        &[
            "body, in flight",
            "B, k calls/s",
            "ours, k calls/s",
            "ratio",
            "p50 of B, µs",
            "p50 of ours, µs",
            "p50 ratio",
            "p99 of B / ours, µs",
            "CPU of B, µs",
            "CPU of ours, µs",
            "CPU ratio",
        ],
    )?;
    writeln!(f, "{}|", "|---".repeat(11))?;
    for cell in cells {
        let spread = |figure: fn(&Round) -> f64| Spread::of(cell.rounds.iter().map(figure));
        let p99 = [spread(|round| round.b.p99_us), spread(|round| round.ours.p99_us)];
        let cpu = |of: fn(&Round) -> &Sample| {
            let median = |figure: fn(&Sample) -> f64| {
                Spread::of(cell.rounds.iter().map(|round| figure(of(round)))).median
            };
            format!(
                "{:.2} ({:.2} + {:.2})",
                median(Sample::cpu_us),
                median(|sample| sample.client_cpu_us),
                median(|sample| sample.server_cpu_us)
            )
        };
        row(
            f,
            &[
                &format!("{}, {}", bytes(cell.size), cell.in_flight),
                &format!("{:.1}", spread(|round| round.b.rate / 1e3)),
                &format!("{:.1}", spread(|round| round.ours.rate / 1e3)),
                &format!("{:.2}", spread(|round| round.ours.rate / round.b.rate)),
                &format!("{:.0}", spread(|round| round.b.p50_us)),
                &format!("{:.0}", spread(|round| round.ours.p50_us)),
                &format!("{:.2}", spread(|round| round.ours.p50_us / round.b.p50_us)),
                &format!("{:.0} / {:.0}", p99[0].median, p99[1].median),
                &cpu(|round| &round.b),
                &cpu(|round| &round.ours),
                &format!("{:.2}", spread(|round| round.ours.cpu_us() / round.b.cpu_us())),
            ],
        )?;
    }
    Ok(())
}

fn discovery(f: &mut fmt::Formatter<'_>, found: &[Found]) -> fmt::Result {
    row(f, &["nodes", "p50 / p99, ms", "complete", "with connecting, p50 / p99, ms", "complete"])?;
    writeln!(f, "{}|", "|---".repeat(5))?;
    for Found { nodes, connected, connecting } in found {
        let times = |lookups: &Lookups| format!("{:.1} / {:.1}", lookups.p50_ms, lookups.p99_ms);
        let (nodes, first, second) = (nodes.to_string(), times(connected), times(connecting));
        row(f, &[&nodes, &first, &complete(connected), &second, &complete(connecting)])?;
    }
    Ok(())
}

fn complete(lookups: &Lookups) -> String {
    let Lookups { times, complete, fewest, .. } = lookups;
    match complete == times {
        true => format!("all {times}"),
        false => format!("{complete} of {times}, one had only {fewest} nodes"),
    }
}

fn bytes(size: usize) -> String {
    match size % 1024 {
        0 => format!("{} KiB", size / 1024),
        _ => format!("{size} B"),
    }
}

fn row(f: &mut fmt::Formatter<'_>, cells: &[&str]) -> fmt::Result {
    for cell in cells {
        write!(f, "| {cell} ")?;
    }
    writeln!(f, "|")
}
