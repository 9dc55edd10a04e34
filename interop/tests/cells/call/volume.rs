//! Many calls at once.

const AT_ONCE: usize = 64;

pub(crate) mod go_calls_rust {
    use std::collections::BTreeMap;

    use micro_interop::{Command, Generation, Rsp, World, base64, from_base64, named};
    use serde_json::{Value, json};

    use super::AT_ONCE;

    /// go-micro's own client has one call at a time on a socket; its transport carries as many as one likes.
    pub(crate) async fn sixty_four_at_once_over_one_socket_are_each_answered_once(
        generation: Generation,
    ) {
        let world = World::start().await;
        let echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let key = generation.id_key();
        let packet = |number: usize| {
            let header = json!({ key: number.to_string(), "Micro-Service": "echo", "Micro-Endpoint": "Echo.Call",
                                 "Micro-Method": "Echo.Call", "Content-Type": "application/json" });
            let body = serde_json::to_vec(&named(number.to_string())).unwrap();
            json!({ "Header": header, "Body": base64(&body) })
        };
        let packets: Vec<Value> = (0..AT_ONCE).map(packet).collect();
        // One more is waited for, to see that it does not come.
        let command = Command::packets(&echo.address, &packets, AT_ONCE + 1).millis(1_000);
        let replies: Vec<Value> = go.ask(command).await.unwrap();
        assert_eq!(replies.len(), AT_ONCE);
        let replies: BTreeMap<String, String> =
            replies.iter().map(|reply| greeted(reply, key)).collect();
        let expected =
            (0..AT_ONCE).map(|number| (number.to_string(), format!("Hello {number}"))).collect();
        assert_eq!(replies, expected);
    }

    fn greeted(reply: &Value, key: &str) -> (String, String) {
        let body = from_base64(reply["Body"].as_str().unwrap());
        let body: Rsp = serde_json::from_slice(&body).unwrap();
        (reply["Header"][key].as_str().unwrap().to_owned(), body.greeting)
    }

    pub(crate) async fn sixty_four_at_once_over_many_sockets_are_each_answered(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let tally: Value =
            go.ask(Command::load("echo", "Echo.Call", 10 * AT_ONCE, AT_ONCE)).await.unwrap();
        assert_eq!(tally["good"], 10 * AT_ONCE, "{tally}");
    }
}

pub(crate) mod rust_calls_go {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use micro_interop::{Generation, Req, Rsp, World, limited, named};
    use tokio::task::JoinSet;

    use super::AT_ONCE;

    pub(crate) async fn sixty_four_at_once_over_one_socket_run_side_by_side(
        generation: Generation,
    ) {
        let world = World::start().await;
        let go = world.go(generation, "echo").await;
        let requests = world.record(&go.address).await;
        let client = world.client();
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for number in 0..AT_ONCE {
            let req = Req { name: number.to_string(), millis: 500, ..Req::default() };
            let call = client.call("echo", "Peer.Run", &req);
            calls.spawn(async move {
                let reply: Rsp = call.await.unwrap();
                assert_eq!(reply.greeting, format!("ran {number}"));
                // It ran once.
                assert_eq!(reply.value, 1);
            });
        }
        calls.join_all().await;
        // One after the other they would take half a minute.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        // A socket is its reply subject.
        let sockets: BTreeSet<_> =
            requests.end().await.into_iter().map(|request| request.reply).collect();
        assert_eq!(sockets.len(), 1, "{sockets:?}");
    }

    pub(crate) async fn sixty_four_at_once_over_many_sockets_are_each_answered(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let mut calls = JoinSet::new();
        for number in 0..AT_ONCE {
            let client = world.client();
            calls.spawn(async move {
                // A lookup waits for 100 ms, which a busy machine may need for 64 of them.
                let who = || client.call::<_, Rsp>("echo", "Echo.Who", &Req::default());
                limited("a first answer", async { while who().await.is_err() {} }).await;
                for round in 0..10 {
                    let name = format!("{number}-{round}");
                    let reply: Rsp = client.call("echo", "Echo.Call", &named(&name)).await.unwrap();
                    assert_eq!(reply.greeting, format!("Hello {name}"));
                }
            });
        }
        calls.join_all().await;
    }
}
