//! Backends by constructor, without flags: NATS where an address is given, else memory.
//!
//! ```text
//! $ cargo run --bin direct
//! over memory: 2 + 3 = 5
//! $ cargo run --bin direct 127.0.0.1:4222
//! over nats: 2 + 3 = 5
//! ```

use micro::memory::Memory;
use micro::nats::Nats;
use micro::{Context, Service, ServiceBuilder};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Sum {
    of: Vec<i64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("warn");
    let addresses: Vec<String> = std::env::args().skip(1).collect();
    anyhow::ensure!(
        !addresses.iter().any(|address| address.starts_with('-')),
        "usage: direct [ADDRESS…], such as 127.0.0.1:4222; without one it is memory"
    );

    let service = Service::builder("calculator").handler("Calculator.Add", add);
    let service = match addresses.is_empty() {
        true => over_memory(service),
        false => over_nats(service, &addresses)?,
    };
    let service = service.build()?;
    let transport = service.backends().transport.name();
    let running = service.start().await?;

    let sum = Sum { of: vec![2, 3] };
    let total: i64 = running.client().call("calculator", "Calculator.Add", &sum).await?;
    println!("over {transport}: 2 + 3 = {total}");

    running.stop().await?;
    Ok(())
}

async fn add(_: Context, sum: Sum) -> micro::Result<i64> {
    Ok(sum.of.iter().sum())
}

/// The three share one world inside this process.
fn over_memory(service: ServiceBuilder) -> ServiceBuilder {
    let world = Memory::new();
    service.registry(world.registry()).transport(world.transport()).broker(world.broker())
}

/// The three share one connection. `NatsRegistry::new(addresses)` would open one of its own.
fn over_nats(service: ServiceBuilder, addresses: &[String]) -> micro::Result<ServiceBuilder> {
    let nats = Nats::new(addresses)?;
    Ok(service
        .registry(micro::nats::NatsRegistry::with(&nats))
        .transport(micro::nats::NatsTransport::with(&nats))
        .broker(micro::nats::NatsBroker::with(&nats)))
}
