//! Events, as lines.

use std::collections::BTreeSet;
use std::time::Duration;

use micro::Bytes;
use micro::codec::Raw;
use micro_testkit::server::NatsServer;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Echo, client};

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn each_event_is_a_line_with_its_topic_header_and_body() {
    let nats = NatsServer::start().await;
    let mut echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    let raw = |body: &'static [u8], content_type: &'static str| {
        let event = client.publish_with::<Raw, Bytes>("events", &Bytes::from_static(body));
        event.content_type(content_type).into_future()
    };
    client.publish("events", &json!({ "name": "Bob" })).metadata("tenant", "blue").await.unwrap();
    raw(b"hello", "text/plain").await.unwrap();
    raw(b"\n\x03Bob", "").await.unwrap();
    raw(b"\xff\x00", "application/octet-stream").await.unwrap();
    for (body, content_type, tenant) in [
        (json!({ "name": "Bob" }), "application/json", json!("blue")),
        (json!("hello"), "text/plain", Value::Null),
        (json!("\n\u{3}Bob"), "", Value::Null),
        (json!({ "base64": "/wA=" }), "application/octet-stream", Value::Null),
    ] {
        let line: Value = serde_json::from_str(&echo.program.line().await).unwrap();
        assert_eq!((&line["topic"], &line["body"]), (&json!("events"), &body));
        assert_eq!(line["header"]["Content-Type"].as_str().unwrap_or_default(), content_type);
        assert_eq!(line["header"]["tenant"], tenant);
    }
}

#[tokio::test]
async fn the_members_of_a_queue_print_each_event_once_and_others_print_all() {
    const EVENTS: u64 = 20;
    let nats = NatsServer::start().await;
    let member = ["--topic=orders.*", "--queue=workers"];
    let mut one = Echo::start(&nats, &member).await;
    let mut two = Echo::start(&nats, &member).await;
    let mut all = Echo::start(&nats, &["--topic=orders.>"]).await;
    let client = client(&nats);
    for number in 0..EVENTS {
        client.publish("orders.paid", &number).await.unwrap();
    }
    let mut seen = Vec::new();
    let shared = async {
        while seen.len() < EVENTS as usize {
            seen.push(tokio::select! {
                line = one.program.line() => line,
                line = two.program.line() => line,
            });
        }
    };
    timeout(LIMIT, shared).await.expect("an event is missing");
    let body = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["topic"], "orders.paid");
        line["body"].as_u64().unwrap()
    };
    assert_eq!(seen.iter().map(body).collect::<BTreeSet<_>>(), (0..EVENTS).collect());
    for number in 0..EVENTS {
        assert_eq!(body(&all.program.line().await), number);
    }
    for echo in [one, two, all] {
        echo.program.signal("-TERM");
        let (success, more, err) = echo.program.end().await;
        assert!(success && more.is_empty(), "{more:?} {err:#?}");
    }
}

#[tokio::test]
async fn it_takes_another_name_and_stops_in_order_as_soon_as_it_says_that_it_serves() {
    let nats = NatsServer::start().await;
    let echo = Echo::start(&nats, &["--server_name=other", "--server_id=7"]).await;
    echo.program.signal("-TERM");
    assert_eq!((&echo.serving["serving"], echo.node()), (&json!("other"), "other-7"));
    let (success, _, err) = echo.program.end().await;
    assert!(success && err.iter().any(|line| line.contains("stopped")), "{err:#?}");
}
