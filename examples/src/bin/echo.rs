//! One service with every shape, in JSON and in protobuf as the caller has it, to try clients on.
//!
//! ```text
//! $ cargo run --bin echo -- --profile=nats
//! {"serving":"echo","node":"echo-0c1b…","address":"_INBOX.…"}
//! {"topic":"events","header":{"Content-Type":"application/json",…},"body":{"name":"Bob"}}
//! ```
//!
//! Its endpoints and messages are in `examples/src/echo/echo.proto`: `Echo.Call`, `Echo.Fail` and so
//! on. It prints a line when it can be called, and one for each event of its topic; what it logs
//! goes to standard error.

use std::sync::{Arc, OnceLock};

use clap::Parser;
use micro::{Running, Service};
use micro_examples::echo::{self, Rsp, events};
use serde::Serialize;

#[derive(Parser)]
#[command(about = "Answers as it is asked to, until Ctrl-C; prints events as lines of JSON")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
    /// The topic whose events are printed; wildcards work
    #[arg(long, default_value = "events")]
    topic: String,
    /// The queue whose members share the events [default: none, each event is for all]
    #[arg(long)]
    queue: Option<String>,
}

#[derive(Serialize)]
struct Serving<'a> {
    serving: &'a str,
    node: &'a str,
    address: &'a str,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("info");
    let options = Options::parse();
    let node = Arc::new(OnceLock::new());
    let server = events::print(echo::server(node.clone()), &options.topic, options.queue);
    let service = Service::builder("echo").server(server).flags(&options.micro).build()?;
    node.get_or_init(|| service.node_id());
    service.run_with(say_serving).await?;
    Ok(())
}

/// It can be called once it has answered itself: then whatever stands between has heard of it.
fn say_serving(running: &Running) {
    let (client, node) = (running.client(), running.node());
    let name = running.name().to_owned();
    tokio::spawn(async move {
        let who = || client.call::<_, Rsp>(&name, "Echo.Who", &()).address(&node.address);
        while let Err(error) = who().await {
            tracing::warn!(%error, "cannot be called yet");
        }
        events::line(&Serving { serving: &name, node: &node.id, address: &node.address });
    });
}
