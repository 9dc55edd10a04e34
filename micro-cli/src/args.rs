//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use micro::Flags;
use micro::broker::{Topic, TopicFilter};
use micro::registry::ServiceName;

use crate::body::Body;

const AFTER_HELP: &str = "\
Flags may stand before or after the verb and its arguments. Without any, everything goes over NATS at
127.0.0.1:4222; the environment says it too, as for a service: MICRO_NATS_ADDRESS=nats.example:4222.

Replies go to standard output, everything else to standard error. Exit codes:
  0    fine
  1    it failed; standard error has a line of JSON: {\"id\",\"code\",\"detail\",\"status\"}
  2    wrong usage: what makes no sense is not sent
  130  interrupted

RUST_LOG=debug shows what happens beneath; NO_COLOR=1 turns colours off.";

/// Looks at services, calls them, streams, publishes and listens
#[derive(Parser)]
#[command(name = "micro", version, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Line {
    #[command(flatten)]
    pub(crate) micro: Flags,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Lists the services that there are
    ///
    /// Their names, one a line; on a terminal a table with versions, nodes and endpoints.
    #[command(visible_alias = "list")]
    Services(Services),
    /// Shows a service: versions, nodes, metadata, zones, leases, endpoints and their types
    Describe(Describe),
    /// Shows services and nodes as they come, change and go, until Ctrl-C
    Watch(Watch),
    /// Calls an endpoint and prints its reply
    Call(Call),
    /// Opens a stream: lines of JSON from standard input, and lines of JSON as they arrive
    ///
    /// The end of standard input is the half-close: what the service sends after it still comes. Ctrl-C gives the
    /// stream up, and the service is told.
    Stream(Stream),
    /// Publishes an event
    Publish(Publish),
    /// Prints the events of a topic as they come, until Ctrl-C
    Subscribe(Subscribe),
    /// Asks every node of a service how it is
    ///
    /// Calls `Debug.Health`, which every server of ours answers, and go-micro's where its debug handler is registered. A
    /// node without it that answers is well too.
    Health(Health),
    /// Prints the completions of a shell
    Completions(Completions),
    /// Writes the manual pages into a folder
    Man(Man),
}

#[derive(Args)]
pub(crate) struct Services {
    /// Everything that the registry knows, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Describe {
    /// The service
    #[arg(value_name = "NAME")]
    pub(crate) name: ServiceName,
    /// As JSON: a list of versions, each as go-micro has it
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Watch {
    /// Only this service
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<ServiceName>,
    /// A line of JSON for each change
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is called, and how.
#[derive(Args)]
pub(crate) struct Target {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: ServiceName,
    /// The endpoint, such as Greeter.Hello
    #[arg(value_name = "ENDPOINT")]
    pub(crate) endpoint: String,
    /// Metadata of the call; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Calls the node at this address, and asks no registry
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    #[command(flatten)]
    pub(crate) bodies: Bodies,
    /// The .proto file that has the endpoint's messages: they go as protobuf, and are JSON here
    #[arg(long, value_name = "FILE.proto")]
    pub(crate) proto: Option<PathBuf>,
    /// Where imports of the .proto file are looked for [default: its own folder]
    #[arg(short = 'I', long, alias = "proto_path", value_name = "FOLDER", requires = "proto")]
    pub(crate) proto_path: Vec<PathBuf>,
    /// Sends it whatever the registry knows of the endpoint: mistyped fields, a call of a stream
    #[arg(long)]
    pub(crate) unchecked: bool,
}

/// How bodies are.
#[derive(Args)]
pub(crate) struct Bodies {
    /// The content type [default: application/json, with --proto application/protobuf]
    #[arg(long, alias = "content_type", value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Bodies as they are, both ways: neither checked nor formatted
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Args)]
pub(crate) struct Call {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The request: JSON, a file of it, or - for standard input
    #[arg(value_name = "JSON|@FILE|-", default_value = "{}", allow_negative_numbers = true)]
    pub(crate) body: Body,
    /// How long it may take, such as 500ms or 1m [default: --client_request_timeout, 30s]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// Calls so often, one after the other, and tells how long that took
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: u64,
}

#[derive(Args)]
pub(crate) struct Stream {
    #[command(flatten)]
    pub(crate) target: Target,
    /// The only message, instead of lines of standard input
    #[arg(value_name = "JSON|@FILE|-", allow_negative_numbers = true)]
    pub(crate) body: Option<Body>,
    /// How long all of it may take [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,
    /// How long it may be without a message, either way [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) idle: Option<Duration>,
}

#[derive(Args)]
pub(crate) struct Publish {
    /// The topic
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: Topic,
    /// The event: JSON, a file of it, or - for standard input
    #[arg(value_name = "JSON|@FILE|-", default_value = "{}", allow_negative_numbers = true)]
    pub(crate) body: Body,
    /// Metadata of the event; may be repeated
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) metadata: Vec<(String, String)>,
    #[command(flatten)]
    pub(crate) bodies: Bodies,
}

#[derive(Args)]
pub(crate) struct Subscribe {
    /// The topic; over NATS `*` is any part of it, and `>` all further ones
    #[arg(value_name = "TOPIC")]
    pub(crate) topic: TopicFilter,
    /// Shares the events with the other members of this queue
    #[arg(long, value_name = "QUEUE")]
    pub(crate) queue: Option<String>,
    /// Ends after so many events; of a queue, what was delivered beyond them is told and lost
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// A line of JSON for each event, with its topic and header
    #[arg(long, conflicts_with = "raw")]
    pub(crate) json: bool,
    /// Bodies as they are, one after the other
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Args)]
pub(crate) struct Health {
    /// The service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: ServiceName,
    /// How long a node has for its answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// A line of JSON for each node
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

#[derive(Args)]
pub(crate) struct Man {
    /// The folder, which is made if need be: micro.1, micro-call.1 …
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
}

impl Verb {
    /// As it is typed.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Services(_) => "services",
            Self::Describe(_) => "describe",
            Self::Watch(_) => "watch",
            Self::Call(_) => "call",
            Self::Stream(_) => "stream",
            Self::Publish(_) => "publish",
            Self::Subscribe(_) => "subscribe",
            Self::Health(_) => "health",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

impl Line {
    /// The command line as clap has it: the flags of a service stand anywhere, and say what holds here.
    pub(crate) fn command() -> clap::Command {
        let command = <Self as CommandFactory>::command();
        // They mean nothing to who calls: they are taken, and what the environment says for servers is not looked at.
        let nothing_here = |id: &str| {
            id.starts_with("server") || id.starts_with("register_") || id.starts_with("client_pool")
        };
        let of_a_service: Vec<_> = Flags::augment_args(clap::Command::new("flags"))
            .get_arguments()
            .map(|arg| arg.get_id().clone())
            .collect();
        let mut command = command.mut_args(|arg| {
            if !of_a_service.contains(arg.get_id()) {
                return arg;
            }
            let (short, hide) =
                (arg.get_id() == "nats_address", nothing_here(arg.get_id().as_str()));
            let hide = hide || arg.is_hide_set();
            let arg = if hide { arg.env(None::<&str>) } else { arg };
            arg.global(true).hide_short_help(!short).hide(hide)
        });
        for (id, what) in [
            ("registry", "Where services are found"),
            ("transport", "How calls travel"),
            ("broker", "How events travel"),
        ] {
            let help =
                format!("{what}: nats (the default), or another backend that is compiled in");
            command = command.mut_arg(id, |arg| arg.help(help));
        }
        command.mut_arg("profile", |arg| {
            arg.help("All three backends at once: `nats`, at MICRO_NATS_ADDRESS (the default), or `local`")
        })
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("it is not KEY=VALUE".to_owned()),
    }
}
