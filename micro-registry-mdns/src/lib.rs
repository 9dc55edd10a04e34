#![doc = include_str!("../README.md")]

mod address;
mod allowance;
mod ask;
mod channel;
mod config;
mod description;
mod dns;
mod driver;
#[doc(hidden)]
pub mod fuzzing;
mod interfaces;
mod links;
mod message;
mod names;
mod net;
mod own;
mod peers;
mod record;
mod registry;
mod responder;
mod state;

pub use self::config::Options;
pub use self::interfaces::Interface;
pub use self::registry::MdnsRegistry;
/// What this crate offers, under the name that every registry plugin gives it.
pub use self::registry::MdnsRegistry as Registry;

/// The name by which flags choose it.
pub const NAME: &str = "mdns";
