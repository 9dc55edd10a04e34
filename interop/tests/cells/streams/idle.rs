//! Streams on which nothing comes for longer than the minute after which go-micro drops a silent socket.

use std::time::Duration;

const IDLE: Duration = Duration::from_secs(70);

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Rsp, World, named};

    use super::IDLE;

    /// A Go client itself gives up after a minute, unless its transport has another timeout.
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
                tokio::time::sleep(IDLE).await;
            }
        }
    }
}

pub(crate) mod rust_calls_go {
    use micro_interop::{Generation, Req, Rsp, World, limited, named};

    use super::IDLE;

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
                tokio::time::sleep(IDLE).await;
            }
        }
        chat.finish().unwrap();
        assert_eq!(limited("the end", chat.recv()).await.unwrap(), None);
    }
}
