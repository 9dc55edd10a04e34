//! What the examples have in common.

pub mod echo;

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Logs to standard error, from this level on, or what `RUST_LOG` says; the NATS client's own
/// messages from `error` on, since `micro-nats` tells what happens.
pub fn log(level: &str) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new(format!("{level},async_nats=error")));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
}

/// The snippets of the README at the root are compiled here.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
