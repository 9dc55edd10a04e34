//! What callers are told of calls that must not run twice, held against what the nodes wrote down:
//! real processes, real kills. `MICRO_KILLS` says how many (40), `MICRO_RESTARTS` how many restarts (6).
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kills;
mod load;
mod nodes;
#[path = "../program/mod.rs"]
mod program;
mod shutdown;
