#![doc = include_str!("../README.md")]

mod account;
mod address;
mod config;
mod dropped;
mod fence;
mod gone;
mod heard;
mod incoming;
mod link;
mod listening;
mod peers;
mod port;
mod stopped;
mod transport;

pub use micro_nats;

pub use self::config::Options;
pub use self::dropped::Dropped;
pub use self::transport::NatsTransport;
/// The transport of this crate, under the name that every transport plugin uses.
pub use self::transport::NatsTransport as Transport;

/// The name by which flags choose this transport and nodes say how they are reached.
pub const NAME: &str = "nats";
