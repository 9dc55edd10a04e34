//! The service that `echo` serves, so that others can speak with it in Rust.

pub mod events;
mod json;
pub mod messages;
mod streams;
mod unary;

use std::sync::{Arc, OnceLock};

use micro::{Error, Result, Server};

pub use self::messages::{Req, Rsp};

/// All endpoints; `node` is asked for the id of the node that serves.
pub fn server(node: Arc<OnceLock<String>>) -> Server {
    streams::serve(unary::serve(Server::new(), node))
}

/// A number of a request that may not be negative.
fn natural<T: TryFrom<i32>>(field: &str, number: i32) -> Result<T> {
    T::try_from(number).map_err(|_| Error::invalid_input(format!("{field} is {number}")))
}
