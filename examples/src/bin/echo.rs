//! A service to try things with: it sends back what it gets, or as much as is asked for.
//!
//! ```text
//! $ cargo run --bin echo -- --profile=nats
//! INFO serving service="echo" node="echo-0c1b…" address="_INBOX.…"
//! ```
//!
//! `Echo.Echo` answers any body of any content type with the same; `Echo.Make` answers
//! `{"bytes": n}` with a text of n bytes.

use clap::Parser;
use micro::{Context, Service};
use serde::Deserialize;

#[derive(Parser)]
#[command(about = "Sends back what it gets, until Ctrl-C")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
}

#[derive(Deserialize)]
struct Make {
    bytes: usize,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("info");
    let options = Options::parse();
    Service::builder("echo")
        .raw_handler("Echo.Echo", async |_: Context, body| Ok(body))
        .handler("Echo.Make", async |_: Context, make: Make| Ok("x".repeat(make.bytes)))
        .flags(&options.micro)
        .build()?
        .run()
        .await?;
    Ok(())
}
