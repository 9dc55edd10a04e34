//! Nodes of the ledger, each a process, that write into one file.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use clap::Parser;
use micro::{Client, Flags};
use micro_testkit::server::NatsServer;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::load::LIMIT;
use crate::program::{Program, nats_flags, no_server_flags, strs};

/// Where the nodes of a test are, and what they write into.
pub(crate) struct World {
    flags: Vec<String>,
    _nats: Option<NatsServer>,
    dir: TempDir,
}

/// One node.
pub(crate) struct Node {
    pub(crate) program: Program,
    pub(crate) pid: u32,
}

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    micro: Flags,
}

impl World {
    pub(crate) async fn over_nats() -> Self {
        let nats = NatsServer::start().await;
        Self { flags: nats_flags(&nats.address()), _nats: Some(nats), dir: dir() }
    }

    /// Nodes that find and call each other by mDNS and TCP.
    pub(crate) fn without_a_server() -> Self {
        let dir = dir();
        // No other test has this folder, so none has this name.
        Self { flags: no_server_flags(&dir.path().display().to_string()), _nats: None, dir }
    }

    /// Starts a node of this service, and does not wait for it.
    pub(crate) fn node(&self, service: &str) -> Node {
        let mut args = self.flags.clone();
        args.push(format!("--server_name={service}"));
        args.push(format!("--file={}", self.dir.path().join("ledger").display()));
        let log = [("RUST_LOG", "error,micro=info")];
        let program = Program::start_with(env!("CARGO_BIN_EXE_ledger"), &strs(&args), &log);
        let pid = program.child.id().unwrap();
        Node { program, pid }
    }

    pub(crate) fn client(&self) -> Client {
        let flags = Options::parse_from([&["test"], &strs(&self.flags)[..]].concat()).micro;
        Client::builder().flags(&flags).build().unwrap()
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

impl Node {
    /// Where it listens; no other ever does. To be asked for once.
    pub(crate) async fn address(&mut self) -> String {
        let line = self.program.says("serving").await;
        let address = line.split_once("address=\"").and_then(|(_, rest)| rest.split_once('"'));
        address.unwrap_or_else(|| panic!("no address in {line:?}")).0.to_owned()
    }
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A number from the environment: how often a test does what it does.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}={number:?}")),
        Err(_) => default,
    }
}
