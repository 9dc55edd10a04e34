//! A Go client takes the next message on its socket as its reply, whatever its id: one too many shifts all later ones.

cell! { exactly_one {
    go_calls_rust: [
        no_go_client_gets_the_answer_to_another_call,
        a_reply_that_comes_too_late_is_nobodys,
        retries_of_go_run_as_often_as_they_are_sent,
    ]
    rust_calls_go: [no_rust_caller_gets_the_answer_to_another_call]
} }

const CALLS: usize = 1_000;

pub(crate) mod go_calls_rust {
    use std::collections::BTreeMap;

    use micro_interop::{Command, Generation, Helper, Req, Rsp, World, base64, named};
    use serde_json::{Value, json};

    use super::CALLS;

    pub(crate) async fn no_go_client_gets_the_answer_to_another_call(generation: Generation) {
        let world = World::start().await;
        let _helper = Helper::start(&world, "echo").await;
        let go = world.go_client_with(generation, &["--pool-size", "4"]).await;
        // Every fifth is slow, some of these so slow that they are given up; v6 tries them again.
        let (millis, retries) = if generation == Generation::V6 { (400, 2) } else { (30, 0) };
        let (mut gave_up, mut slow_ones) = (0, 0);
        for (round, taken) in [10, 30, 40].into_iter().enumerate() {
            let slow = json!({ "every": 5, "endpoint": "Peer.Run", "for": taken, "millis": millis, "attempt": 30,
                               "retries": retries });
            let load = Command::load("echo", "Peer.Greet", CALLS / 3, 16)
                .with("name", format!("round{round}"));
            let tally: Value = go.ask(load.with("slow", slow)).await.unwrap();
            assert_eq!((&tally["wrong"], &tally["failed"]), (&json!([]), &json!({})), "{tally}");
            assert_eq!(tally["good"], CALLS / 3 - CALLS / 15, "{tally}");
            gave_up += tally["gave_up"].as_u64().unwrap();
            slow_ones += tally["slow"].as_u64().unwrap();
        }
        assert!(gave_up > 0 && slow_ones > 0, "{gave_up} given up, {slow_ones} slow");
    }

    /// One socket, and replies that come when nobody waits for them any more.
    pub(crate) async fn a_reply_that_comes_too_late_is_nobodys(generation: Generation) {
        let world = World::start().await;
        let helper = Helper::start(&world, "echo").await;
        let go = world.go_client(generation).await;
        let key = generation.id_key();
        let packet = |number: usize, millis: i32, timeout: &str| {
            let header = json!({ key: number.to_string(), "Micro-Service": "echo", "Micro-Endpoint": "Peer.Run",
                                 "Micro-Method": "Peer.Run", "Content-Type": "application/json", "Timeout": timeout });
            let body = serde_json::to_vec(&Req { millis, ..named(number.to_string()) }).unwrap();
            json!({ "Header": header, "Body": base64(&body) })
        };
        // Half of them pass their deadline; each gets exactly one answer all the same.
        let packets: Vec<Value> = (0..100)
            .map(|number| {
                if number % 2 == 0 {
                    packet(number, 0, "5000000000")
                } else {
                    packet(number, 200, "50000000")
                }
            })
            .collect();
        let address = helper.running.node().address.clone();
        let replies: Vec<Value> =
            go.ask(Command::packets(&address, &packets, 101).millis(1_500)).await.unwrap();
        let mut counts = BTreeMap::<String, usize>::new();
        for reply in &replies {
            let header = &reply["Header"];
            let number = header[key].as_str().unwrap().to_owned();
            let late = number.parse::<usize>().unwrap() % 2 == 1;
            assert_eq!(
                header["Micro-Error"].as_str().is_some_and(|error| error.contains("408")),
                late,
                "{header}"
            );
            *counts.entry(number).or_default() += 1;
        }
        assert_eq!((replies.len(), counts.len()), (100, 100));
    }

    pub(crate) async fn retries_of_go_run_as_often_as_they_are_sent(generation: Generation) {
        let world = World::start().await;
        let helper = Helper::start(&world, "echo").await;
        let go = world.go_client(generation).await;
        go.ask::<Rsp>(Command::call("echo", "Peer.Run").body(&named("warm"))).await.unwrap();
        let slow = Req { millis: 10_000, ..named("slow") };
        let call = Command::call("echo", "Peer.Run").body(&slow).millis(9_000);
        // Between attempts it pauses for 0.1 s, 0.7 s and 2 s.
        let call = call.with("attempt", 500).with("retries", 3);
        let error = go.fails(call).await;
        assert_eq!(error.code, 408, "{error:?}");
        // v6 tries again after its connection timeout; the older ones have no limit of an attempt.
        let expected = if generation == Generation::V6 { 4 } else { 1 };
        assert_eq!(helper.gauge.runs("slow"), expected);
    }
}

pub(crate) mod rust_calls_go {
    use std::time::Duration;

    use micro::{ErrorKind, RequestState};
    use micro_interop::{Generation, Req, Rsp, World, named};
    use tokio::task::JoinSet;

    use super::CALLS;

    pub(crate) async fn no_rust_caller_gets_the_answer_to_another_call(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let mut workers = JoinSet::new();
        for worker in 0..16 {
            let client = client.clone();
            workers.spawn(async move {
                let mut gave_up = 0;
                for number in (worker..CALLS).step_by(16) {
                    let name = number.to_string();
                    let reply: Rsp = client.call("echo", "Echo.Call", &named(&name)).await.unwrap();
                    assert_eq!(reply.greeting, format!("Hello {name}"));
                    if number % 5 == 4 {
                        let slow = Req { millis: 20 + 10 * (number % 3) as i32, ..named(&name) };
                        let call = client.call::<_, Rsp>("echo", "Peer.Run", &slow);
                        match call.timeout(Duration::from_millis(30)).await {
                            Ok(reply) => assert_eq!(reply.greeting, format!("ran {name}")),
                            Err(error) => {
                                let known = (error.kind(), error.request());
                                assert!(
                                    matches!(
                                        known,
                                        (ErrorKind::Timeout, Some(RequestState::Unknown))
                                    ),
                                    "{error:?}"
                                );
                                gave_up += 1;
                            }
                        }
                    }
                }
                gave_up
            });
        }
        assert!(workers.join_all().await.iter().sum::<usize>() > 0);
    }
}
