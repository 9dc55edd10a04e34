//! Work that takes longer than the minute after which go-micro drops a silent socket.

use micro_interop::{Req, named};

const SECONDS: u64 = 70;

fn long() -> Req {
    Req { millis: 70_000, ..named("long") }
}

cell! { long_work {
    go_calls_rust: [
        a_call_of_seventy_seconds_is_answered,
        a_stream_that_is_idle_for_seventy_seconds_lives,
    ]
    rust_calls_go: [
        a_call_of_seventy_seconds_is_answered,
        a_stream_that_is_idle_for_seventy_seconds_lives,
        without_a_sign_of_life_go_drops_what_runs_after_a_minute,
    ]
} }

pub(crate) mod go_calls_rust {
    use std::time::Duration;

    use micro_interop::{Command, Generation, Helper, Rsp, World, named};

    use super::{SECONDS, long};

    /// A Go client itself gives a socket up after a minute without a message, unless its transport has another timeout
    /// (v6: transport/nats/nats.go:190).
    pub(crate) async fn a_call_of_seventy_seconds_is_answered(generation: Generation) {
        let world = World::start().await;
        let _helper = Helper::start(&world, "helper").await;
        let go = world.go_client_with(generation, &["--silence", "100s"]).await;
        let outcome =
            go.execute(Command::call("helper", "Peer.Run").body(&long()).millis(100_000)).await;
        let reply: Rsp = serde_json::from_value(outcome.result.unwrap()).unwrap();
        assert_eq!(reply.greeting, "ran long");
        assert!(outcome.millis >= SECONDS * 1_000, "{} ms", outcome.millis);
    }

    pub(crate) async fn a_stream_that_is_idle_for_seventy_seconds_lives(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client_with(generation, &["--silence", "100s"]).await;
        let open = Command::call("echo", "Echo.Chat").with("do", "open").with("name", "idle");
        go.execute(open).await.result.unwrap();
        let on = |what: &str| Command::new(what).with("name", "idle");
        for name in ["Ann", "Bob"] {
            go.execute(on("send").body(&named(name))).await.result.unwrap();
            let rsp: Rsp = go.ask(on("recv")).await.unwrap();
            assert_eq!(rsp.greeting, format!("Hello {name}"));
            if name == "Ann" {
                tokio::time::sleep(Duration::from_secs(SECONDS)).await;
            }
        }
    }
}

pub(crate) mod rust_calls_go {
    use std::time::{Duration, Instant};

    use micro_interop::{Generation, Req, Rsp, World, limited, named};

    use super::{SECONDS, long};

    pub(crate) async fn a_call_of_seventy_seconds_is_answered(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "go").await;
        let client = world.client();
        let began = Instant::now();
        let call =
            client.call::<_, Rsp>("go", "Peer.Run", &long()).timeout(Duration::from_secs(100));
        let reply = call.await.unwrap();
        // It was not run again.
        assert_eq!((&*reply.greeting, reply.value), ("ran long", 1));
        assert!(began.elapsed() >= Duration::from_secs(SECONDS), "{:?}", began.elapsed());
    }

    pub(crate) async fn a_stream_that_is_idle_for_seventy_seconds_lives(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let chat = client.stream("echo", "Echo.Chat").bidirectional::<Req, Rsp>();
        let mut chat = chat.await.unwrap();
        for name in ["Ann", "Bob"] {
            chat.send(&named(name)).await.unwrap();
            let rsp = limited("an answer", chat.recv()).await.unwrap().unwrap();
            assert_eq!(rsp.greeting, format!("Hello {name}"));
            if name == "Ann" {
                tokio::time::sleep(Duration::from_secs(SECONDS)).await;
            }
        }
        chat.finish().unwrap();
        assert_eq!(limited("the end", chat.recv()).await.unwrap(), None);
    }

    /// That is why ours gives signs of life.
    pub(crate) async fn without_a_sign_of_life_go_drops_what_runs_after_a_minute(
        generation: Generation,
    ) {
        let world = World::start().await;
        let go = world.go(generation, "echo").await;
        let mut socket = world.raw(generation, &go.address).await;
        let body = serde_json::json!({ "name": "silent", "millis": 66_000 });
        socket.send("1", "Peer.Run", serde_json::json!({}), &body).await;
        let answer = tokio::time::timeout(Duration::from_secs(72), socket.recv_later()).await;
        if let Ok(reply) = answer {
            // A handler of v3 may have answered in time that it was told to stop.
            assert_eq!(generation, Generation::V3, "{reply:?}");
            assert!(reply.error().unwrap().contains("context canceled"), "{reply:?}");
        }
        let client = world.client();
        let ran: Rsp = client.call("echo", "Peer.Runs", &named("silent")).await.unwrap();
        assert_eq!(ran.value, 1);
    }
}
