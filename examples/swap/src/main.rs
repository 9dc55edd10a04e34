//! Serves, calls and sends an event over whichever backends the three lines of its manifest name.
//!
//! ```text
//! $ cargo run --bin swap
//! registry nats: reaches other machines
//! transport nats: reaches other machines; undelivered
//! broker nats: reaches other machines; wildcards; bodies up to 783360 bytes
//! called over nats: Hello World
//! event over nats: greeted World
//! ```
//!
//! That is with a nats-server at 127.0.0.1:4222, or where the flags say that one is.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use micro::{Context, Error, PluginConfig, Result, Service};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// How long a call or an event may take.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Parser)]
#[command(about = "Serves, calls and sends an event over the backends that it was built with")]
struct Options {
    /// Addresses of the registry, comma-separated [default: the plugin's own]
    #[arg(long = "registry_address", value_name = "ADDRESS,…", value_delimiter = ',')]
    registry: Vec<String>,
    /// Addresses of the transport, comma-separated [default: the plugin's own]
    #[arg(long = "transport_address", value_name = "ADDRESS,…", value_delimiter = ',')]
    transport: Vec<String>,
    /// Addresses of the broker, comma-separated [default: the plugin's own]
    #[arg(long = "broker_address", value_name = "ADDRESS,…", value_delimiter = ',')]
    broker: Vec<String>,
    /// Keeps it apart from others on the same network
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match exchange(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("swap: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn exchange(options: Options) -> Result<()> {
    let config = |addresses: &[String]| {
        let mut config = PluginConfig::default().with_addresses(addresses);
        config.namespace.clone_from(&options.namespace);
        config
    };
    let (heard, mut events) = mpsc::channel(1);

    let service = Service::builder("greeter")
        .handler("Greeter.Hello", async |_: Context, hello: Hello| {
            Ok(format!("Hello {}", hello.name))
        })
        .subscriber("greeted", move |_: Context, hello: Hello| {
            let heard = heard.clone();
            async move {
                // Nobody listens any more once the program ends.
                let _ = heard.send(hello.name).await;
                Ok(())
            }
        })
        .registry(registry::Registry::from_config(&config(&options.registry))?)
        .transport(transport::Transport::from_config(&config(&options.transport))?)
        .broker(broker::Broker::from_config(&config(&options.broker))?)
        .build()?;
    tell_capabilities(&service);
    let running = service.start().await?;

    let world = Hello { name: "World".into() };
    let client = running.client();
    let reply: String = client.call("greeter", "Greeter.Hello", &world).timeout(LIMIT).await?;
    println!("called over {}: {reply}", transport::NAME);

    client.publish("greeted", &world).await?;
    let event = tokio::time::timeout(LIMIT, events.recv()).await;
    let name = event.ok().flatten().ok_or_else(|| Error::timeout("the event did not arrive"))?;
    println!("event over {}: greeted {name}", broker::NAME);

    running.stop().await
}

/// What differs between plugins of one kind is what they can do, and each says it.
fn tell_capabilities(service: &Service) {
    let backends = service.backends();

    let can = backends.registry.capabilities();
    println!("registry {}: reaches {}", registry::NAME, can.reach);

    let can = backends.transport.capabilities();
    let mut words = vec![format!("reaches {}", can.reach)];
    for (able, word) in
        [(can.undelivered, "undelivered"), (can.closed, "closed"), (can.reliable, "reliable")]
    {
        words.extend(able.then(|| word.to_owned()));
    }
    words.extend(can.max_packet.map(|bytes| format!("packets up to {bytes} bytes")));
    println!("transport {}: {}", transport::NAME, words.join("; "));

    let can = backends.broker.capabilities();
    let mut words = vec![format!("reaches {}", can.reach)];
    for (able, word) in [(can.wildcards, "wildcards"), (can.acknowledges, "acknowledges")] {
        words.extend(able.then(|| word.to_owned()));
    }
    words.extend(can.max_body.map(|bytes| format!("bodies up to {bytes} bytes")));
    println!("broker {}: {}", broker::NAME, words.join("; "));
}
