//! Events from and to the command.

use serde_json::{Value, json};

/// The header's entries of this publisher.
fn metadata(line: &Value) -> Value {
    let all = line["header"].as_object().unwrap().iter();
    let own = all.filter(|(key, _)| !key.starts_with("Micro-") && *key != "Content-Type");
    own.map(|(key, value)| (key.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into()
}

pub(crate) mod rust_calls_go {
    use micro_interop::{Command, Generation, from_base64};

    use super::super::Fleet;
    use super::{json, metadata};

    pub(crate) async fn each_hears_what_is_published(generation: Generation) {
        let mut fleet = Fleet::start(generation).await;
        let client = fleet.world.go_client(generation).await;
        let subscribe = Command::new("subscribe").with("name", "heard").with("topic", "events");
        client.execute(subscribe).await.result.unwrap();
        // It is not flushed; what is asked after it leaves behind it.
        client.execute(Command::new("list")).await.result.unwrap();
        let bob = r#"{"name":"Bob","value":7}"#;
        for (body, input) in [(bob, ""), ("-", bob)] {
            let words = ["publish", "events", body, "-m", "Tenant=blue"];
            assert_eq!(fleet.shell.prints_for(&words, input).await, "");
            for process in
                [&mut fleet.go.process, &mut fleet.other.process, &mut fleet.echo.process]
            {
                let event = process.line_with("topic").await;
                assert_eq!(
                    (&event["body"]["name"], &event["body"]["value"]),
                    (&json!("Bob"), &json!(7))
                );
                assert_eq!(metadata(&event), json!({ "Tenant": "blue" }), "{event}");
            }
            // What is on the wire, to the byte.
            let heard = client.told("event").await;
            assert_eq!(from_base64(heard["data"].as_str().unwrap()), bob.as_bytes());
            assert_eq!(heard["header"]["Content-Type"], "application/json", "{heard}");
        }
    }
}

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, GoClient, Process, World, named};
    use serde_json::Value;

    use super::{json, metadata};

    async fn publish(go: &GoClient, command: Command) {
        go.execute(command.metadata(&[("Tenant", "blue")])).await.result.unwrap();
    }

    fn events(count: usize) -> Command {
        Command::new("publish").with("topic", "events").with("count", count).body(&named("Bob"))
    }

    async fn listening(world: &World, words: &[&str]) -> Process {
        let listens = world.shell().start(&[&["subscribe"], words].concat());
        listens.logs("subscribed to").await;
        listens
    }

    pub(crate) async fn each_subscription_hears_what_go_of_two_generations_publishes(
        generation: Generation,
    ) {
        let world = World::start().await;
        let (one, other) =
            tokio::join!(world.go_client(generation), world.go_client(generation.other()));
        let mut whole = listening(&world, &["events", "--json", "--count", "8"]).await;
        let mut any = listening(&world, &["*", "--json", "--count=8"]).await;
        let mut plain = listening(&world, &["events", "--count=6"]).await;
        for go in [&one, &other] {
            publish(go, events(3)).await;
            // go-micro counts on from the first one.
            for value in 0..3 {
                let body = json!({ "name": "Bob", "value": value });
                assert_eq!(with_value(plain.line().await), body);
                for listens in [&mut whole, &mut any] {
                    let event = listens.line().await;
                    let said = (&event["topic"], metadata(&event));
                    assert_eq!(said, (&json!("events"), json!({ "Tenant": "blue" })), "{event}");
                    assert_eq!(event["header"]["Content-Type"], "application/json", "{event}");
                    assert_eq!(with_value(event["body"].clone()), body);
                }
            }
        }
        assert_eq!(plain.ends().await, 0);
        for go in [&one, &other] {
            publish(go, events(1).content("application/protobuf")).await;
            for listens in [&mut whole, &mut any] {
                let event = listens.line().await;
                assert_eq!(event["header"]["Content-Type"], "application/protobuf", "{event}");
                // Field 1, three bytes long.
                assert_eq!(event["text"], "\n\u{3}Bob", "{event}");
            }
        }
        assert_eq!((whole.ends().await, any.ends().await), (0, 0));
    }

    /// 0 is left out.
    fn with_value(mut body: Value) -> Value {
        let value = body["value"].as_i64().unwrap_or_default();
        body["value"] = json!(value);
        body
    }

    pub(crate) async fn a_queue_of_the_command_and_go_gets_each_event_once(generation: Generation) {
        let world = World::start().await;
        let go = world.go_client(generation).await;
        let mut member = world.go_with(generation, "member", &["--queue", "workers"]).await;
        let mut listens = listening(&world, &["events", "--queue=workers", "--json"]).await;
        publish(&go, events(100)).await;
        let (mut of_go, mut ours) = (Vec::new(), Vec::new());
        micro_interop::eventually("each event at one of the two", async || {
            of_go.extend(member.process.said().iter().map(value));
            ours.extend(listens.said().iter().map(value));
            let mut all = [&of_go[..], &ours[..]].concat();
            all.sort_unstable();
            (all == (0..100).collect::<Vec<_>>()).then_some(())
        })
        .await;
        assert!(!of_go.is_empty() && !ours.is_empty(), "{of_go:?} {ours:?}");
        assert_eq!(listens.interrupt().await, 0);
    }

    fn value(line: &Value) -> i64 {
        line["body"]["value"].as_i64().unwrap_or_default()
    }
}
