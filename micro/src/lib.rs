#![doc = include_str!("../README.md")]

mod backends;
pub mod client;
mod context;
#[cfg(feature = "flags")]
mod flags;
mod hub;
mod plugins;
pub mod server;
mod service;
mod signals;

pub use micro_core::codec;
pub use micro_core::{Bytes, Error, ErrorKind, Header, RequestState, Result};
pub use micro_core::{broker, registry, transport};

pub use self::backends::Backends;
pub use self::client::{Client, ClientBuilder, ClientOptions};
pub use self::context::Context;
#[cfg(feature = "flags")]
pub use self::flags::Flags;
pub use self::plugins::{Plugin, PluginConfig, Plugins};
pub use self::server::{Server, ServerOptions};
pub use self::service::{Running, Service, ServiceBuilder};
