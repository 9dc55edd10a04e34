//! Runs targets for a while without libFuzzer: mutations of the corpus, one after the other.

use std::fs;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use micro_fuzz::mutate::Mutator;
use micro_fuzz::{TARGETS, Target, corpus};

const USAGE: &str = "usage: fuzz-stable [--seconds N] [--target NAME] [--seed N]

Mutates the inputs in fuzz/corpus and gives them to each target, or to the one that is named, for N
seconds (60) each. Ends at the first input that a property does not hold for, that takes longer than a
second, or when memory grows; such an input is written into fuzz/artifacts.
The seed that is printed, and --seed, make the same inputs again.";

/// An input of at most 16 KiB takes some microseconds.
const SLOWEST: Duration = Duration::from_secs(1);
/// What the allocator may keep after the first fifth of the time; a leak of one byte an input
/// would be more.
const GROWTH_KIB: u64 = 16 * 1024;

struct Asked {
    time: Duration,
    seed: u64,
    targets: Vec<Target>,
}

fn main() -> ExitCode {
    let asked = match asked(std::env::args().skip(1)) {
        Ok(Some(asked)) => asked,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(flaw) => {
            eprintln!("fuzz-stable: {flaw}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let mut all = 0;
    for target in &asked.targets {
        match run(target, asked.time, asked.seed) {
            Ok(inputs) => all += inputs,
            Err(flaw) => {
                eprintln!("fuzz-stable: {}: FAILED: {flaw} (--seed {})", target.name, asked.seed);
                return ExitCode::FAILURE;
            }
        }
    }
    println!("fuzz-stable: {all} inputs to {} targets, no flaw", asked.targets.len());
    ExitCode::SUCCESS
}

fn asked(mut arguments: impl Iterator<Item = String>) -> Result<Option<Asked>, String> {
    let mut asked =
        Asked { time: Duration::from_secs(60), seed: fastrand::u64(..), targets: TARGETS.to_vec() };
    while let Some(name) = arguments.next() {
        if matches!(&*name, "-h" | "--help") {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{name} has no value"))?;
        let number = || value.parse().map_err(|_| format!("{name} {value} is no number"));
        match &*name {
            "--seconds" => asked.time = Duration::from_secs(number()?),
            "--seed" => asked.seed = number()?,
            "--target" => asked.targets.retain(|target| target.name == value),
            _ => return Err(format!("{name} is unknown")),
        }
    }
    if asked.targets.is_empty() {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        return Err(format!("there is no such target; there are {}", names.join(", ")));
    }
    Ok(Some(asked))
}

/// Returns how many inputs there were.
fn run(target: &Target, time: Duration, seed: u64) -> Result<u64, String> {
    println!("fuzz-stable: {}: {} s, --seed {seed}", target.name, time.as_secs());
    let inputs = corpus::read(target.name).map_err(|error| format!("no corpus: {error}"))?;
    let mut mutator = Mutator::new(inputs.into_iter().map(|(_, input)| input).collect(), seed);
    let (mut count, mut taken, mut slowest) = (0_u64, 0_u64, Duration::ZERO);
    let (began, mut warm) = (Instant::now(), None);
    let mut at = began;
    while at - began < time {
        let input = mutator.make();
        let from = Instant::now();
        match catch_unwind(|| (target.run)(input)) {
            Ok(true) => {
                taken += 1;
                mutator.keep();
            }
            Ok(false) => {}
            // The hook has printed why.
            Err(_) => {
                return Err(format!("a property does not hold; {}", kept(target, seed, input)));
            }
        }
        at = Instant::now();
        slowest = slowest.max(at - from);
        if at - from > SLOWEST && again(target, mutator.input()) > SLOWEST {
            return Err(format!(
                "an input took {:?}; {}",
                at - from,
                kept(target, seed, mutator.input())
            ));
        }
        count += 1;
        if warm.is_none() && at - began > time / 5 {
            warm = resident_kib();
        }
    }
    let memory = match (warm, resident_kib()) {
        (Some(warm), Some(end)) if end > warm + GROWTH_KIB => {
            return Err(format!("memory grew from {warm} KiB to {end} KiB"));
        }
        (Some(warm), Some(end)) => format!("memory {warm} KiB, then {end} KiB"),
        _ => "memory was not measured".to_owned(),
    };
    println!(
        "fuzz-stable: {}: {count} inputs, {:.0} a second, {taken} taken, slowest {slowest:?}, {memory}",
        target.name,
        count as f64 / (at - began).as_secs_f64(),
    );
    Ok(count)
}

/// How long an input takes, if nothing else keeps the processor.
fn again(target: &Target, input: &[u8]) -> Duration {
    let once = || {
        let from = Instant::now();
        (target.run)(input);
        from.elapsed()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

/// Writes down an input; says where it is.
fn kept(target: &Target, seed: u64, input: &[u8]) -> String {
    let folder = corpus::root().join("artifacts").join(target.name);
    let path = folder.join(format!("stable-{seed}"));
    match fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)) {
        Ok(()) => format!("the input is in {}", path.display()),
        Err(error) => format!("the input is {:?} ({error})", String::from_utf8_lossy(input)),
    }
}

/// What the process has in memory, where the system says it as Linux does.
fn resident_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
