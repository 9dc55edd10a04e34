//! Real go-micro on the other end of every exchange: what the tests in `tests/cells` are written with.
//!
//! The Go side is `interop/go`, one program for three generations of go-micro, which `ci/interop` builds; the Rust side
//! is the `echo` example as a program, and services and clients in the process of the test.

mod command;
mod generation;
mod go;
mod messages;
mod process;
mod record;
mod rust;
mod world;

pub use self::command::Command;
pub use self::generation::Generation;
pub use self::go::{GoClient, GoError, GoService, Outcome};
pub use self::messages::{Req, Rsp};
pub use self::process::Process;
pub use self::record::{Recorded, Recorder};
pub use self::rust::{Gauge, Helper, Relayed};
pub use self::world::{Echo, World};

use std::time::Duration;

/// How long anything may take that has no limit of its own: generous, for a busy machine.
pub const LIMIT: Duration = Duration::from_secs(40);

/// Waits for something that has a limit; `what` is what is missing when it passes.
///
/// # Panics
/// If it takes longer than [`LIMIT`].
pub async fn limited<T>(what: &str, waited: impl Future<Output = T>) -> T {
    match tokio::time::timeout(LIMIT, waited).await {
        Ok(value) => value,
        Err(_) => panic!("not within {LIMIT:?}: {what}"),
    }
}

/// Asks again and again until the answer is there.
///
/// # Panics
/// If it is not within [`LIMIT`].
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    limited(what, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
}
