//! Services that are found by multicast DNS and called over TCP, with no server on the machine.

use std::sync::{Arc, OnceLock};

use micro::mdns::MdnsRegistry;
use micro::tcp::TcpTransport;
use micro::{PluginConfig, Running, Service};
use micro_examples::echo;

use crate::program::Micro;

/// Kept to this machine, and to this process.
fn namespace() -> String {
    format!("micro-cli-{}", std::process::id())
}

fn micro(words: &[&str]) -> Micro {
    Micro::new(words)
        .env("MICRO_REGISTRY", "mdns")
        .env("MICRO_REGISTRY_ADDRESS", "loopback")
        .env("MICRO_TRANSPORT", "tcp")
        .env("MICRO_NAMESPACE", &namespace())
}

async fn echo() -> Running {
    let config = PluginConfig::default().with_addresses(["loopback"]).with_namespace(namespace());
    let service = Service::builder("echo")
        .id("1")
        .registry(MdnsRegistry::from_config(&config).unwrap())
        .transport(TcpTransport::new(["127.0.0.1"]).unwrap())
        .server(echo::server(Arc::new(OnceLock::from("echo-1".to_owned()))));
    service.build().unwrap().start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_that_needs_no_events_works_without_a_server() {
    let mut watch = micro(&["watch", "--json"]).start();
    watch.says("watching").await;
    let echo = echo().await;
    let seen = watch.json().await;
    assert_eq!(
        (&seen["change"], &seen["service"]["name"]),
        (&"added".into(), &"echo".into()),
        "{seen}"
    );

    assert_eq!(micro(&["services"]).run().await.fine(), "echo\n");
    let described = micro(&["describe", "echo"]).run().await.fine();
    for word in ["echo-1", echo.node().address.as_str(), "mdns", "tcp", "Echo.Chat"] {
        assert!(described.contains(word), "{word:?} is not in {described}");
    }
    let called = micro(&["call", "echo", "Echo.Call", "{\"name\":\"Bob\"}"]).run().await.fine();
    assert_eq!(called, "{\"greeting\":\"Hello Bob\"}\n");
    let counted = micro(&["stream", "echo", "Echo.Count", "{\"count\":3}"]).run().await.fine();
    assert_eq!(counted, "{\"value\":1}\n{\"value\":2}\n{\"value\":3}\n");
    let health =
        micro(&["health", "echo"]).run().await.fine_with("1 of 1 nodes of echo are well\n");
    assert!(health.starts_with("echo-1\tok\t"), "{health}");

    // By address, nobody has to be found.
    let address = echo.node().address.clone();
    let by_address = ["call", "echo", "Echo.Who", "--address", &address];
    assert_eq!(micro(&by_address).run().await.fine(), "{\"greeting\":\"echo-1\"}\n");

    echo.stop().await.unwrap();
    let seen = watch.json().await;
    assert_eq!(seen["change"], "removed", "{seen}");
    let (error, _) = micro(&by_address).run().await.failed();
    assert_eq!(error["code"], 503, "{error}");
}
