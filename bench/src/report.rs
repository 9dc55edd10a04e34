//! What is printed: Markdown, so that it can be pasted anywhere.

use std::fmt;

use serde::Serialize;

use crate::calls::{Cell, Round, Sample};
use crate::discovery::{Found, Lookups};
use crate::lookup::Lookup;
use crate::machine::Machine;
use crate::stats::Spread;

/// Everything that was measured, as it is written into a file.
#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) calls: Vec<Cell>,
    pub(crate) discovery: Vec<Found>,
    pub(crate) lookup: Vec<Lookup>,
}

/// The table of calls.
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
        let rounds = self.0.first().map_or(0, |cell| cell.rounds.len());
        writeln!(
            f,
            "\nCalls: medians (least–greatest) of {rounds} rounds. B is \
             `async_nats::Client::request()`, ours a typed call over NATS with 8 entries of \
             metadata; ratios are those of ours to B of the same round. CPU is that of client + \
             server per call.\n"
        )?;
        calls(f, self.0)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64) -> Sample {
        Sample { rate, p50_us: 500.0, p99_us: 900.0, client_cpu_us: 3.0, server_cpu_us: 1.0 }
    }

    #[test]
    fn a_row_has_the_ratios_of_the_rounds_and_not_of_the_medians() {
        let round = |b, ours| Round { b: sample(b), ours: sample(ours) };
        // The medians are 200k and 100k, and the ratios 1.0, 0.5 and 0.1.
        let rounds = vec![round(1e5, 1e5), round(2e5, 1e5), round(3e5, 3e4)];
        let table = Calls(&[Cell { size: 1024, in_flight: 64, rounds }]).to_string();
        let row = table.lines().last().unwrap();
        assert!(
            row.starts_with("| 1 KiB, 64 | 200.0 (100.0–300.0) | 100.0 (30.0–100.0) |"),
            "{row}"
        );
        assert!(row.contains("| 0.50 (0.10–1.00) | 500 (500–500) |"), "{row}");
        assert!(row.ends_with("| 4.00 (3.00 + 1.00) | 1.00 (1.00–1.00) |"), "{row}");
        let columns = |line: &str| line.matches('|').count();
        assert!(table.lines().skip(3).all(|line| columns(line) == columns(row)), "{table}");
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
