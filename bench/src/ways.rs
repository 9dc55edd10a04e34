//! What is measured: each way of calling, and the two processes that it takes.

use serde::Serialize;

use crate::calls::Sample;
use crate::load::{Measured, Order};
use crate::worker::Worker;

/// A way of calling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Way {
    /// The baseline.
    B,
    /// A typed call over NATS.
    Nats,
    /// A unary call of tonic.
    Tonic,
}

impl Way {
    /// In the order of the first round.
    pub(crate) const ALL: &[Self] = &[Self::B, Self::Nats, Self::Tonic];

    /// Those that go through our whole stack.
    pub(crate) const OURS: &[Self] = &[Self::Nats];

    /// As tables have it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::B => "B",
            Self::Nats => "ours, NATS",
            Self::Tonic => "tonic",
        }
    }

    /// The subcommands of its server and its client, and what they share of arguments.
    fn commands(self) -> ([&'static str; 2], &'static [&'static str]) {
        let ours = ["serve-micro", "load-micro"];
        match self {
            Self::B => (["serve-b", "load-b"], &[]),
            Self::Nats => (ours, &["--over", "nats"]),
            Self::Tonic => (["serve-tonic", "load-tonic"], &[]),
        }
    }
}

/// A server and its client.
pub(crate) struct Pair {
    way: Way,
    server: Worker,
    load: Worker,
}

impl Pair {
    /// Starts both, with this nats-server for those that use it.
    ///
    /// # Errors
    /// If one of them does not start.
    pub(crate) async fn start(way: Way, nats: &str) -> anyhow::Result<Self> {
        let ([server, load], shared) = way.commands();
        let (server, load) = match way {
            Way::Tonic => {
                let server = Worker::start(&[server]).await?;
                let load = Worker::start(&[load, "--address", server.address()?]).await?;
                (server, load)
            }
            _ => {
                let arguments = |name| [&[name, "--nats", nats], shared].concat();
                let server = Worker::start(&arguments(server)).await?;
                (server, Worker::start(&arguments(load)).await?)
            }
        };
        Ok(Self { way, server, load })
    }

    /// What it is that these call.
    pub(crate) fn way(&self) -> Way {
        self.way
    }

    /// Measures after having warmed up for so many seconds.
    ///
    /// # Errors
    /// If a process ends or a call fails.
    pub(crate) async fn measure(&mut self, order: Order, warm_up: f64) -> anyhow::Result<Sample> {
        let Measured { .. } = self.load.ask(&Order { seconds: warm_up, ..order }).await?;
        let before = self.server.cpu_seconds().await?;
        let measured = self.load.ask(&order).await?;
        Ok(Sample::of(&measured, self.server.cpu_seconds().await? - before))
    }

    /// Ends both.
    ///
    /// # Errors
    /// If one could not be waited for.
    pub(crate) async fn end(self) -> anyhow::Result<()> {
        self.load.end().await?;
        self.server.end().await
    }
}
