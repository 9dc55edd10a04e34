//! Every exchange between go-micro and us, both ways, for each generation. Run it with `ci/interop`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[macro_use]
mod cell;

mod call;
mod command;
mod deadline;
mod discovery;
mod errors;
mod events;
mod exactly_one;
mod hostile;
mod leases;
mod long_work;
mod mixed_fleet;
mod restart;
mod streams;
