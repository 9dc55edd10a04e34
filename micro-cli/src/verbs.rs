//! What can be done, a module for each.

mod call;
pub(crate) mod completions;
mod describe;
mod health;
pub(crate) mod man;
mod publish;
mod services;
mod stream;
mod subscribe;
mod watch;

use micro::Plugins;

use crate::args::{Line, Verb};
use crate::console::Console;
use crate::failure::Failure;
use crate::network::Network;

/// The network that a command line chooses.
pub(crate) fn network(line: &Line, plugins: &Plugins) -> Result<Network, Failure> {
    Network::new(&line.micro, plugins)
}

/// Does what is said.
pub(crate) async fn run(
    verb: &Verb,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    match verb {
        Verb::Services(args) => services::run(args, network, console).await,
        Verb::Describe(args) => describe::run(args, network, console).await,
        Verb::Watch(args) => watch::run(args, network, console).await,
        Verb::Call(args) => call::run(args, network, console).await,
        Verb::Stream(args) => stream::run(args, network, console).await,
        Verb::Publish(args) => publish::run(args, network, console).await,
        Verb::Subscribe(args) => subscribe::run(args, network, console).await,
        Verb::Health(args) => health::run(args, network, console).await,
        Verb::Completions(args) => completions::run(args, console),
        Verb::Man(args) => man::run(args, console),
    }
}
