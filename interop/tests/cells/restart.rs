//! The nats-server goes and comes back; nobody else is restarted.

cell! { restart {
    go_calls_rust: [a_rust_service_is_called_again, events_of_go_arrive_again]
    rust_calls_go: [
        a_go_service_is_found_and_called_again,
        a_go_service_that_came_meanwhile_is_found,
        events_of_ours_arrive_again,
    ]
} }

pub(crate) mod go_calls_rust {
    use std::time::Duration;

    use micro_interop::{Command, Generation, Helper, Rsp, World, eventually, named};
    use serde_json::Value;

    pub(crate) async fn a_rust_service_is_called_again(generation: Generation) {
        let mut world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        let run = |name: &str| Command::call("helper", "Peer.Run").body(&named(name)).millis(2_000);
        go.ask::<Rsp>(run("before")).await.unwrap();
        world.server.kill().await;
        world.server.restart().await;
        let again =
            eventually("a call of Go", async || go.ask::<Rsp>(run("after")).await.ok()).await;
        assert_eq!(again.greeting, "ran after");
        // A Go process that knows nothing from before finds it too.
        let fresh = world.go_client(generation).await;
        let found: Value = fresh.ask(Command::new("get").with("service", "helper")).await.unwrap();
        assert_eq!(found[0]["nodes"][0]["id"], *helper.running.node().id, "{found}");
        assert_eq!(fresh.ask::<Rsp>(run("fresh")).await.unwrap().greeting, "ran fresh");
    }

    /// Events are delivered at most once, so they are published until one arrives.
    pub(crate) async fn events_of_go_arrive_again(generation: Generation) {
        let mut world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        let publish =
            |name: &str| Command::new("publish").with("topic", "helper.events").body(&named(name));
        go.execute(publish("before")).await.result.unwrap();
        assert_eq!(helper.event().await.body, named("before"));
        world.server.kill().await;
        world.server.restart().await;
        let arrives = async || {
            let _ = go.execute(publish("after")).await;
            tokio::time::timeout(Duration::from_millis(50), helper.event()).await.ok()
        };
        assert_eq!(eventually("an event", arrives).await.body, named("after"));
    }
}

pub(crate) mod rust_calls_go {
    use std::time::Duration;

    use micro::Client;
    use micro_interop::{Generation, Req, Rsp, World, eventually, named};

    async fn called(client: &Client, name: &str) -> Option<Rsp> {
        let call = client.call("echo", "Echo.Call", &named(name));
        call.timeout(Duration::from_secs(2)).idempotent().await.ok()
    }

    /// Events are delivered at most once, so they are published until one arrives.
    pub(crate) async fn events_of_ours_arrive_again(generation: Generation) {
        let mut world = World::start().await;
        let mut go = world.go(generation, "echo").await;
        let client = world.client();
        client.publish("events", &named("before")).await.unwrap();
        assert_eq!(go.process.line_with("topic").await["body"]["name"], "before");
        world.server.kill().await;
        world.server.restart().await;
        let event = eventually("an event", async || {
            let _ = client.publish("events", &named("after")).await;
            go.process.said().into_iter().next()
        });
        assert_eq!(event.await["body"]["name"], "after");
    }

    pub(crate) async fn a_go_service_is_found_and_called_again(generation: Generation) {
        let mut world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        assert!(called(&client, "before").await.is_some());
        world.server.kill().await;
        world.server.restart().await;
        for client in [client, world.client()] {
            let reply = eventually("a call of Rust", async || called(&client, "after").await).await;
            assert_eq!(reply.greeting, "Hello after");
        }
    }

    pub(crate) async fn a_go_service_that_came_meanwhile_is_found(generation: Generation) {
        let mut world = World::start().await;
        let first = world.go(generation, "echo").await;
        let client = world.client();
        assert!(called(&client, "before").await.is_some());
        world.server.kill().await;
        first.process.kill().await;
        world.server.restart().await;
        let second = world.go(generation, "echo").await;
        eventually("a call of Rust", async || called(&client, "after").await).await;
        let who =
            client.call::<_, Rsp>("echo", "Echo.Who", &Req::default()).idempotent().await.unwrap();
        assert_eq!(who.greeting, second.node);
    }
}
