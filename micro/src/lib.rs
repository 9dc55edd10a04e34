#![doc = include_str!("../README.md")]

mod backends;
pub mod client;
mod clock;
mod context;
#[cfg(feature = "flags")]
mod flags;
mod hub;
pub mod middleware;
mod plugins;
pub mod server;
mod service;
mod signals;
pub mod stream;

pub use micro_core::codec;
pub use micro_core::{Bytes, Error, ErrorKind, Header, PluginConfig, Reach, RequestState, Result};
pub use micro_core::{broker, registry, transport};
#[cfg(feature = "schemars")]
pub use schemars;

pub use self::backends::Backends;
pub use self::client::{Client, ClientBuilder, ClientOptions};
pub use self::context::Context;
#[cfg(feature = "flags")]
pub use self::flags::Flags;
pub use self::plugins::{Plugin, Plugins};
pub use self::server::{Server, ServerOptions};
pub use self::service::{Running, Service, ServiceBuilder};

/// The backends inside one process (feature `memory`).
#[cfg(feature = "memory")]
pub mod memory {
    pub use micro_memory::*;
}

/// The backends over NATS (features `registry-nats`, `transport-nats`, `broker-nats`).
#[cfg(any(feature = "registry-nats", feature = "transport-nats", feature = "broker-nats"))]
pub mod nats {
    #[cfg(feature = "broker-nats")]
    pub use micro_broker_nats::{self as broker, NatsBroker};
    pub use micro_nats::*;
    #[cfg(feature = "registry-nats")]
    pub use micro_registry_nats::{self as registry, NatsRegistry};
    #[cfg(feature = "transport-nats")]
    pub use micro_transport_nats::{self as transport, NatsTransport};
}

/// Discovery by multicast DNS (feature `registry-mdns`).
#[cfg(feature = "registry-mdns")]
pub mod mdns {
    pub use micro_registry_mdns::*;
}

/// Packets over TCP and Unix sockets (feature `transport-tcp`).
#[cfg(feature = "transport-tcp")]
pub mod tcp {
    pub use micro_transport_tcp::*;
}
