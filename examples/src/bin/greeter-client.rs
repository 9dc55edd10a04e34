//! Calls the greeter and prints one reply a line.
//!
//! ```text
//! $ cargo run --bin greeter-client -- --profile=nats --name Bob --count 3
//! Hello Bob
//! Hello Bob
//! Hello Bob
//! ```
//!
//! Kill one of several servers meanwhile: no line is missing, since the call is idempotent and so
//! is tried again at another node. Without a server it says so in one line and exits with 1.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use micro::Client;
use serde::{Deserialize, Serialize};

#[derive(Parser)]
#[command(about = "Calls Greeter.Hello and prints one reply a line")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
    /// Whom to greet
    #[arg(long, default_value = "World")]
    name: String,
    /// How many calls
    #[arg(long, default_value_t = 1)]
    count: u64,
    /// The pause between calls, such as 20ms
    #[arg(long, default_value = "0s", value_parser = humantime::parse_duration)]
    interval: Duration,
}

#[derive(Serialize)]
struct Hello {
    name: String,
}

#[derive(Deserialize)]
struct Greeting {
    greeting: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    micro_examples::log("error");
    match greet(Options::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("greeter-client: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn greet(options: Options) -> micro::Result<()> {
    let client = Client::builder().flags(&options.micro).build()?;
    let service = options.micro.server_name().unwrap_or("greeter");
    let hello = Hello { name: options.name };
    for call in 0..options.count {
        if call > 0 {
            tokio::time::sleep(options.interval).await;
        }
        let reply: Greeting = client.call(service, "Greeter.Hello", &hello).idempotent().await?;
        // Whoever reads the lines may have read enough.
        if writeln!(std::io::stdout(), "{}", reply.greeting).is_err() {
            break;
        }
    }
    Ok(())
}
