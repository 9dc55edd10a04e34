//! Flags stand anywhere, and the environment is a service's.

use crate::program::Micro;
use crate::world::World;

#[tokio::test]
async fn flags_stand_before_and_after_the_verb_and_its_arguments() {
    let (world, _echo) = World::with_echo().await;
    let address = world.nats.address();
    let at = format!("--nats_address={address}");
    let lines: [&[&str]; 6] = [
        &["call", "echo", "Echo.Call", "{\"name\":\"Bob\"}", &at],
        &[&at, "call", "echo", "Echo.Call", "{\"name\":\"Bob\"}"],
        &["call", &at, "echo", "Echo.Call", "{\"name\":\"Bob\"}"],
        &[
            "--nats_address",
            &address,
            "--timeout",
            "30s",
            "-m",
            "a=b",
            "call",
            "echo",
            "Echo.Call",
            "{\"name\":\"Bob\"}",
        ],
        &[
            "--nats-address",
            &address,
            "call",
            "echo",
            "--count=1",
            "Echo.Call",
            "{\"name\":\"Bob\"}",
            "--timeout",
            "30s",
        ],
        &[
            "-ma=b",
            "call",
            "echo",
            "-m",
            "c=d",
            "Echo.Call",
            "--address",
            "echo.1",
            "{\"name\":\"Bob\"}",
            &at,
        ],
    ];
    for words in lines {
        let printed = Micro::new(words).run().await.fine();
        assert_eq!(printed, "{\"greeting\":\"Hello Bob\"}\n", "{words:?}");
    }
}

#[tokio::test]
async fn each_backend_has_its_own_flags_and_variables() {
    let (world, _echo) = World::with_echo().await;
    let address = world.nats.address();
    let all: Vec<String> = ["registry", "transport", "broker"]
        .iter()
        .flat_map(|what| [format!("--{what}=nats"), format!("--{what}_address={address}")])
        .collect();
    let words: Vec<&str> =
        all.iter().map(String::as_str).chain(["call", "echo", "Echo.Who"]).collect();
    assert_eq!(Micro::new(&words).run().await.fine(), "{\"greeting\":\"echo-1\"}\n");
    let told = Micro::new(&["call", "echo", "Echo.Who"])
        .env("MICRO_REGISTRY", "nats")
        .env("MICRO_REGISTRY_ADDRESS", &address)
        .env("MICRO_TRANSPORT_ADDRESS", &format!("nats://{address}"))
        .env("MICRO_BROKER_ADDRESS", "");
    assert_eq!(told.run().await.fine(), "{\"greeting\":\"echo-1\"}\n");
}

#[tokio::test]
async fn a_flag_counts_more_than_the_environment() {
    let (world, _echo) = World::with_echo().await;
    let at = format!("--nats_address={}", world.nats.address());
    let nowhere = micro_testkit::server::NatsServer::stopped(&[]);
    let told = Micro::new(&["services", &at]).env("MICRO_NATS_ADDRESS", &nowhere.address());
    assert_eq!(told.run().await.fine(), "echo\n");
}

#[tokio::test]
async fn a_namespace_is_another_fleet() {
    let (world, _echo) = World::with_echo().await;
    let done = world.micro(&["services", "--namespace=elsewhere"]).run().await;
    assert_eq!((done.code(), done.stdout.as_str()), (Some(0), ""));
    assert_eq!(done.stderr, "no services\n");
}

#[tokio::test]
async fn the_local_profile_is_a_world_without_anybody() {
    let done = Micro::new(&["services", "--profile=local"]).run().await;
    assert_eq!((done.code(), done.stdout.as_str()), (Some(0), ""));
    let done = Micro::new(&["call", "echo", "Echo.Call", "--profile=local"]).run().await;
    let (error, hints) = done.failed();
    assert_eq!((&error["code"], hints.len()), (&404.into(), 0), "{error}");
}

#[tokio::test]
async fn the_time_that_a_call_has_is_given_by_the_flag_of_a_service_too() {
    let (world, _echo) = World::with_echo().await;
    let slow = ["call", "echo", "Echo.Slow", "{\"millis\":600000}"];
    let done = world.micro(&slow).env("MICRO_CLIENT_REQUEST_TIMEOUT", "50ms").run().await;
    assert_eq!(done.failed().0["code"], 408);
    let done = world.micro(&[&slow[..], &["--client_request_timeout=50ms"]].concat()).run().await;
    assert_eq!(done.failed().0["code"], 408);
}

#[tokio::test]
async fn what_happens_beneath_is_on_standard_error_if_rust_log_asks_for_it() {
    let (world, _echo) = World::with_echo().await;
    for level in ["info", "debug"] {
        let done = world.micro(&["services"]).env("RUST_LOG", level).run().await;
        assert_eq!((done.code(), done.stdout.as_str()), (Some(0), "echo\n"));
        assert!(done.stderr.contains("connected to NATS"), "{done:?}");
        // Colours are for terminals.
        assert!(!done.stderr.contains('\u{1b}'), "{done:?}");
    }
}

#[tokio::test]
async fn what_the_environment_says_for_servers_is_not_looked_at() {
    let (world, _echo) = World::with_echo().await;
    let servers = |words: &[&str]| {
        let words = world.micro(words).env("MICRO_REGISTER_TTL", "60s");
        words.env("MICRO_REGISTER_INTERVAL", "soon").env("MICRO_SERVER_METADATA", "zone")
    };
    assert_eq!(servers(&["services"]).run().await.fine(), "echo\n");
    let call = ["call", "echo", "Echo.Who"];
    assert_eq!(servers(&call).run().await.fine(), "{\"greeting\":\"echo-1\"}\n");
    assert!(servers(&["completions", "bash"]).run().await.fine().contains("_micro"));
}
