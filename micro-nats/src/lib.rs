#![doc = include_str!("../README.md")]

mod address;
mod config;
mod connection;
mod credentials;
mod nats;
mod subjects;

pub use async_nats;

pub use self::address::Addresses;
pub use self::config::NatsOptions;
pub use self::credentials::Credentials;
pub use self::nats::{Nats, State};
pub use self::subjects::is_registry_subject;
