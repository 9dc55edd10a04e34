//! Events, to everybody and to one of a group.

use std::collections::BTreeMap;

use micro_interop::Process;
use serde_json::Value;

/// The values of so many events that a service prints.
async fn values(process: &mut Process, count: usize) -> Vec<i64> {
    let mut values = Vec::new();
    while values.len() < count {
        values.push(value(&process.line_with("topic").await));
    }
    values
}

fn value(line: &Value) -> i64 {
    line["body"]["value"].as_i64().unwrap_or_default()
}

/// What belongs to the publisher: neither the wire's keys nor the content type.
fn metadata(line: &Value) -> BTreeMap<String, String> {
    let header = line["header"].as_object().unwrap().iter();
    let own = header.filter(|(key, _)| !key.starts_with("Micro-") && *key != "Content-Type");
    own.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned())).collect()
}

cell! { events {
    go_calls_rust: [
        json_and_protobuf_arrive_with_their_metadata,
        without_a_queue_everybody_gets_each_event,
        a_group_of_both_languages_gets_each_event_once,
        an_event_without_content_type_is_read_as_protobuf,
        what_does_not_decode_ends_no_subscription,
    ]
    rust_calls_go: [
        json_and_protobuf_arrive_with_their_metadata,
        without_a_queue_everybody_gets_each_event,
        a_group_of_both_languages_gets_each_event_once,
    ]
} }

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Event, Generation, GoClient, Helper, Req, World, named};
    use serde_json::json;

    use super::{metadata, value, values};
    use crate::call::metadata::{arrived, odd};

    async fn publish(go: &GoClient, count: usize) {
        let command = Command::new("publish").with("topic", "events").body(&json!({ "value": 1 }));
        go.execute(command.with("count", count)).await.result.unwrap();
    }

    pub(crate) async fn json_and_protobuf_arrive_with_their_metadata(generation: Generation) {
        let world = World::start().await;
        let (mut echo, helper) = tokio::join!(
            world.echo_with("echo", &["--topic=helper.events"]),
            Helper::start(&world, "helper")
        );
        let go = world.go_client(generation).await;
        for content in ["application/json", "application/protobuf"] {
            let body = Req { value: 7, ..named("Bob") };
            let command =
                Command::new("publish").with("topic", "helper.events").body(&body).content(content);
            go.execute(command.metadata(&odd())).await.result.unwrap();
            assert_eq!(helper.event().await, Event { metadata: arrived(generation), body });
            // The example prints the header as it came.
            let event = echo.process.line_with("topic").await;
            assert_eq!(event["header"]["Content-Type"], content, "{event}");
            assert_eq!(event["header"]["Micro-Topic"], "helper.events", "{event}");
            assert_eq!(metadata(&event), arrived(generation), "{event}");
        }
    }

    pub(crate) async fn without_a_queue_everybody_gets_each_event(generation: Generation) {
        let world = World::start().await;
        let go = world.go_client(generation).await;
        let (mut one, mut two) = tokio::join!(world.echo("one"), world.echo("two"));
        let mut three = world.go(generation, "three").await;
        publish(&go, 100).await;
        for process in [&mut one.process, &mut two.process, &mut three.process] {
            let mut got = values(process, 100).await;
            got.sort_unstable();
            assert_eq!(got, (1..=100).collect::<Vec<_>>());
        }
    }

    pub(crate) async fn a_group_of_both_languages_gets_each_event_once(generation: Generation) {
        let world = World::start().await;
        let go = world.go_client(generation).await;
        let mut rust = world.echo_with("rust", &["--queue=workers"]).await;
        let mut member = world.go_with(generation, "go", &["--queue", "workers"]).await;
        // Everything passes it, and so it knows when all has passed.
        let mut witness = world.go(generation, "witness").await;
        publish(&go, 200).await;
        assert_eq!(values(&mut witness.process, 200).await.len(), 200);
        let (mut of_rust, mut of_go) = (Vec::new(), Vec::new());
        let all = micro_interop::eventually("each event at one of the two", async || {
            of_rust.extend(rust.process.said().iter().map(value));
            of_go.extend(member.process.said().iter().map(value));
            let mut all = [&of_rust[..], &of_go[..]].concat();
            all.sort_unstable();
            (all.len() >= 200).then_some(all)
        });
        assert_eq!(all.await, (1..=200).collect::<Vec<_>>());
        assert!(!of_rust.is_empty() && !of_go.is_empty(), "{of_rust:?} {of_go:?}");
    }

    pub(crate) async fn an_event_without_content_type_is_read_as_protobuf(generation: Generation) {
        let world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        // Fields 1, `name`, and 6, `value`.
        let event =
            Command::new("publish").with("topic", "helper.events").raw(b"\x0a\x03Bob\x30\x07");
        go.execute(event.metadata(&[("Own", "1")])).await.result.unwrap();
        let event = helper.event().await;
        assert_eq!(event.body, Req { value: 7, ..named("Bob") });
        assert_eq!(event.metadata["Own"], "1");
    }

    pub(crate) async fn what_does_not_decode_ends_no_subscription(generation: Generation) {
        let world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        let publish = Command::new("publish").with("topic", "helper.events");
        for content in ["application/json", "text/cuneiform"] {
            let event = publish.clone().raw(b"{\"name\":").metadata(&[("Content-Type", content)]);
            go.execute(event).await.result.unwrap();
        }
        go.execute(publish.body(&named("Bob"))).await.result.unwrap();
        assert_eq!(helper.event().await.body, named("Bob"));
    }
}

pub(crate) mod rust_calls_go {
    use micro::Client;
    use micro::codec::Protobuf;
    use micro_interop::{Generation, Req, World, named};

    use super::{metadata, value, values};
    use crate::call::metadata::{arrived, odd};

    async fn publish(client: &Client, count: i32) {
        for value in 1..=count {
            client.publish("events", &Req { value, ..Req::default() }).await.unwrap();
        }
    }

    pub(crate) async fn json_and_protobuf_arrive_with_their_metadata(generation: Generation) {
        let world = World::start().await;
        let mut go = world.go(generation, "echo").await;
        let client = world.client();
        let event = Req { value: 7, ..named("Bob") };
        for mut event in
            [client.publish("events", &event), client.publish_with::<Protobuf, _>("events", &event)]
        {
            for (key, value) in odd() {
                event = event.metadata(key, value);
            }
            event.await.unwrap();
            let event = go.process.line_with("topic").await;
            assert_eq!((&event["body"]["name"], value(&event)), (&"Bob".into(), 7), "{event}");
            assert_eq!(metadata(&event), arrived(generation), "{event}");
            assert_eq!(event["header"]["Micro-Topic"], "events", "{event}");
        }
    }

    pub(crate) async fn without_a_queue_everybody_gets_each_event(generation: Generation) {
        let world = World::start().await;
        let client = world.client();
        let (mut one, mut two) =
            tokio::join!(world.go(generation, "one"), world.go(generation, "two"));
        let mut three = world.echo("three").await;
        publish(&client, 100).await;
        for process in [&mut one.process, &mut two.process, &mut three.process] {
            let mut got = values(process, 100).await;
            got.sort_unstable();
            assert_eq!(got, (1..=100).collect::<Vec<_>>());
        }
    }

    pub(crate) async fn a_group_of_both_languages_gets_each_event_once(generation: Generation) {
        let world = World::start().await;
        let client = world.client();
        let mut rust = world.echo_with("rust", &["--queue=workers"]).await;
        let mut go = world.go_with(generation, "go", &["--queue", "workers"]).await;
        publish(&client, 200).await;
        let (mut of_rust, mut of_go) = (Vec::new(), Vec::new());
        let all = micro_interop::eventually("each event at one of the two", async || {
            of_rust.extend(rust.process.said().iter().map(value));
            of_go.extend(go.process.said().iter().map(value));
            let mut all = [&of_rust[..], &of_go[..]].concat();
            all.sort_unstable();
            (all.len() >= 200).then_some(all)
        });
        assert_eq!(all.await, (1..=200).collect::<Vec<_>>());
        assert!(!of_rust.is_empty() && !of_go.is_empty(), "{of_rust:?} {of_go:?}");
    }
}
