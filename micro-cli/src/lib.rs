#![doc = include_str!("../README.md")]

mod args;
mod body;
mod console;
mod failure;
mod fields;
mod format;
mod json;
mod known;
mod nearest;
mod network;
mod order;
mod proto;
mod run;
mod table;
mod told;
mod types;
mod verbs;

pub use self::console::Console;
pub use self::run::{main, run};
