//! What ends a service from outside.

use micro_core::{Error, Result};

/// Signals that ask to end; from [`listen`](Self::listen) on they end nothing by themselves.
pub(crate) struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(cannot);
        let interrupt = listen(SignalKind::interrupt())?;
        Ok(Self { interrupt, terminate: listen(SignalKind::terminate())? })
    }

    /// The name of the next one. Cancel safe.
    #[cfg(unix)]
    pub(crate) async fn next(&mut self) -> Result<&'static str> {
        Ok(tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        })
    }

    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Self> {
        Ok(Self {})
    }

    /// The name of the next one. Cancel safe.
    #[cfg(not(unix))]
    pub(crate) async fn next(&mut self) -> Result<&'static str> {
        tokio::signal::ctrl_c().await.map(|()| "Ctrl-C").map_err(cannot)
    }
}

fn cannot(error: std::io::Error) -> Error {
    Error::internal("signals cannot be received").with_source(error)
}
