//! What ends a service from outside.

use micro_core::{Error, Result};

/// Returns at the first SIGINT or SIGTERM. Cancel safe.
#[cfg(unix)]
pub(crate) async fn interrupted() -> Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let failed = |error| Error::internal("signals cannot be received").with_source(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    })
}

/// Returns at the first Ctrl-C. Cancel safe.
#[cfg(not(unix))]
pub(crate) async fn interrupted() -> Result<&'static str> {
    let failed = |error| Error::internal("Ctrl-C cannot be received").with_source(error);
    tokio::signal::ctrl_c().await.map(|()| "Ctrl-C").map_err(failed)
}
