//! The driver of calls: one way of calling after the other, cell after cell, round after round.

use std::fmt;

use serde::Serialize;

use crate::load::{Measured, Order};
use crate::ways::{Pair, Way};

/// What is measured, and for how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How often everything is measured.
    pub(crate) rounds: usize,
    /// Size of the body and calls in flight.
    pub(crate) cells: &'static [(usize, usize)],
    /// Before each measurement, in seconds.
    pub(crate) warm_up: f64,
    /// Each measurement, in seconds.
    pub(crate) seconds: f64,
}

/// All measurements of one size with so many in flight.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    /// Bytes of each body.
    pub(crate) size: usize,
    /// How many calls were under way.
    pub(crate) in_flight: usize,
    /// One for each way.
    pub(crate) ways: Vec<Series>,
}

/// What was measured of one way: a sample of each round, in their order.
#[derive(Debug, Serialize)]
pub(crate) struct Series {
    /// How it was called.
    pub(crate) way: Way,
    /// As many as there are rounds.
    pub(crate) rounds: Vec<Sample>,
}

impl Cell {
    fn new(size: usize, in_flight: usize) -> Self {
        let ways = Way::ALL.iter().map(|&way| Series { way, rounds: Vec::new() }).collect();
        Self { size, in_flight, ways }
    }

    /// The samples of this way; those of the same place are of the same round.
    pub(crate) fn rounds(&self, way: Way) -> &[Sample] {
        self.ways.iter().find(|series| series.way == way).map_or(&[], |series| &series.rounds)
    }

    fn add(&mut self, way: Way, sample: Sample) {
        let series = self.ways.iter_mut().find(|series| series.way == way);
        series.into_iter().for_each(|series| series.rounds.push(sample));
    }
}

/// One measurement.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Sample {
    /// Calls per second.
    pub(crate) rate: f64,
    /// Half of the calls took less, in µs.
    pub(crate) p50_us: f64,
    /// 99 of 100 took less, in µs.
    pub(crate) p99_us: f64,
    /// Processor time of the client per call, in µs.
    pub(crate) client_cpu_us: f64,
    /// Processor time of the server per call, in µs; that of NATS is not in it.
    pub(crate) server_cpu_us: f64,
}

impl Sample {
    /// Of client and server, in µs per call.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.client_cpu_us + self.server_cpu_us
    }

    /// From what the client says and the seconds of processor time that the server used meanwhile.
    pub(crate) fn of(measured: &Measured, server_cpu: f64) -> Self {
        // A measurement without an answer would have been an error.
        let calls = measured.calls.max(1) as f64;
        Self {
            rate: calls / measured.seconds,
            p50_us: measured.p50_us,
            p99_us: measured.p99_us,
            client_cpu_us: measured.cpu_seconds * 1e6 / calls,
            server_cpu_us: server_cpu * 1e6 / calls,
        }
    }
}

/// `91k/s, p50 640 µs`
impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1}k/s, p50 {:.0} µs", self.rate / 1e3, self.p50_us)
    }
}

/// Measures with the nats-server at this address.
///
/// # Errors
/// If a process ends or a call fails.
pub(crate) async fn measure(nats: &str, plan: &Plan) -> anyhow::Result<Vec<Cell>> {
    let mut pairs = Vec::new();
    for &way in Way::ALL {
        pairs.push(Pair::start(way, nats).await?);
    }
    let mut cells: Vec<Cell> =
        plan.cells.iter().map(|&(size, in_flight)| Cell::new(size, in_flight)).collect();
    for number in 1..=plan.rounds {
        for cell in &mut cells {
            let &mut Cell { size, in_flight, .. } = cell;
            eprint!(
                "micro-bench: round {number} of {}: {size} B, {in_flight} in flight",
                plan.rounds
            );
            for pair in &mut pairs {
                let order = Order { size, in_flight, seconds: plan.seconds };
                let sample = pair.measure(order, plan.warm_up).await?;
                eprint!("; {} {sample}", pair.way().title());
                cell.add(pair.way(), sample);
            }
            eprintln!();
        }
        // Whoever is later may find the machine in another state.
        pairs.rotate_left(1);
    }
    for pair in pairs {
        pair.end().await?;
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_per_second_and_per_call() {
        let measured = Measured {
            calls: 1_000,
            seconds: 0.5,
            p50_us: 400.0,
            p99_us: 900.0,
            cpu_seconds: 0.004,
        };
        let sample = Sample::of(&measured, 0.002);
        assert_eq!((sample.rate, sample.client_cpu_us, sample.server_cpu_us), (2_000.0, 4.0, 2.0));
        assert_eq!(sample.cpu_us(), 6.0);
        assert_eq!(sample.to_string(), "2.0k/s, p50 400 µs");
    }
}
