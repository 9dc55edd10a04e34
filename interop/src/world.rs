//! One nats-server, and what a test has on it.

use std::path::PathBuf;
use std::time::Duration;

use micro::nats::registry::Options as RegistryOptions;
use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
use micro::{Client, ClientOptions, Service, ServiceBuilder};
use micro_testkit::server::NatsServer;

use crate::generation::Generation;
use crate::go::{GoClient, GoService};
use crate::process::Process;
use crate::record::Recorder;
use crate::shell::Shell;

/// Lookups of go-micro get so much time that a busy machine is no reason to find nobody.
const UNHURRIED: [&str; 2] = ["--lookup", "300ms"];
/// As much for our own, which wait so long only where nobody answers.
const LOOKUP: Duration = Duration::from_millis(500);

/// One nats-server of a test's own, and what it has on it.
#[derive(Debug)]
pub struct World {
    /// The server.
    pub server: NatsServer,
}

/// The `echo` example as a program. Its lines are the events that it receives.
#[derive(Debug)]
pub struct Echo {
    /// The program.
    pub process: Process,
    /// The id of its node.
    pub node: String,
    /// Where it listens.
    pub address: String,
}

impl World {
    /// Starts a nats-server.
    pub async fn start() -> Self {
        Self { server: NatsServer::start().await }
    }

    /// `127.0.0.1:PORT` of the server.
    pub fn address(&self) -> String {
        self.server.address()
    }

    /// A go-micro service of this name that can be called.
    pub async fn go(&self, generation: Generation, name: &str) -> GoService {
        self.go_with(generation, name, &[]).await
    }

    /// [`go`](Self::go), with arguments of the peer.
    pub async fn go_with(&self, generation: Generation, name: &str, args: &[&str]) -> GoService {
        GoService::start(generation, &self.address(), name, &[args, &UNHURRIED].concat()).await
    }

    /// A go-micro client as go-micro makes it, whose lookups take the 100 ms that it gives them.
    pub async fn hurried_go_client(&self, generation: Generation) -> GoClient {
        GoClient::start(generation, &self.address(), &[]).await
    }

    /// A go-micro client.
    pub async fn go_client(&self, generation: Generation) -> GoClient {
        self.go_client_with(generation, &[]).await
    }

    /// [`go_client`](Self::go_client), with arguments of the peer.
    pub async fn go_client_with(&self, generation: Generation, args: &[&str]) -> GoClient {
        GoClient::start(generation, &self.address(), &[args, &UNHURRIED].concat()).await
    }

    /// The `echo` example under this name, once it can be called.
    pub async fn echo(&self, name: &str) -> Echo {
        self.echo_with(name, &[]).await
    }

    /// [`echo`](Self::echo), with flags.
    pub async fn echo_with(&self, name: &str, flags: &[&str]) -> Echo {
        let mut all = self.flags();
        all.push(format!("--server_name={name}"));
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let echo = program("echo", "MICRO_INTEROP_ECHO");
        let mut process = Process::start(&format!("echo {name}"), echo, &all);
        let line = process.line_with("serving").await;
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(text("serving"), name);
        Echo { node: text("node"), address: text("address"), process }
    }

    /// The `micro` command.
    pub fn shell(&self) -> Shell {
        Shell::new(program("micro", "MICRO_INTEROP_MICRO"), self.flags())
    }

    /// What tells a program of ours where everything is.
    fn flags(&self) -> Vec<String> {
        let address = self.address();
        ["registry", "transport", "broker"]
            .iter()
            .flat_map(|what| [format!("--{what}=nats"), format!("--{what}_address={address}")])
            .collect()
    }

    /// A connection of its own, as a process has one.
    pub fn connection(&self) -> Nats {
        Nats::new([self.address()]).expect("the server has an address")
    }

    /// Records what is sent to this subject, from now on.
    pub async fn record(&self, subject: &str) -> Recorder {
        Recorder::start(self.connection(), subject).await
    }

    /// A Rust client, as of a process of its own.
    pub fn client(&self) -> Client {
        let registry = RegistryOptions::default().with_query_limit(LOOKUP);
        self.client_with(ClientOptions::default(), registry)
    }

    /// [`client`](Self::client), with options.
    pub fn client_with(&self, options: ClientOptions, registry: RegistryOptions) -> Client {
        let nats = self.connection();
        let registry = NatsRegistry::with_options(&nats, registry).expect("the options are valid");
        Client::builder()
            .registry(registry)
            .transport(NatsTransport::with(&nats))
            .broker(NatsBroker::with(&nats))
            .options(options)
            .build()
            .expect("a client over NATS")
    }

    /// A Rust service, as of a process of its own.
    pub fn service(&self, name: &str) -> ServiceBuilder {
        let nats = self.connection();
        let registry = RegistryOptions::default().with_query_limit(LOOKUP);
        Service::builder(name)
            .registry(NatsRegistry::with_options(&nats, registry).expect("the options are valid"))
            .transport(NatsTransport::with(&nats))
            .broker(NatsBroker::with(&nats))
    }
}

/// A program of ours, which `ci/interop` builds; the variable says where another one is.
fn program(name: &str, variable: &str) -> PathBuf {
    let given = std::env::var_os(variable).map(PathBuf::from);
    // A test is target/debug/deps/NAME.
    let beside = || Some(std::env::current_exe().ok()?.parent()?.parent()?.join(name));
    let program = given.or_else(beside).unwrap_or_default();
    assert!(
        program.exists(),
        "no {}: run these tests with ci/interop, which builds it",
        program.display()
    );
    program
}
