//! What holds for every decoder, whatever comes.
//!
//! Each target is a function that takes any bytes, panics where a property does not hold, and
//! says whether its decoder took them. `fuzz/fuzz_targets` hands them to libFuzzer, `tests` and
//! the binary `fuzz-stable` run them on stable Rust; see `fuzz/README.md`.

mod address_list;
mod connection;
pub mod corpus;
mod echo;
mod envelope;
mod error;
mod header;
mod mdns_record;
pub mod mutate;
mod registry_result;
pub mod seeds;
mod service;
mod session;
mod stream;
mod tcp_address;

pub use self::address_list::address_list;
pub use self::connection::connection;
pub use self::envelope::envelope;
pub use self::error::error;
pub use self::header::header;
pub use self::mdns_record::mdns_record;
pub use self::registry_result::registry_result;
pub use self::service::service;
pub use self::session::session;
pub use self::stream::stream;
pub use self::tcp_address::tcp_address;

/// A decoder, and what holds for it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// The name of the function, of its file in `fuzz/fuzz_targets`, and of its folder in
    /// `fuzz/corpus`.
    pub name: &'static str,
    /// Checks one input; returns whether the decoder took it.
    pub run: fn(&[u8]) -> bool,
}

/// All of them.
pub const TARGETS: [Target; 11] = [
    Target { name: "address_list", run: address_list },
    Target { name: "connection", run: connection },
    Target { name: "envelope", run: envelope },
    Target { name: "error", run: error },
    Target { name: "header", run: header },
    Target { name: "mdns_record", run: mdns_record },
    Target { name: "registry_result", run: registry_result },
    Target { name: "service", run: service },
    Target { name: "session", run: session },
    Target { name: "stream", run: stream },
    Target { name: "tcp_address", run: tcp_address },
];
