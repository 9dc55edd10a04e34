//! What must never be sent to go-micro, and what go-micro sends that has to be survived.

mod sent;

pub(crate) mod go_calls_rust {
    pub(crate) use super::survived::*;
}

pub(crate) mod rust_calls_go {
    pub(crate) use super::sent::*;
}

cell! { hostile {
    go_calls_rust: [
        a_late_end_of_a_stream_is_no_request,
        a_stream_id_on_a_unary_call_makes_no_stream_of_it,
        an_event_sent_to_a_service_is_no_call,
        a_connection_that_is_to_close_is_answered_first,
        bytes_that_are_no_packet_are_survived,
        a_request_without_anything_gets_one_answer_or_none,
    ]
    rust_calls_go: [nothing_that_ends_a_go_process_is_ever_sent, a_go_process_survives_all_that_we_do]
} }

mod survived {
    use micro_interop::{Command, Echo, Generation, GoClient, Rsp, World, base64, named};
    use serde_json::{Value, json};

    async fn start(generation: Generation) -> (World, Echo, GoClient) {
        let world = World::start().await;
        let echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        (world, echo, go)
    }

    fn packet(generation: Generation, id: &str, more: Value) -> Value {
        let mut header = json!({ generation.id_key(): id, "Micro-Service": "echo", "Micro-Endpoint": "Echo.Call",
                                 "Micro-Method": "Echo.Call", "Content-Type": "application/json" });
        for (key, value) in more.as_object().unwrap() {
            header[key] = value.clone();
        }
        let body = serde_json::to_vec(&named(id)).unwrap();
        json!({ "Header": header, "Body": base64(&body) })
    }

    /// The packets' answers: the id, and the greeting or the error.
    async fn answers(
        go: &GoClient,
        generation: Generation,
        address: &str,
        packets: &[Value],
    ) -> Vec<(String, String)> {
        let command = Command::packets(address, packets, packets.len() + 1).millis(700);
        let replies: Vec<Value> = go.ask(command).await.unwrap();
        let answer = |reply: &Value| {
            let header = &reply["Header"];
            let id = header[generation.id_key()].as_str().unwrap_or_default().to_owned();
            if let Some(error) = header["Micro-Error"].as_str() {
                return (id, error.to_owned());
            }
            let body = base64_simd::STANDARD
                .decode_to_vec(reply["Body"].as_str().unwrap_or_default())
                .unwrap();
            (id, serde_json::from_slice::<Rsp>(&body).unwrap().greeting)
        };
        replies.iter().map(answer).collect()
    }

    fn greeted(id: &str) -> (String, String) {
        (id.to_owned(), format!("Hello {id}"))
    }

    pub(crate) async fn a_late_end_of_a_stream_is_no_request(generation: Generation) {
        let (_world, echo, go) = start(generation).await;
        let end = json!({ "Micro-Error": "EOS", "Micro-Stream": "7" });
        let packets = [
            packet(generation, "1", json!({})),
            packet(generation, "7", end.clone()),
            packet(generation, "7", end),
            packet(generation, "2", json!({})),
        ];
        let mut answers = answers(&go, generation, &echo.address, &packets).await;
        answers.sort();
        assert_eq!(answers, [greeted("1"), greeted("2")]);
    }

    /// A Go handler of a stream passes its `Micro-Stream` on to the calls that it makes.
    pub(crate) async fn a_stream_id_on_a_unary_call_makes_no_stream_of_it(generation: Generation) {
        let (_world, echo, go) = start(generation).await;
        let packets: Vec<Value> = ["1", "2", "3"]
            .iter()
            .map(|id| packet(generation, id, json!({ "Micro-Stream": "7" })))
            .collect();
        let mut answers = answers(&go, generation, &echo.address, &packets).await;
        answers.sort();
        assert_eq!(answers, ["1", "2", "3"].map(greeted));
    }

    pub(crate) async fn an_event_sent_to_a_service_is_no_call(generation: Generation) {
        let (_world, echo, go) = start(generation).await;
        let packets = [
            packet(generation, "1", json!({ "Micro-Topic": "events" })),
            packet(generation, "2", json!({})),
        ];
        let answers = answers(&go, generation, &echo.address, &packets).await;
        assert!(answers.contains(&greeted("2")), "{answers:?}");
        assert!(answers.len() <= 2, "{answers:?}");
    }

    pub(crate) async fn a_connection_that_is_to_close_is_answered_first(generation: Generation) {
        let (_world, echo, go) = start(generation).await;
        let packets = [packet(generation, "1", json!({ "Connection": "close" }))];
        assert_eq!(answers(&go, generation, &echo.address, &packets).await, [greeted("1")]);
        let packets = [packet(generation, "2", json!({}))];
        assert_eq!(answers(&go, generation, &echo.address, &packets).await, [greeted("2")]);
    }

    pub(crate) async fn bytes_that_are_no_packet_are_survived(generation: Generation) {
        let (world, mut echo, go) = start(generation).await;
        let raw = world.connection().client().unwrap();
        for body in [
            "",
            "null",
            "[]",
            "{",
            "{\"Header\":null,\"Body\":null}",
            "{\"Header\":{},\"Body\":\"?\"}",
            "\u{0}\u{1}",
        ] {
            for subject in [
                &*echo.address,
                "micro.nats.query",
                "micro.nats.watch",
                "micro.registry.nats.query",
                "events",
            ] {
                // Only Rust listens to these here.
                raw.publish_with_reply(subject.to_owned(), "_INBOX.nobody", body.into())
                    .await
                    .unwrap();
            }
        }
        raw.flush().await.unwrap();
        let reply: Rsp =
            go.ask(Command::call("echo", "Echo.Call").body(&named("Bob"))).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
        assert!(echo.process.is_alive());
    }

    pub(crate) async fn a_request_without_anything_gets_one_answer_or_none(generation: Generation) {
        let (_world, echo, go) = start(generation).await;
        let packets = [json!({ "Header": {}, "Body": null }), packet(generation, "1", json!({}))];
        let answers = answers(&go, generation, &echo.address, &packets).await;
        assert!(answers.contains(&greeted("1")) && answers.len() <= 2, "{answers:?}");
    }
}
