//! The `micro` command as a program: what somebody types, and what comes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod node;
mod program;
mod snapshot;
mod world;

mod backends;
mod bodies;
mod call;
mod errors;
mod events;
mod flags;
mod health;
mod help;
mod hostile;
mod interrupt;
mod look;
#[cfg(target_os = "linux")]
mod memory;
mod outages;
mod output;
mod protobuf;
mod shells;
mod stream;
#[cfg(target_os = "linux")]
mod terminal;
mod usage;
mod watch;
