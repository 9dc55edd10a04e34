//! `micro call`: a request and its reply.

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
    known.must_have_fields(&format, &body)?;
    let waits_for = format!("waiting for {} of {}", target.endpoint, target.service);
    let (mut times, mut failed) = (Vec::new(), 0_u64);
    let began = Instant::now();
    let progress = terminal.counting(args.count);
    for _ in 0..args.count {
        let asked = Instant::now();
        let called = once(args, &format, body.clone(), network);
        let answer = match &progress {
            None => terminal.waiting(&waits_for, called).await,
            Some(progress) => called.await.inspect(|_| progress.step()),
        };
        times.push(asked.elapsed());
        match answer {
            Ok(reply) => {
                format.print(console, reply, args.count == 1)?;
                console.out().flush()?;
            }
            Err(failure) if args.count == 1 => return Err(failure),
            Err(Failure::Failed(error, _)) => {
                failed += 1;
                console.error(&error);
            }
            Err(other) => return Err(other),
        }
    }
    drop(progress);
    if args.count > 1 {
        console.say(summary(&mut times, failed, began.elapsed()));
    }
    if failed > 0 { Err(Failure::Told) } else { Ok(()) }
}

async fn once(
    args: &Call,
    format: &Format,
    body: Bytes,
    network: &Network,
) -> Result<Bytes, Failure> {
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
    match network.reach(parts, call.into_future()).await {
        Ok(reply) => Ok(reply),
        Err(error) => Err(network.explain(&target.service, &target.endpoint, error).await),
    }
}

fn summary(times: &mut [Duration], failed: u64, whole: Duration) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() - 1) * share / 100);
    let spell = |time: Option<&Duration>| {
        time.map(|time| format!("{:.2} ms", time.as_secs_f64() * 1000.0)).unwrap_or_default()
    };
    format!(
        "{} calls in {}, {failed} failed; p50 {}, p99 {}, longest {}",
        times.len(),
        spell(Some(&whole)),
        spell(at(50)),
        spell(at(99)),
        spell(times.last()),
    )
}
