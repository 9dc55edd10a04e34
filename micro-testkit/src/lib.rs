#![doc = include_str!("../README.md")]

pub mod broker;
mod check;
pub mod faults;
pub mod registry;
pub mod server;
pub mod transport;

pub use self::check::{
    CHECK_LIMIT, Check, CheckFuture, Checked, Failure, LIMIT, Network, block_on, unique,
};
