//! A service, a client and an event in one program.
//!
//! ```text
//! $ cargo run --bin greeter
//! Hello World
//! event: greeted World
//! ```
//!
//! All of go-micro's flags work (`--help` shows them); with
//! `--registry=nats --transport=nats --broker=nats` the same goes over a nats-server.

use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use micro::{Context, Service};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

#[derive(Parser)]
#[command(about = "Greets by a call and tells of it by an event, all in one program")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
    /// Whom to greet
    #[arg(long, default_value = "World")]
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Hello {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Greeting {
    greeting: String,
}

#[derive(Serialize, Deserialize)]
struct Greeted {
    name: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("warn");
    let options = Options::parse();
    let (events, mut received) = mpsc::channel(1);

    let service = Service::builder("greeter")
        .handler("Greeter.Hello", async |context: Context, hello: Hello| {
            let greeted = Greeted { name: hello.name.clone() };
            context.client().publish("greeted", &greeted).await?;
            Ok(Greeting { greeting: format!("Hello {}", hello.name) })
        })
        .subscriber("greeted", move |_: Context, event: Greeted| {
            let events = events.clone();
            async move {
                // Only the first one is waited for.
                let _ = events.try_send(event);
                Ok(())
            }
        })
        .flags(&options.micro)
        .build()?;
    let name = service.name().to_owned();
    let running = service.start().await?;

    let hello = Hello { name: options.name };
    let reply: Greeting = running.client().call(&name, "Greeter.Hello", &hello).await?;
    println!("{}", reply.greeting);

    let event = tokio::time::timeout(Duration::from_secs(5), received.recv()).await;
    let event = event.ok().flatten().context("the event did not arrive within 5 s")?;
    println!("event: greeted {}", event.name);

    running.stop().await?;
    Ok(())
}
