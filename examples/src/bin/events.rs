//! Events: every subscriber gets each one, of a queue one member.
//!
//! ```text
//! $ cargo run --bin events
//! audit: order 1
//! worker 2: order 1
//! audit: order 2
//! worker 1: order 2
//! …
//! every order was audited, and shipped by one worker
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Parser;
use micro::{Client, Context, Plugins, Service};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Parser)]
#[command(about = "Publishes orders to an auditor and to a queue of two workers")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
    /// How many orders
    #[arg(long, default_value_t = 4)]
    count: u64,
}

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("warn");
    let options = Options::parse();
    // Whoever is built from the same value shares its connections and its memory.
    let plugins = Plugins::new();
    let (done, mut handled) = mpsc::channel(64);

    let mut running = Vec::new();
    for (name, queue) in [("audit", None), ("worker 1", Some("ship")), ("worker 2", Some("ship"))] {
        let done = done.clone();
        let handler = move |_: Context, order: Order| {
            let done = done.clone();
            async move {
                println!("{name}: order {}", order.number);
                // Nobody counts any more once the program ends.
                let _ = done.send((name, order.number)).await;
                Ok(())
            }
        };
        let service = Service::builder(name.replace(' ', "-"));
        let service = match queue {
            None => service.subscriber("orders", handler),
            Some(queue) => service.queue_subscriber("orders", queue, handler),
        };
        let service = service.plugins(&plugins).flags(&options.micro).build()?;
        running.push(service.start().await?);
    }

    let client = Client::builder().plugins(&plugins).flags(&options.micro).build()?;
    for number in 1..=options.count {
        client.publish("orders", &Order { number }).await?;
    }

    // Each order reaches the auditor and one worker.
    let mut by_order: BTreeMap<u64, Vec<&str>> = BTreeMap::new();
    for _ in 0..2 * options.count {
        let next = tokio::time::timeout(Duration::from_secs(5), handled.recv()).await;
        let (name, number) = next.ok().flatten().context("an event did not arrive within 5 s")?;
        by_order.entry(number).or_default().push(name);
    }
    let fair = |names: &Vec<&str>| names.len() == 2 && names.contains(&"audit");
    ensure!(by_order.values().all(fair), "delivered otherwise: {by_order:?}");
    println!("every order was audited, and shipped by one worker");

    for service in running {
        service.stop().await?;
    }
    Ok(())
}
