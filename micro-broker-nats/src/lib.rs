#![doc = include_str!("../README.md")]

mod broker;
mod buffer;
mod config;
mod keeper;
mod subjects;
mod subscription;

pub use micro_nats;

pub use self::broker::NatsBroker;
/// The broker of this crate, under the name that every broker plugin uses.
pub use self::broker::NatsBroker as Broker;
pub use self::config::Options;

/// The name by which flags choose this broker.
pub const NAME: &str = "nats";
