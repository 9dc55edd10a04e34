//! A service that greets until Ctrl-C; start it as often as you like.
//!
//! ```text
//! $ cargo run --bin greeter-server -- --profile=nats
//! INFO serving service="greeter" node="greeter-6f3c…" address="_INBOX.…"
//! ```
//!
//! Then `greeter-client --profile=nats` finds it, from another process or machine.

use clap::Parser;
use micro::{Context, Service};
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Greets whoever calls Greeter.Hello, until Ctrl-C")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
}

#[derive(Deserialize)]
struct Hello {
    name: String,
}

#[derive(Serialize)]
struct Greeting {
    greeting: String,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("info");
    let options = Options::parse();
    Service::builder("greeter")
        .handler("Greeter.Hello", async |_: Context, hello: Hello| {
            Ok(Greeting { greeting: format!("Hello {}", hello.name) })
        })
        .flags(&options.micro)
        .build()?
        .run()
        .await?;
    Ok(())
}
