//! Nodes of the ledger, each a process, that write into one file.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use micro::Client;
use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
use micro_testkit::server::NatsServer;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::load::LIMIT;
use crate::program::{Program, nats_flags, strs};

/// Where the nodes of a test are, and what they write into.
pub(crate) struct World {
    pub(crate) nats: NatsServer,
    dir: TempDir,
}

/// One node.
pub(crate) struct Node {
    pub(crate) program: Program,
    /// Where it listens; no other ever does.
    pub(crate) address: String,
    pub(crate) pid: u32,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self { nats: NatsServer::start().await, dir: tempfile::tempdir().unwrap() }
    }

    /// Starts a node of this service, and does not wait for it.
    pub(crate) fn node(&self, service: &str, number: u64) -> Node {
        // With an end, so that none begins with another.
        let address = format!("{service}.{number}.node");
        let mut args = nats_flags(&self.nats.address());
        args.push(format!("--server_name={service}"));
        args.push(format!("--server_address={address}"));
        args.push(format!("--file={}", self.dir.path().join("ledger").display()));
        let log = [("RUST_LOG", "error,micro=info")];
        let program = Program::start_with(env!("CARGO_BIN_EXE_ledger"), &strs(&args), &log);
        let pid = program.child.id().unwrap();
        Node { program, address, pid }
    }

    pub(crate) fn client(&self) -> Client {
        let nats = Nats::new([self.nats.address()]).unwrap();
        Client::builder()
            .registry(NatsRegistry::with(&nats))
            .transport(NatsTransport::with(&nats))
            .broker(NatsBroker::with(&nats))
            .build()
            .unwrap()
    }

    /// Returns when a node of this service is found.
    pub(crate) async fn is_found(&self, client: &Client, service: &str) {
        let service = service.parse().unwrap();
        let found = async {
            while client.registry().get(&service).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, found).await.expect("no node starts");
    }

    /// Returns when a handler has written this.
    pub(crate) async fn is_written(&self, entry: &str) {
        let written = async {
            while !self.written().contains_key(entry) {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, written).await.expect("the handler does not run");
    }

    /// How often each entry was written.
    pub(crate) fn written(&self) -> HashMap<String, usize> {
        let mut written = HashMap::new();
        for entry in self.text().lines() {
            *written.entry(entry.to_owned()).or_default() += 1;
        }
        written
    }

    fn text(&self) -> String {
        fs::read_to_string(self.dir.path().join("ledger")).unwrap_or_default()
    }
}

/// A number from the environment: how often a test does what it does.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}={number:?}")),
        Err(_) => default,
    }
}
