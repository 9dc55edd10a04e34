//! Backends by flag, and what holds where a flag is not given.
#![cfg(all(
    feature = "flags",
    feature = "memory",
    feature = "nats",
    feature = "registry-mdns",
    feature = "transport-tcp"
))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use micro::memory::Memory;
use micro::{Error, ErrorKind, Flags, PluginConfig, Plugins, Service};

#[derive(Parser)]
struct Options {
    #[command(flatten)]
    micro: Flags,
}

fn flags(args: &[&str]) -> Flags {
    Options::parse_from(["test"].iter().chain(args)).micro
}

/// The names of registry, transport and broker.
fn chosen(service: &Service) -> [&'static str; 3] {
    let backends = service.backends();
    [backends.registry.name(), backends.transport.name(), backends.broker.name()]
}

fn build(args: &[&str]) -> micro::Result<Service> {
    Service::builder("greeter").flags(&flags(args)).build()
}

#[tokio::test]
async fn each_backend_is_chosen_by_its_own_flag() {
    assert_eq!(chosen(&build(&[]).unwrap()), ["memory", "memory", "memory"]);
    let both = build(&["--registry=nats", "--transport=nats"]).unwrap();
    assert_eq!(chosen(&both), ["nats", "nats", "memory"]);
    assert_eq!(chosen(&build(&["--broker=nats"]).unwrap()), ["memory", "memory", "nats"]);
}

#[tokio::test]
async fn who_is_found_but_cannot_be_called_is_told_at_the_start_and_the_other_way_round() {
    for (flag, words) in [
        (
            "--registry=nats",
            ["transport memory", "registry nats", "cannot call", "there are: nats, tcp"],
        ),
        (
            "--transport=nats",
            ["registry memory", "transport nats", "find", "there are: mdns, nats"],
        ),
    ] {
        let error = build(&[flag]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        for word in words {
            assert!(error.detail().contains(word), "{flag}: {word:?} is not in: {error}");
        }
        let client = micro::Client::builder().flags(&flags(&[flag])).build().unwrap_err();
        assert_eq!(client.detail(), error.detail());
    }
}

#[tokio::test]
async fn who_brings_a_backend_of_their_own_knows_what_goes_together() {
    let registry = Arc::new(Memory::new().registry());
    let service =
        Service::builder("greeter").registry(registry).flags(&flags(&["--transport=nats"]));
    assert_eq!(chosen(&service.build().unwrap()), ["memory", "nats", "memory"]);
}

#[tokio::test]
async fn a_profile_that_code_names_holds_where_none_was_given() {
    let build = |args: &[&str]| {
        let service = Service::builder("greeter").flags(&flags(args).or_profile("nats")).build();
        chosen(&service.unwrap())
    };
    assert_eq!(build(&[]), ["nats", "nats", "nats"]);
    assert_eq!(build(&["--profile="]), ["nats", "nats", "nats"]);
    assert_eq!(build(&["--broker=memory"]), ["nats", "nats", "memory"]);
    assert_eq!(build(&["--profile=local"]), ["memory", "memory", "memory"]);
}

#[tokio::test]
async fn a_profile_sets_all_three_and_a_flag_beats_it() {
    assert_eq!(chosen(&build(&["--profile=nats"]).unwrap()), ["nats", "nats", "nats"]);
    assert_eq!(chosen(&build(&["--profile=local"]).unwrap()), ["memory", "memory", "memory"]);
    let mixed = build(&["--profile=nats", "--broker=memory"]).unwrap();
    assert_eq!(chosen(&mixed), ["nats", "nats", "memory"]);
}

#[tokio::test]
async fn both_spellings_of_a_flag_are_taken() {
    let plugins = Plugins::new().with_registry(
        "own",
        Arc::new(|config| Err(Error::invalid_input(config.addresses.join(" and ")))),
    );
    for flag in ["--registry_address", "--registry-address"] {
        let flags = flags(&["--registry=own", flag, "a:1,b:2"]);
        let service = Service::builder("a").plugins(&plugins).flags(&flags);
        assert_eq!(service.build().unwrap_err().to_string(), "a:1 and b:2");
    }
}

#[tokio::test]
async fn a_bad_address_is_named_without_its_password() {
    let address = "nats://user:secret@host:port";
    let error = build(&["--registry=nats", "--registry_address", address]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("host:port"), "{error}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let error = build(&["--transport=grpc"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "no transport is called \"grpc\"; there are: memory, nats, tcp");
}

#[test]
fn a_name_whose_feature_is_off_says_which() {
    let error = Plugins::empty().broker("nats", &PluginConfig::default()).err().unwrap();
    assert!(error.to_string().contains("broker-nats"), "{error}");
}

#[test]
fn a_plugin_of_ones_own_is_chosen_by_name() {
    let world = Memory::new();
    let plugins = Plugins::new().with_registry(
        "own",
        Arc::new(move |config| match config.addresses.first() {
            Some(address) => Err(Error::invalid_input(format!("no {address} here"))),
            None => Ok(Arc::new(world.registry())),
        }),
    );
    let service = Service::builder("a").plugins(&plugins).flags(&flags(&["--registry=own"]));
    service.build().unwrap();
    let args = ["--registry=own", "--registry_address=there"];
    let service = Service::builder("a").plugins(&plugins).flags(&flags(&args));
    assert_eq!(service.build().unwrap_err().to_string(), "no there here");
}

#[tokio::test]
async fn what_code_says_holds_where_no_flag_is_given() {
    let service = Service::builder("coded")
        .version("7")
        .id("one")
        .address("here")
        .metadata("zone", "a")
        .register_ttl(Duration::from_secs(5))
        .register_interval(Duration::from_secs(2));
    let running = service.clone().flags(&flags(&[])).build().unwrap().start().await.unwrap();
    assert_eq!(running.name(), "coded");
    assert_eq!(
        (running.node().id.as_str(), running.node().address.as_str()),
        ("coded-one", "here")
    );
    assert_eq!(running.node().metadata["zone"], "a");
    for (key, value) in [("protocol", "mucp"), ("server", "mucp"), ("transport", "memory")] {
        assert_eq!(running.node().metadata[key], value);
    }

    let args = [
        "--server_name=flagged",
        "--server_id=two",
        "--server_address=there",
        "--server_advertise=elsewhere",
        "--server_metadata=zone=b,rack=1",
    ];
    let running = service.flags(&flags(&args)).build().unwrap().start().await.unwrap();
    assert_eq!(running.name(), "flagged");
    assert_eq!(running.node().id, "flagged-two");
    assert_eq!(running.node().address, "elsewhere");
    assert_eq!(running.node().metadata["zone"], "b");
    assert_eq!(running.node().metadata["rack"], "1");
}

#[test]
fn a_plugin_may_be_made_of_another_one_and_be_replaced() {
    let base = Plugins::new();
    let (inner, config) = (base.clone(), PluginConfig::default());
    let wrapped = base.with_registry("wrapped", Arc::new(move |c| inner.registry("memory", c)));
    let first = wrapped.registry("wrapped", &config).unwrap();
    assert!(Arc::ptr_eq(&first, &wrapped.registry("memory", &config).unwrap()), "it is shared");

    let other: Arc<dyn micro_core::Registry> = Arc::new(Memory::new().registry());
    let made = other.clone();
    let replaced = wrapped.with_registry("memory", Arc::new(move |_| Ok(made.clone())));
    assert!(Arc::ptr_eq(&other, &replaced.registry("memory", &config).unwrap()));
}

#[test]
fn neither_flags_nor_their_debug_or_help_show_a_secret() {
    let address = "--registry_address=nats://user:secret@host:4222";
    let flags = flags(&["--registry=nats", address]);
    let config = PluginConfig::default().with_addresses(["nats://user:secret@host:4222"]);
    assert!(!format!("{flags:?} {config:?}").contains("secret"));
}

#[test]
fn a_registration_that_cannot_be_renewed_in_time_is_refused() {
    let error = build(&["--register_ttl=10", "--register_interval=10"]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn what_is_no_value_is_refused_with_the_flags_name() {
    for (arg, flag) in [
        ("--client_request_timeout=soon", "--client_request_timeout"),
        ("--server_metadata=zone", "--server_metadata"),
        ("--profile=cloud", "--profile"),
    ] {
        let error = Options::try_parse_from(["test", arg]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(flag), "{error}");
    }
}

#[tokio::test]
async fn a_zone_given_as_metadata_is_where_the_services_own_calls_go() {
    let memory = Memory::new();
    let over = |name: &str| {
        Service::builder(name)
            .registry(memory.registry())
            .transport(memory.transport())
            .broker(memory.broker())
    };
    let mut nodes = Vec::new();
    for zone in ["a", "b"] {
        let service = over("g").flags(&flags(&[&format!("--server_metadata=zone={zone}")]));
        let service =
            service.handler("G.Zone", move |_: micro::Context, (): ()| async move { Ok(zone) });
        nodes.push(service.build().unwrap().start().await.unwrap());
    }
    for zone in ["a", "b"] {
        let zoned = flags(&[&format!("--server_metadata=zone={zone},other=x")]);
        let caller = over("caller").flags(&zoned).build().unwrap().client();
        for _ in 0..20 {
            let reply: String = caller.call("g", "G.Zone", &()).await.unwrap();
            assert_eq!(reply, zone);
        }
    }
}

#[tokio::test]
async fn strategies_are_chosen_by_gos_flag() {
    for selector in ["leastloaded", "random", "roundrobin", "registry", ""] {
        build(&[&format!("--selector={selector}")]).unwrap();
    }
    let unknown = Options::try_parse_from(["test", "--selector=best"]).map(|_| ()).unwrap_err();
    assert!(unknown.to_string().contains("leastloaded"), "{unknown}");
}
