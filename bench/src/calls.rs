//! The driver of calls: baseline and ours in turns, cell after cell, round after round.

use std::fmt;

use serde::Serialize;

use crate::load::{Measured, Order};
use crate::worker::Worker;

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
    /// In the order of measuring.
    pub(crate) rounds: Vec<Round>,
}

/// The same moment, as far as that is possible with two cores.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    /// The baseline.
    pub(crate) b: Sample,
    /// Typed calls.
    pub(crate) ours: Sample,
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

    fn of(measured: &Measured, server_cpu: f64) -> Self {
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
    let mut b = Pair::start(nats, "serve-b", "load-b").await?;
    let mut ours = Pair::start(nats, "serve-micro", "load-micro").await?;
    let mut cells: Vec<Cell> = (plan.cells.iter())
        .map(|&(size, in_flight)| Cell { size, in_flight, rounds: Vec::new() })
        .collect();
    for number in 0..plan.rounds {
        for cell in &mut cells {
            let order = Order { size: cell.size, in_flight: cell.in_flight, seconds: plan.seconds };
            // Whoever is second may find the machine in another state.
            let round = match number % 2 {
                0 => {
                    let b = b.measure(order, plan.warm_up).await?;
                    Round { b, ours: ours.measure(order, plan.warm_up).await? }
                }
                _ => {
                    let ours = ours.measure(order, plan.warm_up).await?;
                    Round { b: b.measure(order, plan.warm_up).await?, ours }
                }
            };
            eprintln!(
                "micro-bench: round {} of {}: {} B, {} in flight: B {}; ours {}",
                number + 1,
                plan.rounds,
                cell.size,
                cell.in_flight,
                round.b,
                round.ours
            );
            cell.rounds.push(round);
        }
    }
    for pair in [b, ours] {
        pair.load.end().await?;
        pair.server.end().await?;
    }
    Ok(cells)
}

/// A server and its client.
struct Pair {
    server: Worker,
    load: Worker,
}

impl Pair {
    async fn start(nats: &str, server: &str, load: &str) -> anyhow::Result<Self> {
        let server = Worker::start(nats, &[server]).await?;
        Ok(Self { server, load: Worker::start(nats, &[load]).await? })
    }

    async fn measure(&mut self, order: Order, warm_up: f64) -> anyhow::Result<Sample> {
        let Measured { .. } = self.load.ask(&Order { seconds: warm_up, ..order }).await?;
        let before = self.server.cpu_seconds().await?;
        let measured = self.load.ask(&order).await?;
        Ok(Sample::of(&measured, self.server.cpu_seconds().await? - before))
    }
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
