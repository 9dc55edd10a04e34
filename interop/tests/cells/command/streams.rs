//! Streams in all three shapes.

use micro_interop::{Generation, eventually};
use serde_json::{Value, json};

use super::Fleet;
use super::calls::proto_file;

/// A go-micro server sends the message after it once more in its place, unless it has time between them.
const PAUSED: &str =
    "{\"name\":\"Ann\",\"value\":1,\"millis\":5}\n{\"name\":\"Bob\",\"value\":2,\"millis\":5}\n";

pub(crate) async fn streams_of_all_shapes_go_to_each_and_end(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    let file = proto_file();
    for member in fleet.members() {
        for how in [&[][..], &["--proto", &file]] {
            let stream = async |words: &[&str], input: &str| {
                let words = [&["stream", &member.name], words, how].concat();
                fleet.shell.json(&words, input).await
            };
            let values: Vec<Value> = (1..=3).map(|value| json!({ "value": value })).collect();
            let count = r#"{"count":3,"millis":5}"#;
            assert_eq!(stream(&["Echo.Count", count], "").await, values);
            let numbers = "{\"value\":1}\n\n{\"value\":2}\n{\"value\":39}\n";
            assert_eq!(stream(&["Echo.Sum"], numbers).await, [json!({ "value": 42 })]);
            let chat = stream(&["Echo.Chat"], PAUSED).await;
            let hello =
                |name: &str, value| json!({ "greeting": format!("Hello {name}"), "value": value });
            assert_eq!(chat, [hello("Ann", 1), hello("Bob", 2)]);
        }
    }
}

pub(crate) async fn an_error_comes_after_the_messages_before_it(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    for member in fleet.members() {
        let body = r#"{"count":2,"millis":5,"code":409,"name":"Bob"}"#;
        let failed = fleet.shell.fails(&["stream", &member.name, "Echo.Count", body], "").await;
        assert_eq!(failed.values(), [json!({ "value": 1 }), json!({ "value": 2 })]);
        let error = json!({
            "id": "echo.fail", "code": 409, "detail": "failed as asked: Bob", "status": "Conflict"
        });
        assert_eq!(failed.error(), error, "{failed:?}");
    }
}

pub(crate) async fn a_reply_is_there_before_the_input_ends(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    for member in fleet.members() {
        let mut chat = fleet.shell.start(&["stream", &member.name, "Echo.Chat"]);
        for name in ["Ann", "Bob"] {
            chat.tell(&json!({ "name": name })).await;
            assert_eq!(chat.line().await, json!({ "greeting": format!("Hello {name}") }));
        }
        assert_eq!(chat.ends().await, 0);
    }
}

pub(crate) async fn ctrl_c_ends_a_stream_and_fails_its_handler(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    // The example has nothing that tells how its streams ended.
    for member in fleet.members().iter().filter(|member| member.is_go) {
        let runs = async |what: &str| {
            let body = json!({ "name": what }).to_string();
            let runs = fleet.shell.json(&["call", &member.name, "Peer.Runs", &body], "").await;
            runs[0]["value"].as_i64().unwrap_or_default()
        };
        let mut listen = fleet.shell.start(&["stream", &member.name, "Peer.Listen"]);
        for value in 1..=2 {
            listen.tell(&json!({ "name": "left", "value": value })).await;
        }
        eventually("both messages", async || (runs("left message").await == 2).then_some(())).await;
        assert_eq!(listen.interrupt().await, 130);
        eventually("its end", async || (runs("left failed").await == 1).then_some(())).await;
        // Neither a good end, nor a second run of what came late.
        assert_eq!((runs("left ended").await, runs("left began").await), (0, 1));
    }
}
