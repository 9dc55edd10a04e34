//! What is printed: Markdown, so that it can be pasted anywhere.

use std::fmt;

use serde::Serialize;

use crate::calls::{Cell, Sample};
use crate::discovery::{Found, Lookups};
use crate::lookup::Lookup;
use crate::machine::Machine;
use crate::stats::Spread;
use crate::ways::Way;

/// Everything that was measured, as it is written into a file.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) calls: Vec<Cell>,
    pub(crate) discovery: Vec<Found>,
    pub(crate) lookup: Vec<Lookup>,
}

/// The tables of calls.
pub(crate) struct Calls<'a>(pub(crate) &'a [Cell]);

/// The table of lookups.
pub(crate) struct Discovery<'a>(pub(crate) &'a [Found]);

/// What a lookup of what is known costs.
pub(crate) struct Warm<'a>(pub(crate) &'a [Lookup]);

impl fmt::Display for Warm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\nWarm discovery, as each call does it among 51 known services:")?;
        for (at, lookup) in self.0.iter().enumerate() {
            let (and, threads) = (if at == 0 { "" } else { "," }, lookup.threads);
            let threads =
                if threads == 1 { "1 thread" } else { &format!("{threads} threads at once") };
            write!(f, "{and} {:.0} ns with {threads}", lookup.spread())?;
        }
        writeln!(f, ".")
    }
}

impl fmt::Display for Calls<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.0.iter().flat_map(|cell| &cell.ways).map(|way| way.rounds.len()).max();
        writeln!(
            f,
            "\nCalls: medians (least–greatest) of {} rounds. B is \
             `async_nats::Client::request()`, tonic a unary call without metadata, ours a typed \
             call with 8 entries of metadata; ratios are those of the same round. CPU is that of \
             client + server per call.",
            rounds.unwrap_or_default()
        )?;
        beside(f, self.0, Way::B, &[Way::Nats])?;
        beside(f, self.0, Way::Tonic, &[Way::Tcp, Way::Nats])?;
        beside(f, self.0, Way::TonicUnix, &[Way::Unix])
    }
}

impl fmt::Display for Discovery<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nCold discovery: the first lookup of a registry, on a connection that is there, and \
             with one that it makes. Each node has a registry of its own; all are in one process, \
             ten to a connection.\n"
        )?;
        discovery(f, self.0)
    }
}

/// The table of one way, and of others beside it.
fn beside(f: &mut fmt::Formatter<'_>, cells: &[Cell], base: Way, others: &[Way]) -> fmt::Result {
    let to = format!("to {}", base.title());
    writeln!(f)?;
    row(
        f,
        &["body, in flight", "what", "k calls/s", &to, "p50, µs", &to, "p99, µs", "CPU, µs", &to],
    )?;
    writeln!(f, "{}|", "|---".repeat(9))?;
    for cell in cells {
        calls(f, cell, base, base)?;
        for &other in others {
            calls(f, cell, other, base)?;
        }
    }
    Ok(())
}

fn calls(f: &mut fmt::Formatter<'_>, cell: &Cell, way: Way, base: Way) -> fmt::Result {
    let rounds = cell.rounds(way);
    let spread = |figure: fn(&Sample) -> f64| Spread::of(rounds.iter().map(figure));
    let to_base = |figure: fn(&Sample) -> f64| match way == base {
        true => "1".to_owned(),
        false => {
            let pairs = rounds.iter().zip(cell.rounds(base));
            Spread::of(pairs.map(|(way, base)| figure(way) / figure(base))).to_string()
        }
    };
    let cpu = [
        spread(Sample::cpu_us).median,
        spread(|sample| sample.client_cpu_us).median,
        spread(|sample| sample.server_cpu_us).median,
    ];
    row(
        f,
        &[
            &format!("{}, {}", bytes(cell.size), cell.in_flight),
            way.title(),
            &format!("{:.1}", spread(|sample| sample.rate / 1e3)),
            &to_base(|sample| sample.rate),
            &format!("{:.0}", spread(|sample| sample.p50_us)),
            &to_base(|sample| sample.p50_us),
            &format!("{:.0}", spread(|sample| sample.p99_us).median),
            &format!("{:.2} ({:.2} + {:.2})", cpu[0], cpu[1], cpu[2]),
            &to_base(Sample::cpu_us),
        ],
    )
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::Series;

    fn sample(rate: f64) -> Sample {
        Sample { rate, p50_us: 500.0, p99_us: 900.0, client_cpu_us: 3.0, server_cpu_us: 1.0 }
    }

    #[test]
    fn a_row_has_the_ratios_of_the_rounds_and_not_of_the_medians() {
        let series = |way, rates: &[f64]| Series {
            way,
            rounds: rates.iter().map(|&rate| sample(rate)).collect(),
        };
        // The medians are 200k and 100k, and the ratios 1.0, 0.5 and 0.1.
        let ways = vec![
            series(Way::Nats, &[1e5, 1e5, 3e4]),
            series(Way::B, &[1e5, 2e5, 3e5]),
            series(Way::Tonic, &[1e4, 1e4, 1e4]),
        ];
        let table = Calls(&[Cell { size: 1024, in_flight: 64, ways }]).to_string();
        let rows = |what: &str| {
            let start = format!("| 1 KiB, 64 | {what} | ");
            table.lines().filter_map(|line| line.strip_prefix(&start)).collect::<Vec<_>>()
        };
        let p50_to_cpu =
            "| 500 (500–500) | 1.00 (1.00–1.00) | 900 | 4.00 (3.00 + 1.00) | 1.00 (1.00–1.00) |";
        assert_eq!(
            rows("ours, NATS"),
            [
                format!("100.0 (30.0–100.0) | 0.50 (0.10–1.00) {p50_to_cpu}"),
                format!("100.0 (30.0–100.0) | 10.00 (3.00–10.00) {p50_to_cpu}"),
            ]
        );
        let [b] = rows("B")[..] else { panic!("{table}") };
        assert_eq!(
            b,
            "200.0 (100.0–300.0) | 1 | 500 (500–500) | 1 | 900 | 4.00 (3.00 + 1.00) | 1 |"
        );
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().all(|line| [0, 10].contains(&columns(line))), "{table}");
    }

    #[test]
    fn a_lookup_that_missed_nodes_is_told() {
        let lookups = |complete, fewest| Lookups {
            times: 20,
            complete,
            fewest,
            most: 10,
            p50_ms: 1.26,
            p99_ms: 3.0,
        };
        let (connected, connecting) = (lookups(20, 10), lookups(19, 7));
        let table = Discovery(&[Found { nodes: 10, connected, connecting }]).to_string();
        let row = "| 10 | 1.3 / 3.0 | all 20 | 1.3 / 3.0 | 19 of 20, one had only 7 nodes |";
        assert_eq!(table.lines().last(), Some(row));
    }
}
