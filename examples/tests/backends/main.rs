//! Every registry with every transport and every broker: what goes together passes the whole table
//! of `echo`, what does not is refused with a clear word. Writes or checks the table in the docs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../program/mod.rs"]
mod program;
#[path = "../table/mod.rs"]
mod table;

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Parser;
use micro::registry::{ServiceName, WatchOptions};
use micro::{Client, Context, ErrorKind, Flags, Plugins, Result, Service};
use micro_examples::echo;
use micro_testkit::server::NatsServer;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::program::{Program, strs};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");
const LIMIT: Duration = Duration::from_secs(20);
const REGISTRIES: [&str; 3] = ["memory", "mdns", "nats"];
const TRANSPORTS: [&str; 3] = ["memory", "tcp", "nats"];
const BROKERS: [&str; 2] = ["memory", "nats"];

/// One of each.
#[derive(Clone, Copy)]
struct Backends {
    registry: &'static str,
    transport: &'static str,
    broker: &'static str,
}

/// What came of them: of calls and streams, and of events.
struct Outcome {
    calls: &'static str,
    events: &'static str,
}

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    micro: Flags,
}

impl Backends {
    fn all() -> impl Iterator<Item = Self> {
        let with = |registry, transport| {
            BROKERS.into_iter().map(move |broker| Self { registry, transport, broker })
        };
        REGISTRIES
            .into_iter()
            .flat_map(move |r| TRANSPORTS.into_iter().flat_map(move |t| with(r, t)))
    }

    /// As a person names them; what has addresses is kept to this machine and this test.
    fn flags(self, nats: &str) -> Vec<String> {
        let Self { registry, transport, broker } = self;
        let chosen = [("registry", registry), ("transport", transport), ("broker", broker)];
        let mut flags: Vec<String> =
            chosen.iter().map(|(what, name)| format!("--{what}={name}")).collect();
        for (what, name) in chosen {
            match name {
                "nats" => flags.push(format!("--{what}_address={nats}")),
                "mdns" => flags.push(format!("--{what}_address=loopback")),
                _ => {}
            }
        }
        flags.push(format!("--namespace={registry}-{transport}-{broker}-{}", std::process::id()));
        flags
    }

    fn within_one_process(self) -> bool {
        self.registry == "memory" && self.transport == "memory"
    }

    /// Who is found but cannot be called, or the other way round.
    fn makes_no_sense(self) -> bool {
        (self.registry == "memory") != (self.transport == "memory")
    }
}

fn flags(args: &[String]) -> Flags {
    Options::parse_from([&["test"], &strs(args)[..]].concat()).micro
}

#[tokio::test]
async fn what_goes_together_answers_in_full_and_the_rest_is_refused_at_the_start() {
    let nats = NatsServer::start().await;
    let mut rows = String::new();
    for backends in Backends::all() {
        let Backends { registry, transport, broker } = backends;
        eprintln!("registry {registry}, transport {transport}, broker {broker}");
        let args = backends.flags(&nats.address());
        let outcome = if backends.makes_no_sense() {
            refused(&args).await
        } else if backends.within_one_process() {
            within_one_process(&args).await
        } else {
            between_processes(&args, broker == "nats").await
        };
        let Outcome { calls, events } = outcome;
        writeln!(rows, "| {registry} | {transport} | {broker} | {calls} | {events} |").unwrap();
    }
    compare(&rows);
}

/// Both the program and a client say what does not go together, and start nothing.
async fn refused(args: &[String]) -> Outcome {
    let error = Client::builder().flags(&flags(args)).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.detail().contains("does not go with"), "{error}");
    let (success, out, err) = Program::start(ECHO, &strs(args)).end().await;
    assert!(!success && out.is_empty(), "{out:?}");
    assert!(err.iter().any(|line| line.contains(error.detail())), "{err:#?}");
    Outcome { calls: "refused at the start", events: "" }
}

/// Service, client and subscriber of one process share its memory.
async fn within_one_process(args: &[String]) -> Outcome {
    let (flags, plugins, node) = (flags(args), Plugins::new(), Arc::new(OnceLock::new()));
    let (events, mut came) = mpsc::channel(8);
    let service = Service::builder("echo")
        .server(echo::server(node.clone()))
        .subscriber("events", move |_: Context, event: Value| {
            let events = events.clone();
            async move {
                let _ = events.send(event).await;
                Ok(())
            }
        })
        .plugins(&plugins)
        .flags(&flags)
        .build()
        .unwrap();
    node.set(service.node_id()).unwrap();
    let running = service.start().await.unwrap();
    let client = Client::builder().plugins(&plugins).flags(&flags).build().unwrap();
    table::answers_in_full(&client, &running.node().id).await;
    let event = json!({ "name": "Bob" });
    // A subscription over NATS is there a moment after it was made.
    let delivered = async {
        loop {
            client.publish("events", &event).await.unwrap();
            if let Ok(came) = timeout(Duration::from_millis(100), came.recv()).await {
                return came.unwrap();
            }
        }
    };
    assert_eq!(timeout(LIMIT, delivered).await.expect("no event"), event);
    running.stop().await.unwrap();
    Outcome { calls: "yes, within one process", events: "yes" }
}

/// The real program is another process, which is found, called and told of events.
async fn between_processes(args: &[String], events: bool) -> Outcome {
    let mut program = Program::start(ECHO, &[&strs(args)[..], &["--server_id=one"]].concat());
    let serving: Value = serde_json::from_str(&program.line().await).unwrap();
    assert_eq!(serving["node"], "echo-one");
    let client = Client::builder().flags(&flags(args)).build().unwrap();
    table::answers_in_full(&client, "echo-one").await;
    if events {
        client.publish("events", &json!({ "name": "Bob" })).await.unwrap();
        let line: Value = serde_json::from_str(&program.line().await).unwrap();
        assert_eq!(line["body"], json!({ "name": "Bob" }));
    }
    program.signal("-TERM");
    let (success, more, err) = program.end().await;
    assert!(success && more.is_empty(), "{more:?} {err:#?}");
    assert!(gone(&client).await.is_ok(), "it stopped, and is still found");
    Outcome { calls: "yes", events: if events { "yes" } else { "within each process" } }
}

/// Until nobody is found any more.
async fn gone(client: &Client) -> Result<()> {
    let name: ServiceName = "echo".parse()?;
    let gone = async {
        let registry = client.registry();
        let mut changes = registry.watch(WatchOptions::default().with_name(name.clone())).await?;
        while registry.get(&name).await.is_ok() && changes.next().await.is_some() {}
        Ok(())
    };
    timeout(LIMIT, gone).await.map_err(|_| micro::Error::timeout("it is still found"))?
}

/// The page has these rows; `MICRO_DOCS=write` writes them.
fn compare(rows: &str) {
    let (begin, end) = ("<!-- combinations -->\n", "<!-- end of combinations -->\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/backends.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(begin).unwrap();
    let (table, after) = rest.split_once(end).unwrap();
    let head = "| registry | transport | broker | calls, errors and streams | events |";
    let wanted = format!("\n{head}\n|---|---|---|---|---|\n{rows}\n");
    if std::env::var("MICRO_DOCS").is_ok_and(|value| value == "write") {
        std::fs::write(&path, format!("{before}{begin}{wanted}{end}{after}")).unwrap();
        return;
    }
    assert!(table == wanted, "the table is not what came of it; it should be:\n{wanted}");
}
