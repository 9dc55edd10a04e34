#![doc = include_str!("../README.md")]

mod address;
mod config;
mod conn;
mod dial;
mod dropped;
mod frames;
#[doc(hidden)]
pub mod fuzzing;
mod greeting;
mod hub;
mod incoming;
mod link;
mod listening;
mod out;
mod peer;
mod port;
mod reachable;
mod reader;
mod stream;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod transport;
#[cfg(unix)]
mod unix;

pub use self::config::{Keepalive, Options};
pub use self::dropped::Dropped;
#[cfg(feature = "tls")]
pub use self::tls::{ClientCertificates, Tls};
pub use self::transport::TcpTransport;
/// The transport of this crate, under the name that every transport plugin uses.
pub use self::transport::TcpTransport as Transport;

/// The name by which flags choose this transport and nodes say how they are reached.
pub const NAME: &str = "tcp";
