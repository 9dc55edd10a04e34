//! What `echo` promises, as a process over a real nats-server: each endpoint in JSON and in
//! protobuf, and events.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../program/mod.rs"]
mod program;
#[path = "../table/mod.rs"]
mod table;

mod endpoints;
mod events;
mod streams;
mod wire;

use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
use micro::{Client, ClientOptions};
use micro_testkit::server::NatsServer;
use serde_json::Value;

use self::program::{Program, nats_flags, strs};

/// A service that serves, and what it said then.
struct Echo {
    program: Program,
    serving: Value,
}

impl Echo {
    async fn start(nats: &NatsServer, more: &[&str]) -> Self {
        let flags = nats_flags(&nats.address());
        let args = [&strs(&flags)[..], more].concat();
        let mut program = Program::start(env!("CARGO_BIN_EXE_echo"), &args);
        let serving = serde_json::from_str(&program.line().await).unwrap();
        Self { program, serving }
    }

    fn address(&self) -> &str {
        self.serving["address"].as_str().unwrap()
    }

    fn node(&self) -> &str {
        self.serving["node"].as_str().unwrap()
    }
}

fn client(nats: &NatsServer) -> Client {
    client_with(nats, ClientOptions::default())
}

fn client_with(nats: &NatsServer, options: ClientOptions) -> Client {
    let nats = Nats::new([nats.address()]).unwrap();
    Client::builder()
        .options(options)
        .registry(NatsRegistry::with(&nats))
        .transport(NatsTransport::with(&nats))
        .broker(NatsBroker::with(&nats))
        .build()
        .unwrap()
}
