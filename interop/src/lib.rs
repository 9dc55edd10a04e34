//! Real go-micro on the other end of every exchange: what the tests in `tests/cells` are written with.
//!
//! The Go side is `interop/go`, one program for three generations of go-micro, which `ci/interop` builds; the Rust side
//! is the `echo` example and the `micro` command as programs, and services and clients in the process of the test.

mod command;
mod generation;
mod go;
mod process;
mod raw;
mod record;
mod rust;
mod shell;
mod world;

pub use self::command::Command;
pub use self::generation::Generation;
pub use self::go::{GoClient, GoError, GoService, Outcome};
pub use self::process::Process;
pub use self::raw::{RawReply, RawSocket};
pub use self::record::{Recorded, Recorder};
pub use self::rust::{Event, Gauge, Helper, Relayed};
pub use self::shell::{Said, Shell};
pub use self::world::{Echo, World};
pub use micro_examples::echo::{Req, Rsp};

use std::time::Duration;

/// How long anything may take that has no limit of its own: generous, for a busy machine.
pub const LIMIT: Duration = Duration::from_secs(40);

/// A request with a name.
pub fn named(name: impl Into<String>) -> Req {
    Req { name: name.into(), ..Req::default() }
}

/// Bytes as JSON carries them.
pub fn base64(data: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(data)
}

/// What JSON carries, as bytes.
///
/// # Panics
/// If it is none of that.
pub fn from_base64(text: &str) -> Vec<u8> {
    base64_simd::STANDARD.decode_to_vec(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

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
