//! So many calls in flight, each followed by the next: the same loop for whatever is called.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::lines::cpu_time;
use crate::stats::percentile;

/// Room for samples per task. A page of it that is not written to costs nothing, and who makes
/// more calls pays for the growth.
const SAMPLES: usize = 1 << 15;

/// What calls; each task has a clone of its own.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// One call with this body; gives the body of the reply.
    fn call(&mut self, body: Bytes) -> impl Future<Output = anyhow::Result<Bytes>> + Send;
}

/// What a client is to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Bytes of each body.
    pub(crate) size: usize,
    /// How many calls are under way at any time.
    pub(crate) in_flight: usize,
    /// How long.
    pub(crate) seconds: f64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    /// How many were answered.
    pub(crate) calls: u64,
    /// From the start to the last answer.
    pub(crate) seconds: f64,
    /// How long one took, in µs: half of them less than this.
    pub(crate) p50_us: f64,
    /// 99 of 100 less than this.
    pub(crate) p99_us: f64,
    /// Processor time of this process, that of the loop included.
    pub(crate) cpu_seconds: f64,
}

/// Calls until the time is over, and until what was begun is answered.
///
/// # Errors
/// The first call that failed, or had a body of another size for an answer.
pub(crate) async fn closed_loop<C: Caller>(caller: &C, order: Order) -> anyhow::Result<Measured> {
    let length = Duration::try_from_secs_f64(order.seconds)?;
    ensure!(order.in_flight > 0, "no call in flight measures nothing");
    let body = Bytes::from(vec![b'x'; order.size]);
    let samples: Vec<_> = (0..order.in_flight).map(|_| Vec::with_capacity(SAMPLES)).collect();
    let (cpu, start) = (cpu_time(), Instant::now());
    let mut tasks: JoinSet<_> = (samples.into_iter())
        .map(|samples| one_after_the_other(caller.clone(), body.clone(), start + length, samples))
        .collect();
    let mut all: Vec<u32> = Vec::new();
    let mut took = Vec::with_capacity(order.in_flight);
    while let Some(done) = tasks.join_next().await {
        took.push(done??);
    }
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_time().saturating_sub(cpu));
    for samples in took {
        all.extend(samples);
    }
    all.sort_unstable();
    let us = |q| f64::from(percentile(&all, q).unwrap_or_default()) / 10.0;
    Ok(Measured {
        calls: all.len() as u64,
        seconds,
        p50_us: us(0.50),
        p99_us: us(0.99),
        cpu_seconds: cpu.as_secs_f64(),
    })
}

/// Gives how long each call took, in units of 100 ns.
async fn one_after_the_other<C: Caller>(
    mut caller: C,
    body: Bytes,
    until: Instant,
    mut samples: Vec<u32>,
) -> anyhow::Result<Vec<u32>> {
    let mut before = Instant::now();
    while before < until {
        let reply = caller.call(body.clone()).await?;
        ensure!(reply.len() == body.len(), "{} bytes for {}", reply.len(), body.len());
        // One look at the clock ends this call and begins the next.
        let now = Instant::now();
        let took = now.duration_since(before).as_nanos() / 100;
        samples.push(u32::try_from(took).unwrap_or(u32::MAX));
        before = now;
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Answer(usize);

    impl Caller for Answer {
        async fn call(&mut self, body: Bytes) -> anyhow::Result<Bytes> {
            tokio::time::sleep(Duration::from_millis(1)).await;
            Ok(body.slice(..self.0))
        }
    }

    #[tokio::test]
    async fn every_call_is_counted_and_timed() {
        let order = Order { size: 8, in_flight: 4, seconds: 0.05 };
        let measured = closed_loop(&Answer(8), order).await.unwrap();
        assert!(measured.calls >= 4, "{measured:?}");
        assert!(measured.seconds >= 0.05, "{measured:?}");
        assert!(measured.p50_us >= 1_000.0 && measured.p99_us >= measured.p50_us, "{measured:?}");
    }

    #[tokio::test]
    async fn a_reply_of_another_size_is_an_error() {
        let order = Order { size: 8, in_flight: 2, seconds: 0.05 };
        let error = closed_loop(&Answer(7), order).await.unwrap_err();
        assert_eq!(error.to_string(), "7 bytes for 8");
    }
}
