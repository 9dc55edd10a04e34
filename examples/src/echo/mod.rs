//! The service that `echo` serves, so that others can speak with it in Rust.

pub mod events;
mod json;
pub mod messages;
mod unary;

use std::sync::{Arc, OnceLock};

use micro::Server;

pub use self::messages::{Req, Rsp};

/// All endpoints; `node` is asked for the id of the node that serves.
pub fn server(node: Arc<OnceLock<String>>) -> Server {
    unary::serve(Server::new(), node)
}
