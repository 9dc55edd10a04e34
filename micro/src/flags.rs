//! go-micro's flags and environment variables.

use std::fmt;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser};

use crate::backends::Selection;
use crate::client::{ClientOptions, Strategy};
use crate::service::ServiceBuilder;

/// go-micro's flags and environment variables, to be flattened into an application's own.
///
/// What is not given changes nothing: code's own values hold. Flags count more than the
/// environment, and both more than `--profile`.
///
/// ```
/// use clap::Parser;
///
/// #[derive(Parser)]
/// struct Options {
///     #[command(flatten)]
///     micro: micro::Flags,
///     /// Whom to greet.
///     #[arg(long, default_value = "World")]
///     name: String,
/// }
///
/// let options = Options::parse_from(["greeter", "--registry=memory", "--name=Bob"]);
/// let service = micro::Service::builder("greeter").flags(&options.micro).build()?;
/// # assert_eq!(service.backends().registry.name(), "memory");
/// # Ok::<(), micro::Error>(())
/// ```
#[derive(Args, Clone, Default)]
// The docs above are for those who write a program, not for those who run it.
#[command(next_help_heading = "Micro options", about = None, long_about = None)]
#[non_exhaustive]
pub struct Flags {
    /// All three backends at once: `local` (memory) or `nats`, at MICRO_NATS_ADDRESS
    #[arg(long, env = "MICRO_PROFILE", value_name = "NAME", value_parser = one_of(&["", "local", "nats"]))]
    pub(crate) profile: Option<String>,

    /// Where services are found: memory (within this process; the default), mdns (on this network,
    /// without a server) or nats
    #[arg(long, env = "MICRO_REGISTRY", value_name = "NAME")]
    pub(crate) registry: Option<String>,

    /// Addresses of the registry, comma-separated: servers for nats; for mdns interfaces by name or
    /// address, or loopback, or all where none is given [default for nats: 127.0.0.1:4222]
    #[arg(
        long = "registry_address",
        alias = "registry-address",
        env = "MICRO_REGISTRY_ADDRESS",
        hide_env_values = true,
        value_name = "ADDRESS,…",
        value_delimiter = ','
    )]
    pub(crate) registry_address: Vec<String>,

    /// How calls travel: memory (within this process; the default), tcp or nats
    #[arg(long, env = "MICRO_TRANSPORT", value_name = "NAME")]
    pub(crate) transport: Option<String>,

    /// Addresses of the transport, comma-separated: servers for nats; for tcp the one where it
    /// listens, such as 0.0.0.0, or 127.0.0.1 where none is given [default for nats: 127.0.0.1:4222]
    #[arg(
        long = "transport_address",
        alias = "transport-address",
        env = "MICRO_TRANSPORT_ADDRESS",
        hide_env_values = true,
        value_name = "ADDRESS,…",
        value_delimiter = ','
    )]
    pub(crate) transport_address: Vec<String>,

    /// How events travel: memory (within this process; the default) or nats
    #[arg(long, env = "MICRO_BROKER", value_name = "NAME")]
    pub(crate) broker: Option<String>,

    /// Addresses of the broker, comma-separated [default for nats: 127.0.0.1:4222]
    #[arg(
        long = "broker_address",
        alias = "broker-address",
        env = "MICRO_BROKER_ADDRESS",
        hide_env_values = true,
        value_name = "HOST:PORT,…",
        value_delimiter = ','
    )]
    pub(crate) broker_address: Vec<String>,

    /// Addresses for `--profile nats`, comma-separated [default: 127.0.0.1:4222]
    #[arg(
        long = "nats_address",
        alias = "nats-address",
        env = "MICRO_NATS_ADDRESS",
        hide_env_values = true,
        value_name = "HOST:PORT,…",
        value_delimiter = ','
    )]
    pub(crate) nats_address: Vec<String>,

    /// Keeps this fleet apart from others on the same NATS or the same network: prefixes discovery
    /// and topics (not known to go-micro; without it the subjects are go-micro's)
    #[arg(long, env = "MICRO_NAMESPACE", value_name = "NAME")]
    pub(crate) namespace: Option<String>,

    /// The service's name [default: the program's own]
    #[arg(
        long = "server_name",
        alias = "server-name",
        env = "MICRO_SERVER_NAME",
        value_name = "NAME"
    )]
    pub(crate) server_name: Option<String>,

    /// The service's version [default: the program's own, else latest]
    #[arg(
        long = "server_version",
        alias = "server-version",
        env = "MICRO_SERVER_VERSION",
        value_name = "VERSION"
    )]
    pub(crate) server_version: Option<String>,

    /// What makes the node's id unique [default: a fresh UUID]
    #[arg(long = "server_id", alias = "server-id", env = "MICRO_SERVER_ID", value_name = "ID")]
    pub(crate) server_id: Option<String>,

    /// Where the server listens: over NATS a subject, over TCP HOST:PORT or unix:PATH [default: :0,
    /// an address of its own]
    #[arg(
        long = "server_address",
        alias = "server-address",
        env = "MICRO_SERVER_ADDRESS",
        value_name = "ADDRESS"
    )]
    pub(crate) server_address: Option<String>,

    /// The address to register, where it is another than the server listens at; over TCP HOST or
    /// HOST:PORT
    #[arg(
        long = "server_advertise",
        alias = "server-advertise",
        env = "MICRO_SERVER_ADVERTISE",
        value_name = "ADDRESS"
    )]
    pub(crate) server_advertise: Option<String>,

    /// Metadata of the node, such as zone=a; may be repeated
    #[arg(long = "server_metadata", alias = "server-metadata", env = "MICRO_SERVER_METADATA",
          value_name = "KEY=VALUE", value_delimiter = ',', value_parser = key_value)]
    pub(crate) server_metadata: Vec<Given<(String, String)>>,

    /// How long the registration lives unless renewed, in seconds [default: 90]
    #[arg(
        long = "register_ttl",
        alias = "register-ttl",
        env = "MICRO_REGISTER_TTL",
        value_name = "SECONDS",
        value_parser = given::<u64>
    )]
    pub(crate) register_ttl: Option<Given<u64>>,

    /// How often the registration is renewed, in seconds [default: 30]
    #[arg(
        long = "register_interval",
        alias = "register-interval",
        env = "MICRO_REGISTER_INTERVAL",
        value_name = "SECONDS",
        value_parser = given::<u64>
    )]
    pub(crate) register_interval: Option<Given<u64>>,

    /// How long a call may take, such as 500ms or 5s [default: 30s]
    #[arg(long = "client_request_timeout", alias = "client-request-timeout",
          env = "MICRO_CLIENT_REQUEST_TIMEOUT", value_name = "DURATION",
          value_parser = duration)]
    pub(crate) client_request_timeout: Option<Given<Duration>>,

    /// How often a call is tried again where that is safe [default: 5]
    #[arg(
        long = "client_retries",
        alias = "client-retries",
        env = "MICRO_CLIENT_RETRIES",
        value_name = "N",
        value_parser = given::<usize>
    )]
    pub(crate) client_retries: Option<Given<usize>>,

    /// Which of several nodes is called: leastloaded (of two chosen at random; the default),
    /// random or roundrobin; go-micro's `registry` is random
    #[arg(long, env = "MICRO_SELECTOR", value_name = "NAME",
          value_parser = one_of(&["", "leastloaded", "random", "roundrobin", "registry"]))]
    pub(crate) selector: Option<String>,

    /// Accepted for go-micro's sake, without effect, as there
    #[arg(long, env = "MICRO_CLIENT", value_name = "NAME", hide = true)]
    pub(crate) client: Option<String>,

    /// Accepted for go-micro's sake, without effect, as there
    #[arg(long, env = "MICRO_SERVER", value_name = "NAME", hide = true)]
    pub(crate) server: Option<String>,

    /// Accepted for go-micro's sake, without effect: there is one connection
    #[arg(
        long = "client_pool_size",
        alias = "client-pool-size",
        env = "MICRO_CLIENT_POOL_SIZE",
        value_name = "N"
    )]
    pub(crate) client_pool_size: Option<String>,

    /// Accepted for go-micro's sake, without effect
    #[arg(
        long = "client_pool_ttl",
        alias = "client-pool-ttl",
        env = "MICRO_CLIENT_POOL_TTL",
        value_name = "DURATION"
    )]
    pub(crate) client_pool_ttl: Option<String>,
}

impl Flags {
    /// The service's name, if it was given.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref().filter(|name| !name.is_empty())
    }

    /// Where no profile was given, this one holds: `nats` or `local`, as `--profile` has it. Whatever
    /// else was given counts more.
    #[must_use]
    pub fn or_profile(mut self, profile: &str) -> Self {
        let given = self.profile.take().filter(|given| !given.is_empty());
        self.profile = Some(given.unwrap_or_else(|| profile.to_owned()));
        self
    }

    pub(crate) fn apply(&self, service: &mut ServiceBuilder) {
        let text = |flag: &Option<String>| flag.clone().filter(|text| !text.is_empty());
        service.name = text(&self.server_name).unwrap_or_else(|| service.name.clone());
        service.version = text(&self.server_version).unwrap_or_else(|| service.version.clone());
        service.id = text(&self.server_id).or_else(|| service.id.take());
        service.address = text(&self.server_address).unwrap_or_else(|| service.address.clone());
        service.advertise = text(&self.server_advertise).or_else(|| service.advertise.take());
        service.metadata.extend(self.server_metadata.iter().filter_map(|given| given.0.clone()));
        if let Some(Given(Some(seconds))) = self.register_ttl {
            service.register_ttl = Duration::from_secs(seconds);
        }
        if let Some(Given(Some(seconds))) = self.register_interval {
            service.register_interval = Duration::from_secs(seconds);
        }
        self.apply_to_client(&mut service.client_options);
        self.select(&mut service.selection);
    }

    pub(crate) fn apply_to_client(&self, options: &mut ClientOptions) {
        if let Some(Given(Some(timeout))) = self.client_request_timeout {
            options.request_timeout = timeout;
        }
        if let Some(Given(Some(retries))) = self.client_retries {
            options.retries = retries;
        }
        let metadata = self.server_metadata.iter().filter_map(|given| given.0.as_ref());
        if let Some((_, zone)) = metadata.rev().find(|(key, _)| key == "zone") {
            options.zone = Some(zone.clone());
        }
        match self.selector.as_deref() {
            Some("leastloaded") => options.strategy = Strategy::LeastLoaded,
            Some("roundrobin") => options.strategy = Strategy::RoundRobin,
            Some("random" | "registry") => options.strategy = Strategy::Random,
            _ => {}
        }
    }

    pub(crate) fn select(&self, selection: &mut Selection) {
        let profile = match self.profile.as_deref() {
            Some("nats") => Some(("nats", list(&self.nats_address))),
            Some("local") => Some(("memory", Vec::new())),
            _ => None,
        };
        macro_rules! choose {
            ($choice:ident, $name:ident, $addresses:ident) => {
                if let Some((name, addresses)) = &profile {
                    selection.$choice.set_name(name);
                    selection.$choice.set_addresses(addresses.clone());
                }
                if let Some(name) = self.$name.as_deref().filter(|name| !name.is_empty()) {
                    selection.$choice.set_name(name);
                }
                let addresses = list(&self.$addresses);
                if !addresses.is_empty() {
                    selection.$choice.set_addresses(addresses);
                }
            };
        }
        choose!(registry, registry, registry_address);
        choose!(transport, transport, transport_address);
        choose!(broker, broker, broker_address);
        if let Some(namespace) = self.namespace.as_ref().filter(|name| !name.is_empty()) {
            selection.namespace = Some(namespace.clone());
        }
    }
}

/// An empty variable is no address.
fn list(addresses: &[String]) -> Vec<String> {
    addresses.iter().map(|a| a.trim()).filter(|a| !a.is_empty()).map(str::to_owned).collect()
}

/// `None` for the empty text: an environment variable that is set to it says nothing.
#[derive(Clone, Copy)]
pub(crate) struct Given<T>(Option<T>);

fn given<T: std::str::FromStr>(text: &str) -> Result<Given<T>, T::Err> {
    if text.is_empty() { Ok(Given(None)) } else { text.parse().map(|value| Given(Some(value))) }
}

fn duration(text: &str) -> Result<Given<Duration>, humantime::DurationError> {
    if text.is_empty() {
        return Ok(Given(None));
    }
    humantime::parse_duration(text).map(|value| Given(Some(value)))
}

/// Shows the names in the help, but for the empty one.
fn one_of(names: &'static [&'static str]) -> PossibleValuesParser {
    let value = |name: &&'static str| PossibleValue::new(*name).hide(name.is_empty());
    PossibleValuesParser::new(names.iter().map(value))
}

fn key_value(text: &str) -> Result<Given<(String, String)>, String> {
    match text.split_once('=') {
        _ if text.is_empty() => Ok(Given(None)),
        Some((key, value)) if !key.is_empty() => {
            Ok(Given(Some((key.to_owned(), value.to_owned()))))
        }
        _ => Err(format!("{text:?} is not KEY=VALUE")),
    }
}

/// Without addresses: there may be passwords in them.
impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("profile", &self.profile)
            .field("registry", &self.registry)
            .field("transport", &self.transport)
            .field("broker", &self.broker)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
