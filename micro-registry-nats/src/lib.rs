#![doc = include_str!("../README.md")]

mod config;
mod driver;
#[cfg(test)]
mod fixtures;
#[doc(hidden)]
pub mod fuzzing;
mod interest;
mod members;
mod message;
mod own;
mod queries;
mod query;
mod registry;
mod state;
mod subjects;

pub use micro_nats;

pub use self::config::{Generations, Options, RegisterAction};
pub use self::registry::NatsRegistry;
/// What this crate offers, under the name that every registry plugin gives it.
pub use self::registry::NatsRegistry as Registry;

/// The name by which flags choose it.
pub const NAME: &str = "nats";
