//! What it costs a call to find the nodes of a service that is known: the registry cache alone,
//! where no network is in the way.

use std::hint::black_box;
use std::time::Instant;

use anyhow::bail;
use micro::{Client, Plugins, Service};
use serde::Serialize;

use crate::stats::Spread;

const SERVICE: &str = "bench-lookup";
/// How many services the client knows beside it.
const OTHERS: usize = 50;
const LOOKUPS: u32 = 200_000;

/// The time of one lookup, in nanoseconds, of each round.
#[derive(Serialize)]
pub(crate) struct Lookup {
    /// How many threads looked up at once.
    pub(crate) threads: usize,
    rounds: Vec<f64>,
}

impl Lookup {
    /// Median, least and greatest, in nanoseconds.
    pub(crate) fn spread(&self) -> Spread {
        Spread::of(self.rounds.iter().copied())
    }
}

/// Measures with one thread and with two.
///
/// # Errors
/// If the service cannot be started or found.
pub(crate) async fn measure(rounds: usize) -> anyhow::Result<Vec<Lookup>> {
    let plugins = Plugins::new();
    let mut running = Vec::new();
    for name in (0..OTHERS).map(|other| format!("other-{other}")).chain([SERVICE.to_owned()]) {
        let service = Service::builder(name).plugins(&plugins).build()?;
        running.push(service.start().await?);
    }
    let client = Client::builder().plugins(&plugins).build()?;
    for service in &running {
        // Nobody has this endpoint; the service is known from then on.
        let _ = client.call::<_, ()>(service.name(), "No.Body", &()).await;
    }
    if !client.is_known(SERVICE) {
        bail!("{SERVICE} was called and is not known");
    }
    let mut lookups = Vec::new();
    for threads in [1, 2] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let looking = (0..threads).map(|_| tokio::task::spawn_blocking(looking(&client)));
            let mut slowest = 0.0f64;
            for looked in looking.collect::<Vec<_>>() {
                slowest = slowest.max(looked.await?);
            }
            times.push(slowest);
        }
        lookups.push(Lookup { threads, rounds: times });
    }
    Ok(lookups)
}

/// Looks up again and again; nanoseconds for each.
fn looking(client: &Client) -> impl FnOnce() -> f64 + Send + use<> {
    let client = client.clone();
    move || {
        let start = Instant::now();
        for _ in 0..LOOKUPS {
            black_box(client.is_known(black_box(SERVICE)));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(LOOKUPS)
    }
}
