//! What calls and discovery cost: typed calls beside async-nats alone and tonic, in turns, so that
//! the ratios of these mean something on whatever machine.
//!
//! `micro-bench run` is the driver. It starts a nats-server and this program again, once for each
//! server and each client, and has the clients measure one after the other:
//!
//! * **B**, the baseline: `async_nats::Client::request()` to a subscriber that publishes the reply,
//!   what one would write by hand ([`baseline`]);
//! * **ours**: a typed call through the whole stack ([`typed`]);
//! * **tonic**: its unary call ([`tonic`](mod@tonic));
//! * **discovery**: the first lookup of a service of many nodes ([`discovery`]), and that of one
//!   that is known ([`lookup`]).
//!
//! All are called by the same closed loop ([`load`]). The other subcommands are those processes;
//! they read orders from stdin, a line of JSON each, answer each with a line, and end with stdin:
//!
//! ```text
//! $ echo '{"size":16,"in_flight":64,"seconds":5}' | micro-bench load-micro --nats 127.0.0.1:4222
//! ```

mod baseline;
mod calls;
mod discovery;
mod drive;
mod lines;
mod load;
mod lookup;
mod machine;
mod report;
mod stats;
mod tonic;
mod typed;
mod ways;
mod worker;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "micro-bench",
    about = "What calls and discovery cost, beside async-nats alone and tonic"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a nats-server and all the processes, measures in turns, prints tables
    Run(drive::Options),
    /// Serves the baseline: a subscriber that publishes the reply
    ServeB(Nats),
    /// Calls the baseline, as each line of stdin orders
    LoadB(Nats),
    /// Serves a typed endpoint
    ServeMicro(Ours),
    /// Calls the typed endpoint, as each line of stdin orders
    LoadMicro(Ours),
    /// Serves a unary method by tonic
    ServeTonic {
        /// On a Unix socket with this path, instead of a free TCP port
        #[arg(long, value_name = "PATH")]
        unix: Option<PathBuf>,
    },
    /// Calls that method, as each line of stdin orders
    LoadTonic {
        /// Where its server listens
        #[arg(long)]
        uri: String,
    },
    /// Registers the nodes of one service, each in a registry of its own
    ServeNodes {
        #[command(flatten)]
        nats: Nats,
        /// How many
        #[arg(long)]
        nodes: usize,
    },
    /// Looks such a service up, as each line of stdin orders
    LoadDiscovery(Nats),
}

#[derive(Args)]
struct Nats {
    /// Where NATS is
    #[arg(long = "nats", value_name = "HOST:PORT", default_value = "127.0.0.1:4222")]
    address: String,
}

#[derive(Args)]
struct Ours {
    #[command(flatten)]
    nats: Nats,
    /// What carries the calls; the service is found over NATS
    #[arg(long, value_name = "TRANSPORT", default_value = "nats")]
    over: typed::Over,
}

// The default runtime, as an application has it.
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(options) => drive::run(&options).await,
        Command::ServeB(nats) => baseline::serve(&nats.address).await,
        Command::LoadB(nats) => baseline::load(&nats.address).await,
        Command::ServeMicro(ours) => typed::serve(&ours.nats.address, ours.over).await,
        Command::LoadMicro(ours) => typed::load(&ours.nats.address, ours.over).await,
        Command::ServeTonic { unix } => tonic::serve(unix.as_deref()).await,
        Command::LoadTonic { uri } => tonic::load(&uri).await,
        Command::ServeNodes { nats, nodes } => discovery::serve(&nats.address, nodes).await,
        Command::LoadDiscovery(nats) => discovery::load(&nats.address).await,
    }
}
