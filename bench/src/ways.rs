//! What is measured: each way of calling, and the two processes that it takes.

use serde::Serialize;
use tempfile::TempDir;

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
    /// A typed call over TCP.
    Tcp,
    /// A typed call over the Unix socket beside it.
    Unix,
    /// A unary call of tonic over TCP.
    Tonic,
    /// A unary call of tonic over a Unix socket.
    TonicUnix,
}

impl Way {
    /// In the order of the first round.
    pub(crate) const ALL: &[Self] =
        &[Self::B, Self::Nats, Self::Tonic, Self::Tcp, Self::TonicUnix, Self::Unix];

    /// As tables have it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::B => "B",
            Self::Nats => "ours, NATS",
            Self::Tcp => "ours, TCP",
            Self::Unix => "ours, Unix",
            Self::Tonic => "tonic",
            Self::TonicUnix => "tonic, Unix",
        }
    }
}

/// A server and its client.
pub(crate) struct Pair {
    way: Way,
    server: Worker,
    load: Worker,
    /// Of its Unix socket.
    _directory: Option<TempDir>,
}

impl Pair {
    /// Starts both, with this nats-server for those that use it.
    ///
    /// # Errors
    /// If one of them does not start.
    pub(crate) async fn start(way: Way, nats: &str) -> anyhow::Result<Self> {
        match way {
            Way::B => Self::known(way, "serve-b", "load-b", &["--nats", nats]).await,
            Way::Nats => Self::ours(way, "nats", nats).await,
            Way::Tcp => Self::ours(way, "tcp", nats).await,
            Way::Unix => Self::ours(way, "unix", nats).await,
            Way::Tonic => Self::tonic(way, None).await,
            Way::TonicUnix => Self::tonic(way, Some(TempDir::new()?)).await,
        }
    }

    async fn ours(way: Way, over: &str, nats: &str) -> anyhow::Result<Self> {
        let arguments = ["--nats", nats, "--over", over];
        Self::known(way, "serve-micro", "load-micro", &arguments).await
    }

    /// Both find each other by the same arguments.
    async fn known(way: Way, server: &str, load: &str, arguments: &[&str]) -> anyhow::Result<Self> {
        let server = Worker::start(&[&[server], arguments].concat()).await?;
        let load = Worker::start(&[&[load], arguments].concat()).await?;
        Ok(Self { way, server, load, _directory: None })
    }

    async fn tonic(way: Way, directory: Option<TempDir>) -> anyhow::Result<Self> {
        let socket = directory.as_ref().map(|directory| directory.path().join("tonic"));
        let server = match &socket {
            Some(socket) => {
                Worker::start(&["serve-tonic", "--unix", &socket.to_string_lossy()]).await?
            }
            None => Worker::start(&["serve-tonic"]).await?,
        };
        let load = Worker::start(&["load-tonic", "--uri", server.uri()?]).await?;
        Ok(Self { way, server, load, _directory: directory })
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
