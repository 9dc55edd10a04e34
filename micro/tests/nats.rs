//! The runtime over a real nats-server.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use micro::nats::async_nats;
use micro::{
    Client, ClientOptions, Context, ErrorKind, Header, PluginConfig, Plugins, RequestState,
    Running, Service, ServiceBuilder,
};
use micro_testkit::server::NatsServer;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// A service's builder over this server, sharing what `plugins` has.
fn over(plugins: &Plugins, nats: &NatsServer, name: &str) -> ServiceBuilder {
    let config = PluginConfig::default().with_addresses([nats.address()]);
    Service::builder(name)
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
}

fn client_over(nats: &NatsServer, options: ClientOptions) -> Client {
    let (plugins, config) =
        (Plugins::new(), PluginConfig::default().with_addresses([nats.address()]));
    Client::builder()
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
        .options(options)
        .build()
        .unwrap()
}

async fn echo(nats: &NatsServer) -> Running {
    let service = over(&Plugins::new(), nats, "echo")
        .raw_handler("Echo.Echo", async |_: Context, body| Ok(body))
        .handler("Echo.Never", async |_: Context, (): ()| -> micro::Result<()> {
            std::future::pending().await
        });
    service.build().unwrap().start().await.unwrap()
}

/// Calls until NATS is there again and with it the node; until then nothing may be sent.
async fn served<T>(mut call: impl AsyncFnMut() -> micro::Result<T>) -> T {
    let calling = async {
        loop {
            match call().await {
                Ok(reply) => return reply,
                Err(error) => assert_eq!(error.request(), Some(RequestState::NotSent), "{error}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, calling).await.expect("it is not served again")
}

/// As a Go client sends it.
fn envelope(header: Value, body: &str) -> Bytes {
    let header: Header = serde_json::from_value(header).unwrap();
    micro_core::wire::envelope::encode(&header, body.as_bytes())
}

#[tokio::test]
async fn one_process_uses_one_connection() {
    let nats = NatsServer::start().await;
    let plugins = Plugins::new();
    let service = over(&plugins, &nats, "echo").raw_handler("Echo.Echo", async |_, body| Ok(body));
    let running = service.build().unwrap().start().await.unwrap();
    let second = over(&plugins, &nats, "second").build().unwrap().start().await.unwrap();
    assert_eq!(second.client().call_raw("echo", "Echo.Echo", "hi").await.unwrap(), "hi");
    second.client().publish("topic", &1).await.unwrap();
    assert_eq!(nats.connections().await, 1);
    drop(running);
}

#[tokio::test]
async fn a_go_client_gets_exactly_one_reply_to_each_request() {
    let nats = NatsServer::start().await;
    let running = echo(&nats).await;
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut inbox = raw.subscribe("_INBOX.go").await.unwrap();
    let ask = async |header: Value, body: &str| {
        let reply = "_INBOX.go".to_owned();
        let to = running.node().address.clone();
        raw.publish_with_reply(to, reply, envelope(header, body)).await.unwrap();
    };
    let header = |id: &str, endpoint: &str| {
        json!({ "Micro-ID": id, "Micro-Service": "echo", "Micro-Endpoint": endpoint,
                "Micro-Method": endpoint, "Content-Type": "application/json" })
    };
    ask(header("0", "Echo.Echo"), "first").await;
    ask(header("1", "Echo.Nope"), "").await;
    // The end of a stream is no request, and gets no answer.
    let mut end = header("2", "Echo.Echo");
    end["Micro-Error"] = json!("EOS");
    ask(end, "").await;
    ask(header("3", "Echo.Echo"), "last").await;

    let mut seen = Vec::new();
    while seen.len() < 3 {
        let message = tokio::time::timeout(LIMIT, inbox.next()).await.unwrap().unwrap();
        let message: Value = serde_json::from_slice(&message.payload).unwrap();
        let id = message["Header"]["Micro-ID"].as_str().unwrap().to_owned();
        seen.push((id, message["Header"]["Micro-Error"].is_string()));
    }
    seen.sort();
    let expected = [("0", false), ("1", true), ("3", false)];
    assert_eq!(seen, expected.map(|(id, error)| (id.to_owned(), error)));

    // What comes next is the answer to the next request, not one too many.
    ask(header("4", "Echo.Echo"), "").await;
    let message = tokio::time::timeout(LIMIT, inbox.next()).await.unwrap().unwrap();
    let message: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(message["Header"]["Micro-ID"], "4");
}

#[tokio::test]
async fn a_call_while_nats_is_away_waits_so_long_and_names_the_address() {
    let mut nats = NatsServer::start().await;
    let running = echo(&nats).await;
    let options = ClientOptions::default().with_connect_wait(Duration::from_millis(300));
    let client = client_over(&nats, options);
    assert_eq!(client.call_raw("echo", "Echo.Echo", "hi").await.unwrap(), "hi");
    nats.stop().await;
    // The transport may need a moment to see it; by then no call gets through any more.
    let error = tokio::time::timeout(LIMIT, async {
        loop {
            let call = client.call_raw("echo", "Echo.Echo", "hi").timeout(Duration::from_secs(1));
            let error = call.retries(0).await.unwrap_err();
            if error.kind() == ErrorKind::Unavailable {
                return error;
            }
        }
    })
    .await
    .unwrap();
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&nats.address()), "{error}");

    nats.restart().await;
    let again = async || client.call_raw("echo", "Echo.Echo", "again").idempotent().await;
    let again = served(again).await;
    assert_eq!(again, "again");
    drop(running);
}

#[tokio::test]
async fn a_call_given_up_while_nats_is_away_never_runs() {
    let mut nats = NatsServer::start().await;
    let (tell, mut told) = tokio::sync::mpsc::channel(100);
    let service = over(&Plugins::new(), &nats, "count").handler("Count.Add", {
        move |_: Context, number: u32| {
            let tell = tell.clone();
            async move {
                tell.send(number).await.unwrap();
                Ok(())
            }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let client = client_over(&nats, ClientOptions::default());
    client.call::<_, ()>("count", "Count.Add", &0).await.unwrap();
    assert_eq!(told.recv().await, Some(0));
    nats.stop().await;
    // Wait until it is known to be away, so that no packet is handed to a dead connection.
    tokio::time::timeout(LIMIT, async {
        while client.registry().health().is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    for number in 1..=20 {
        let call = client.call::<_, ()>("count", "Count.Add", &number);
        let error = call.timeout(Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.request(), Some(RequestState::NotSent), "{error}");
    }
    nats.restart().await;
    served(async || client.call::<_, ()>("count", "Count.Add", &99).idempotent().await).await;
    assert_eq!(told.recv().await, Some(99));
    drop(running);
}

#[tokio::test]
async fn a_deadline_reaches_the_server_which_answers_that_it_passed() {
    let nats = NatsServer::start().await;
    let running = echo(&nats).await;
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut inbox = raw.subscribe("_INBOX.go").await.unwrap();
    let header = json!({ "Micro-ID": "0", "Micro-Endpoint": "Echo.Never", "Timeout": "50000000",
                         "Content-Type": "application/json" });
    let to = running.node().address.clone();
    let reply = "_INBOX.go".to_owned();
    raw.publish_with_reply(to, reply, envelope(header, "null")).await.unwrap();
    let message = tokio::time::timeout(LIMIT, inbox.next()).await.unwrap().unwrap();
    let message: Value = serde_json::from_slice(&message.payload).unwrap();
    let error: Value =
        serde_json::from_str(message["Header"]["Micro-Error"].as_str().unwrap()).unwrap();
    assert_eq!(error["code"], 408);
    drop(running);
}

#[tokio::test]
async fn a_node_says_that_it_is_well_in_the_envelopes_of_go_micro() {
    let nats = NatsServer::start().await;
    let running = echo(&nats).await;
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut inbox = raw.subscribe("_INBOX.go").await.unwrap();
    let to = running.node().address.clone();
    let mut ask = async |content_type: Option<&str>| {
        let mut header = json!({ "Micro-ID": "7", "Micro-Service": "echo",
                                 "Micro-Endpoint": "Debug.Health", "Micro-Method": "Debug.Health" });
        if let Some(content_type) = content_type {
            header["Content-Type"] = json!(content_type);
        }
        let reply = "_INBOX.go".to_owned();
        raw.publish_with_reply(to.clone(), reply, envelope(header, "")).await.unwrap();
        let message = tokio::time::timeout(LIMIT, inbox.next()).await.unwrap().unwrap();
        serde_json::from_slice::<Value>(&message.payload).unwrap()
    };
    let (json, protobuf) = ("application/json", "application/protobuf");
    for (given, answered, body) in [
        // {"status":"ok"} and 0a 02 6f 6b.
        (Some(json), json, "eyJzdGF0dXMiOiJvayJ9"),
        (Some(protobuf), protobuf, "CgJvaw=="),
        (None, protobuf, "CgJvaw=="),
    ] {
        let reply = ask(given).await;
        assert_eq!(reply["Body"], body, "{given:?}");
        let header = &reply["Header"];
        assert_eq!((&header["Micro-ID"], &header["Content-Type"]), (&json!("7"), &json!(answered)));
        assert_eq!(header.get("Micro-Error"), None, "{given:?}");
    }
    let refused = ask(Some("text/plain")).await;
    let error = refused["Header"]["Micro-Error"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(error).unwrap()["code"], 415);

    let found = client_over(&nats, ClientOptions::default()).registry().clone();
    let found = found.get(&"echo".parse().unwrap()).await.unwrap();
    let told: Vec<&str> = found[0].endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(told, ["Echo.Echo", "Echo.Never"]);
}

#[tokio::test]
async fn namespaces_do_not_see_each_other() {
    let nats = NatsServer::start().await;
    let build = |namespace: Option<&str>| {
        let plugins = Plugins::new();
        let mut config = PluginConfig::default().with_addresses([nats.address()]);
        config.namespace = namespace.map(str::to_owned);
        let service = Service::builder("echo")
            .registry(plugins.registry("nats", &config).unwrap())
            .transport(plugins.transport("nats", &config).unwrap())
            .broker(plugins.broker("nats", &config).unwrap());
        service.raw_handler("Echo.Echo", async |_, body| Ok(body)).build().unwrap()
    };
    let blue = build(Some("blue")).start().await.unwrap();
    assert_eq!(blue.client().call_raw("echo", "Echo.Echo", "hi").await.unwrap(), "hi");
    for other in [build(Some("green")).client(), build(None).client()] {
        let error = other.call_raw("echo", "Echo.Echo", "hi").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
