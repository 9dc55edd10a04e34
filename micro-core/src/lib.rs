#![doc = include_str!("../README.md")]

pub mod broker;
pub mod codec;
mod error;
mod forward;
pub mod header;
mod plugin;
pub mod registry;
mod throttle;
pub mod transport;
pub mod wire;

pub use async_trait::async_trait;
pub use bytes::Bytes;

pub use self::broker::Broker;
pub use self::error::{Error, ErrorKind, RequestState, Result};
pub use self::header::Header;
pub use self::plugin::{PluginConfig, Reach};
pub use self::registry::Registry;
pub use self::throttle::LogThrottle;
pub use self::transport::Transport;
