//! `micro call`: a request and its reply.

use std::fmt;
use std::io::Write;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::args::Call;
use crate::console::Console;
use crate::failure::Failure;
use crate::format::Format;
use crate::known::Known;
use crate::network::{Network, Part};

/// What a call needs of the network.
const PARTS: [Part; 2] = [Part::Registry, Part::Transport];

pub(crate) async fn run(
    args: &Call,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let target = &args.target;
    let format = Format::of(target)?;
    let (input, name) = args.body.read(console).await?;
    let body = format.encode(input, &name)?;
    let terminal = console.terminal();
    let known = terminal.waiting("looking for the service", Known::find(target, network)).await?;
    known.must_be_stream(false)?;
    if let Some(hint) = known.check_fields(&format, &body)? {
        console.hint(hint);
    }
    let waits_for = format!("waiting for {} of {}", target.endpoint, target.service);
    let mut tally = Tally::default();
    let progress = terminal.counting(args.count);
    for _ in 0..args.count {
        let asked = Instant::now();
        let called = once(args, &format, body.clone(), network);
        let answer = match &progress {
            None => terminal.waiting(&waits_for, called).await,
            Some(progress) => called.await.inspect(|_| progress.step()),
        };
        tally.add(asked.elapsed());
        let printed = match answer {
            Ok(reply) => format.print(console, reply, args.count == 1),
            Err(error) => Err(error.into()),
        };
        console.out().flush()?;
        match printed {
            Ok(()) => {}
            Err(Failure::Failed(error, _)) if args.count == 1 => {
                return Err(network.explain(&target.service, &target.endpoint, error).await);
            }
            Err(Failure::Failed(error, _)) => {
                tally.failed += 1;
                console.error(&error);
            }
            Err(other) => return Err(other),
        }
    }
    drop(progress);
    if args.count > 1 {
        console.say(&tally);
    }
    if tally.failed > 0 { Err(Failure::Told) } else { Ok(()) }
}

async fn once(
    args: &Call,
    format: &Format,
    body: Bytes,
    network: &Network,
) -> micro::Result<Bytes> {
    let target = &args.target;
    let mut call = network
        .client
        .call_raw(target.service.as_str(), &target.endpoint, body)
        .content_type(format.content_type.clone());
    for (key, value) in &target.metadata {
        call = call.metadata(key.clone(), value.clone());
    }
    if let Some(address) = &target.address {
        call = call.address(address.clone());
    }
    if let Some(timeout) = args.timeout {
        call = call.timeout(timeout);
    }
    let parts = if target.address.is_some() { &PARTS[1..] } else { &PARTS[..] };
    network.reach(parts, call.into_future()).await
}

/// How long calls took.
#[derive(Default)]
struct Tally {
    /// In microseconds.
    times: Vec<u32>,
    failed: u64,
}

impl Tally {
    fn add(&mut self, took: Duration) {
        self.times.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.times.clone();
        times.sort_unstable();
        // The nearest rank.
        let at = |share: usize| times[(times.len() * share).div_ceil(100).max(1) - 1];
        let millis = |micros: u32| f64::from(micros) / 1000.0;
        let whole: f64 = times.iter().map(|&time| f64::from(time)).sum();
        write!(
            f,
            "{} calls in {:.2} s, {} failed; p50 {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            times.len(),
            whole / 1e6,
            self.failed,
            millis(at(50)),
            millis(at(99)),
            millis(at(100)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_has_the_nearest_ranks() {
        let mut tally = Tally::default();
        for micros in [5000, 1000] {
            tally.add(Duration::from_micros(micros));
        }
        let said = tally.to_string();
        let expected = "2 calls in 0.01 s, 0 failed; p50 1.00 ms, p99 5.00 ms, longest 5.00 ms";
        assert_eq!(said, expected);
    }
}
