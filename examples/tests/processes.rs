//! The examples as a person runs them: separate processes, a real nats-server, real kills.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "program/mod.rs"]
mod program;

use std::time::Duration;

use futures_util::StreamExt;
use micro::client::Call;
use micro::codec::Json;
use micro::nats::async_nats;
use micro::registry::{Change, ServiceName, WatchOptions};
use micro::{Client, ErrorKind, RequestState};
use micro_examples::echo::{Req, Rsp};
use micro_testkit::server::{NatsCluster, NatsServer};
use tokio::time::timeout;

use self::program::{Program, nats_flags, strs};

const LIMIT: Duration = Duration::from_secs(40);
const GREETER: &str = env!("CARGO_BIN_EXE_greeter");
const SERVER: &str = env!("CARGO_BIN_EXE_greeter-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_greeter-client");
const MIDDLEWARE: &str = env!("CARGO_BIN_EXE_middleware");
const ECHO: &str = env!("CARGO_BIN_EXE_echo");

fn client(addresses: &str) -> Client {
    use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
    let nats = Nats::new([addresses]).unwrap();
    Client::builder()
        .registry(NatsRegistry::with(&nats))
        .transport(NatsTransport::with(&nats))
        .broker(NatsBroker::with(&nats))
        .build()
        .unwrap()
}

/// A call of the echo service.
fn hello(client: &Client, name: &str) -> Call<Json, Rsp> {
    client.call("echo", "Echo.Call", &Req { name: name.to_owned(), ..Req::default() })
}

/// So many bytes arrive at a caller, and from it.
async fn both_ways(client: &Client, size: i32) {
    let make = Req { size, ..Req::default() };
    let made: Rsp = client.call_proto("echo", "Echo.Blob", &make).await.unwrap();
    assert_eq!(made.data.len(), size as usize);
    assert!(made.data.iter().enumerate().all(|(at, byte)| *byte == at as u8));
    let measure = Req { data: made.data, ..Req::default() };
    let measured: Rsp = client.call_proto("echo", "Echo.Size", &measure).await.unwrap();
    assert_eq!(measured.value, size);
}

async fn greets(program: Program) {
    let (success, out, err) = program.end().await;
    assert_eq!(out, ["Hello World", "event: greeted World"], "{err:#?}");
    assert!(success, "{err:#?}");
}

#[tokio::test]
async fn the_greeter_greets_with_nothing_but_itself() {
    greets(Program::start(GREETER, &[])).await;
}

#[tokio::test]
async fn the_greeter_greets_over_nats_by_flags_environment_and_profile() {
    let nats = NatsServer::start().await;
    let address = nats.address();
    greets(Program::start(GREETER, &strs(&nats_flags(&address)))).await;
    let environment = [
        ("MICRO_REGISTRY", "nats"),
        ("MICRO_REGISTRY_ADDRESS", &*address),
        ("MICRO_TRANSPORT", "nats"),
        ("MICRO_TRANSPORT_ADDRESS", &*address),
        ("MICRO_BROKER", "nats"),
        ("MICRO_BROKER_ADDRESS", &*address),
    ];
    greets(Program::start_with(GREETER, &[], &environment)).await;
    let profile = [("MICRO_NATS_ADDRESS", &*address)];
    greets(Program::start_with(GREETER, &["--profile=nats"], &profile)).await;
}

#[tokio::test]
async fn layers_add_log_and_refuse_within_one_process_and_over_nats() {
    let nats = NatsServer::start().await;
    for flags in [Vec::new(), nats_flags(&nats.address())] {
        let (success, out, err) = Program::start(MIDDLEWARE, &strs(&flags)).end().await;
        let expected = [
            "Hello Bob, of tenant blue",
            "401: no token, no greeting",
            "event: greeted Bob, of tenant blue",
        ];
        assert_eq!(out, expected, "{err:#?}");
        assert!(success, "{err:#?}");
        for words in [
            "server: Greeter.Hello was done in",
            "client: Greeter.Hello was done in",
            "server: Greeter.Hello failed after",
            "client: Greeter.Hello failed after",
            "publisher: greeted was done in",
            "subscriber: greeted was done in",
        ] {
            let lines = err.iter().filter(|line| line.contains(words)).count();
            assert_eq!(lines, 1, "{words}: {err:#?}");
        }
        assert!(!err.iter().any(|line| line.contains("secret")), "{err:#?}");
    }
}

#[tokio::test]
async fn no_line_is_lost_when_one_of_two_servers_is_killed() {
    let nats = NatsServer::start().await;
    let flags = nats_flags(&nats.address());
    let mut servers =
        [Program::start(SERVER, &strs(&flags)), Program::start(SERVER, &strs(&flags))];
    for server in &mut servers {
        server.says("serving").await;
    }
    let mut args = flags.clone();
    args.extend(["--count=100", "--interval=20ms", "--name=Bob"].map(str::to_owned));
    let mut client = Program::start(CLIENT, &strs(&args));
    for _ in 0..30 {
        assert_eq!(client.line().await, "Hello Bob");
    }
    servers[0].signal("-KILL");
    let (success, rest, err) = client.end().await;
    assert!(success, "{err:#?}");
    assert_eq!(rest.len(), 70, "{err:#?}");
}

#[tokio::test]
async fn servers_and_clients_started_before_nats_find_each_other_later() {
    let mut nats = NatsServer::start().await;
    let flags = nats_flags(&nats.address());
    nats.stop().await;
    let mut server = Program::start(SERVER, &strs(&flags));
    server.says("serving").await;
    let early = Program::start(CLIENT, &strs(&flags));
    nats.restart().await;

    // Whoever is back first may ask before the other can answer, and is told the truth then.
    let (success, out, err) = early.end().await;
    let last = err.last().map_or("", String::as_str);
    let refused = last.contains("greeter") && last.contains("nobody on NATS");
    assert!((success && out == ["Hello World"]) || refused, "{out:?} {err:#?}");
    let served = async { while !Program::start(CLIENT, &strs(&flags)).end().await.0 {} };
    timeout(LIMIT, served).await.expect("a service that was started before NATS is not found");
}

#[tokio::test]
async fn a_client_without_a_server_or_nats_says_so_in_one_line() {
    let mut nats = NatsServer::start().await;
    let mut flags = nats_flags(&nats.address());
    let (success, out, err) = Program::start(CLIENT, &strs(&flags)).end().await;
    assert!(!success && out.is_empty());
    assert_eq!(err.len(), 1, "{err:#?}");
    assert!(err[0].starts_with("greeter-client: service greeter"), "{err:#?}");

    nats.stop().await;
    flags.push("--client_request_timeout=1s".to_owned());
    let (success, out, err) = Program::start(CLIENT, &strs(&flags)).end().await;
    assert!(!success && out.is_empty());
    assert_eq!(err.len(), 1, "{err:#?}");
    assert!(err[0].contains(&nats.address()), "{err:#?}");
}

#[tokio::test]
async fn an_unknown_backend_lists_the_known_ones() {
    let (success, _, err) = Program::start(CLIENT, &["--registry=consul"]).end().await;
    assert!(!success);
    let last = err.last().unwrap();
    assert!(["consul", "memory", "nats"].iter().all(|word| last.contains(word)), "{last}");
}

#[tokio::test]
async fn help_shows_go_micros_flags_with_their_defaults() {
    let (success, out, _) = Program::start(GREETER, &["--help"]).end().await;
    let help = out.join("\n");
    for words in [
        "--registry_address",
        "MICRO_REGISTRY_ADDRESS",
        "--broker",
        "--transport",
        "--server_name",
        "--client_request_timeout",
        "30s",
        "--profile",
        "--namespace",
        "127.0.0.1:4222",
    ] {
        assert!(help.contains(words), "{words}: {help}");
    }
    assert!(!help.contains("```"), "the docs of a type are no help: {help}");
    assert!(success);
}

#[tokio::test]
async fn an_empty_variable_says_nothing_and_help_shows_no_address() {
    let empty = [
        "MICRO_PROFILE",
        "MICRO_REGISTRY",
        "MICRO_REGISTRY_ADDRESS",
        "MICRO_SELECTOR",
        "MICRO_SERVER_METADATA",
        "MICRO_CLIENT_REQUEST_TIMEOUT",
        "MICRO_CLIENT_RETRIES",
        "MICRO_REGISTER_TTL",
        "MICRO_NAMESPACE",
    ];
    greets(Program::start_with(GREETER, &[], &empty.map(|name| (name, "")))).await;

    let secret = [("MICRO_REGISTRY_ADDRESS", "nats://user:secret@host:4222")];
    let (_, out, err) = Program::start_with(GREETER, &["--help"], &secret).end().await;
    assert!(!out.iter().chain(&err).any(|line| line.contains("secret")), "{out:#?}");
}

#[tokio::test]
async fn sigterm_deregisters_and_ends_in_order() {
    let nats = NatsServer::start().await;
    let mut server = Program::start(SERVER, &strs(&nats_flags(&nats.address())));
    server.says("serving").await;
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut told = raw.subscribe("micro.nats.watch").await.unwrap();
    raw.flush().await.unwrap();
    // The server has heard of the subscription once it answers on the same connection.
    client(&nats.address()).registry().list().await.unwrap();
    server.signal("-TERM");
    let (success, _, err) = server.end().await;
    assert!(success, "{err:#?}");
    assert!(err.iter().any(|line| line.contains("stopped")), "{err:#?}");
    let goodbye = async {
        loop {
            let message = told.next().await.unwrap();
            let message: serde_json::Value = serde_json::from_slice(&message.payload).unwrap();
            if message["Action"] == "delete" && message["Service"]["name"] == "greeter" {
                break;
            }
        }
    };
    timeout(LIMIT, goodbye).await.expect("no goodbye was said");
    let error = client(&nats.address()).call::<_, ()>("greeter", "Greeter.Hello", &()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_killed_server_leaves_every_view_when_its_lease_ends() {
    let nats = NatsServer::start().await;
    let mut server = Program::start(SERVER, &strs(&nats_flags(&nats.address())));
    server.says("serving").await;
    let client = client(&nats.address());
    let name: ServiceName = "greeter".parse().unwrap();
    let options = WatchOptions::default().with_name(name.clone());
    let mut changes = client.registry().watch(options).await.unwrap();
    let there = timeout(LIMIT, changes.next()).await.unwrap();
    assert!(matches!(there, Some(Change::Added(_))), "{there:?}");
    server.signal("-KILL");
    let gone = async { while !matches!(changes.next().await, Some(Change::Removed(_))) {} };
    // Its lease is 6 s; a node without one would stay for 90 s.
    timeout(Duration::from_secs(20), gone).await.expect("it is still there");
    assert_eq!(client.registry().get(&name).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn large_bodies_arrive_and_too_large_ones_are_refused_with_both_sizes() {
    let nats = NatsServer::start().await;
    let mut server = Program::start(ECHO, &strs(&nats_flags(&nats.address())));
    server.says("serving").await;
    let client = client(&nats.address());

    // The server's default limit is 1 MiB for a packet, and the envelope takes a third more.
    both_ways(&client, 700_000).await;

    let data = vec![7u8; 1 << 20].into();
    let measure = Req { data, ..Req::default() };
    let request = client.call_proto::<_, Rsp>("echo", "Echo.Size", &measure).await.unwrap_err();
    assert_eq!(request.kind(), ErrorKind::TooLarge);
    assert_eq!(request.request(), Some(RequestState::NotSent));

    let make = Req { size: 1 << 20, ..Req::default() };
    let reply = client.call_proto::<_, Rsp>("echo", "Echo.Blob", &make).await.unwrap_err();
    assert_eq!(reply.kind(), ErrorKind::TooLarge);
    assert_eq!(reply.request(), Some(RequestState::Executed));
    for error in [request, reply] {
        let numbers = error.detail().split(|c: char| !c.is_ascii_digit());
        let sizes: Vec<u64> = numbers.filter_map(|n| n.parse().ok()).collect();
        assert!(sizes.len() == 2 && sizes[0] > sizes[1] && sizes[1] == 1 << 20, "{error}");
    }

    both_ways(&client, 3).await;
}

#[tokio::test]
async fn a_body_of_one_mebibyte_arrives_where_the_server_allows_it() {
    let nats = NatsServer::start_configured("max_payload: 8MB\n").await;
    let mut server = Program::start(ECHO, &strs(&nats_flags(&nats.address())));
    server.says("serving").await;
    both_ways(&client(&nats.address()), 1 << 20).await;
}

#[tokio::test]
async fn a_cluster_given_as_a_list_may_lose_a_server() {
    let mut cluster = NatsCluster::start(3).await;
    let list = cluster.addresses().join(",");
    let flags = nats_flags(&list);
    let mut server = Program::start(ECHO, &strs(&flags));
    server.says("serving").await;
    let client = client(&list);
    for round in 0..20 {
        let reply = hello(&client, &format!("{round}")).idempotent().await.unwrap();
        assert_eq!(reply.greeting, format!("Hello {round}"));
    }
    for killed in 0..2 {
        cluster.server(killed).kill().await;
        for round in 0..20 {
            let call = hello(&client, &format!("{round}")).idempotent();
            let reply = call.timeout(LIMIT).retries(50).await.unwrap();
            assert_eq!(reply.greeting, format!("Hello {round}"), "after {killed}");
        }
    }
}

#[tokio::test]
async fn garbage_on_every_subject_ends_nothing() {
    let nats = NatsServer::start().await;
    let mut server = Program::start(ECHO, &strs(&nats_flags(&nats.address())));
    server.says("serving").await;
    let client = client(&nats.address());
    assert_eq!(hello(&client, "before").await.unwrap().greeting, "Hello before");

    // Whoever hears everything learns every subject that they listen to: those of discovery, the
    // server's address, and the return addresses of both.
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut heard = raw.subscribe(">").await.unwrap();
    let mut subjects: std::collections::BTreeSet<String> = [
        "micro.nats.query",
        "micro.nats.watch",
        "micro.registry.nats.query",
        "micro.registry.nats.watch",
        "micro.lease.echo",
    ]
    .map(str::to_owned)
    .into();
    raw.flush().await.unwrap();
    let other = self::client(&nats.address());
    while subjects.len() < 9 {
        hello(&other, "listen").await.unwrap();
        while let Ok(Some(message)) = timeout(Duration::from_millis(50), heard.next()).await {
            subjects.insert(message.subject.to_string());
            subjects.extend(message.reply.map(|reply| reply.to_string()));
        }
    }
    drop(heard);
    let deep = "[".repeat(100_000);
    let junk = vec![0xffu8; 1 << 20];
    let garbage: [&[u8]; 12] = [
        b"",
        b"null",
        b"{}",
        b"[]",
        b"\x00",
        b"{\"Action\":\"get\"}",
        b"{\"Service\":null,\"Action\":\"delete\"}",
        b"{\"Service\":{\"name\":\"echo\"},\"Action\":\"delete\"}",
        b"{\"Header\":{\"Micro-ID\":\"1\"},\"Body\":\"@\"}",
        b"{\"Header\":{},\"Body\":null}",
        deep.as_bytes(),
        &junk,
    ];
    for subject in &subjects {
        for content in garbage {
            let content = content.to_vec();
            raw.publish(subject.clone(), content.clone().into()).await.unwrap();
            let reply = "micro.nats.query".to_owned();
            raw.publish_with_reply(subject.clone(), reply, content.into()).await.unwrap();
        }
    }
    raw.flush().await.unwrap();
    for round in 0..20 {
        let reply = hello(&client, &format!("{round}")).await.unwrap();
        assert_eq!(reply.greeting, format!("Hello {round}"));
    }
    assert_eq!(hello(&other, "other").await.unwrap().greeting, "Hello other");
    // Also for one who asks for the first time.
    let new = self::client(&nats.address());
    assert_eq!(hello(&new, "after").await.unwrap().greeting, "Hello after");
}
