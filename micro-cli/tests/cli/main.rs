//! The `micro` command as a program: what somebody types, and what comes of it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod node;
mod program;
mod registrant;
mod snapshot;
mod world;

mod backends;
mod bodies;
mod call;
mod errors;
mod events;
mod fields;
mod flags;
mod health;
mod help;
mod hostile;
mod imports;
mod interrupt;
mod late;
mod look;
#[cfg(target_os = "linux")]
mod memory;
mod no_server;
mod outages;
mod output;
mod oversized;
mod protobuf;
mod queue;
mod shells;
mod stream;
mod stuck;
#[cfg(target_os = "linux")]
mod terminal;
mod usage;
mod watch;
