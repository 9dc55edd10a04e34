#![doc = include_str!("../README.md")]

pub mod broker;
mod check;
pub mod faults;
mod machines;
mod not_done;
pub mod registry;
pub mod server;
pub mod transport;

pub use self::check::{
    CHECK_LIMIT, Check, CheckFuture, Checked, Failure, LIMIT, Network, block_on, unique,
};
pub use self::machines::TwoMachines;
pub use self::not_done::not_done;
