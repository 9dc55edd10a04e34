//! `micro stream`.

use std::time::Duration;

use serde_json::json;

use crate::program::Done;
use crate::world::World;

fn values(numbers: impl IntoIterator<Item = u32>) -> String {
    numbers.into_iter().map(|number| format!("{{\"value\":{number}}}\n")).collect()
}

#[tokio::test]
async fn a_server_streams_to_standard_output() {
    let (world, _echo) = World::with_echo().await;
    let count = ["stream", "echo", "Echo.Count", r#"{"count":1000}"#];
    assert_eq!(world.prints(&count).await, values(1..=1000));
    // The only message may come from standard input as well.
    let from_stdin = world.micro(&["stream", "echo", "Echo.Count", "-"]);
    assert_eq!(from_stdin.input("{\"count\":3}").run().await.fine(), values(1..=3));
    assert_eq!(world.prints(&["stream", "echo", "Echo.Count", "{}"]).await, "");
}

#[tokio::test]
async fn lines_of_standard_input_stream_to_the_server_and_its_end_is_the_half_close() {
    let (world, _echo) = World::with_echo().await;
    let sum = world.micro(&["stream", "echo", "Echo.Sum"]);
    // Empty lines are none, and the last needs no end.
    let done = sum.input("{\"value\":1}\n\n  \n{\"value\":20}\r\n{\"value\":300}").run().await;
    assert_eq!(done.fine(), values([321]));
    let nothing = world.micro(&["stream", "echo", "Echo.Sum"]).run().await;
    assert_eq!(nothing.fine(), "{}\n");
}

#[tokio::test]
async fn each_message_appears_before_the_next_line_is_typed() {
    let (world, _echo) = World::with_echo().await;
    let mut chat = world.micro(&["stream", "echo", "Echo.Chat"]).start();
    for value in 1..=5 {
        chat.types(&format!("{{\"name\":\"Bob\",\"value\":{value}}}")).await;
        let said = chat.json().await;
        assert_eq!(said, json!({ "greeting": "Hello Bob", "value": value }));
    }
    chat.close_input();
    assert_eq!(chat.end().await.fine(), "");
}

#[tokio::test]
async fn a_message_appears_while_the_next_takes_its_time() {
    let (world, _echo) = World::with_echo().await;
    let count = ["stream", "echo", "Echo.Count", r#"{"count":3,"millis":600000}"#];
    let mut count = world.micro(&count).start();
    assert_eq!(count.json().await, json!({ "value": 1 }));
    count.signal(rustix::process::Signal::INT);
    assert_eq!(count.end().await.code(), Some(130));
}

#[tokio::test]
async fn an_error_in_the_middle_comes_after_the_messages_before_it() {
    let (world, _echo) = World::with_echo().await;
    let count = ["stream", "echo", "Echo.Count", r#"{"count":100,"code":418,"name":"x"}"#];
    let done = world.micro(&count).run().await;
    assert_eq!(done.stdout, values(1..=100));
    let (error, _) = done.failed_after_all();
    let expected = json!({ "id": "echo.fail", "code": 418, "detail": "failed as asked: x",
        "status": "I'm a teapot" });
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_line_that_is_no_json_ends_it_and_is_told_by_its_number() {
    let (world, _echo) = World::with_echo().await;
    let mut chat = world.micro(&["stream", "echo", "Echo.Chat"]).start();
    chat.types("{\"name\":\"Bob\"}").await;
    assert_eq!(chat.json().await, json!({ "greeting": "Hello Bob" }));
    chat.types("{\"name\": Bob}").await;
    let done = chat.end().await;
    let (error, _) = done.failed();
    let expected = "message 2 of standard input is no JSON: expected value at line 1 column 10";
    assert!(error["detail"].as_str().unwrap().starts_with(expected), "{error}");
    assert_eq!((&error["id"], &error["code"]), (&json!("micro"), &json!(400)));
}

#[tokio::test]
async fn the_good_lines_before_a_bad_one_are_answered() {
    let (world, _echo) = World::with_echo().await;
    let good = "{\"name\":\"Ann\"}\n{\"name\":\"Bob\"}\n";
    for (bad, flaw) in [
        ("{\"name\": Cat}\n", "message 3 of standard input is no JSON: expected value"),
        ("{\"nmae\":\"Cat\"}\n", "message 3 of standard input: Req has no field \"nmae\""),
    ] {
        let chat = world.micro(&["stream", "echo", "Echo.Chat"]);
        let done = chat.input(format!("{good}{bad}{good}")).run().await;
        assert_eq!(done.stdout, "{\"greeting\":\"Hello Ann\"}\n{\"greeting\":\"Hello Bob\"}\n");
        is_given_up(&done, flaw);
    }
}

#[tokio::test]
async fn a_mistyped_field_is_told_with_the_number_of_its_line() {
    let (world, _echo) = World::with_echo().await;
    let chat = || world.micro(&["stream", "echo", "Echo.Chat"]);
    let done = chat().input("{\"name\":\"Ann\"}\n{\"vaule\":1}\n").run().await;
    assert_eq!(done.stdout, "{\"greeting\":\"Hello Ann\"}\n");
    is_given_up(&done, "message 2 of standard input: Req has no field \"vaule\", but \"value\"");
}

#[tokio::test]
async fn a_first_line_that_is_bad_is_wrong_usage() {
    let (world, _echo) = World::with_echo().await;
    for (bad, flaw) in [
        ("{\"name\": Ann}\n", "message 1 of standard input is no JSON"),
        ("{\"nmae\":\"Ann\"}\n", "message 1 of standard input: Req has no field \"nmae\""),
    ] {
        let chat = world.micro(&["stream", "echo", "Echo.Chat"]);
        let said = chat.input(format!("{bad}{{}}\n")).run().await.misused();
        assert!(said.contains(flaw), "{said}");
    }
}

/// It ended in the middle of its stream, for this reason.
#[track_caller]
fn is_given_up(done: &Done, flaw: &str) {
    let (error, hints) = done.failed_after_all();
    assert_eq!((&error["id"], &error["code"], hints.len()), (&json!("micro"), &json!(400), 0));
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.starts_with(flaw) && detail.ends_with("; the stream was given up"), "{detail}");
}

#[tokio::test]
async fn raw_messages_are_a_line_each_whatever_they_are() {
    let (world, _echo) = World::with_echo().await;
    let sum = world.micro(&["stream", "echo", "Echo.Sum", "--raw"]);
    assert_eq!(sum.input("{ \"value\": 1 }\n").run().await.fine(), "{\"value\":1}\n");
    let sum = world.micro(&["stream", "echo", "Echo.Sum", "--raw"]);
    let done = sum.input("no JSON\n").run().await;
    assert_eq!(done.failed().0["code"], 400, "{done:?}");
}

#[tokio::test]
async fn metadata_an_address_and_times_are_the_streams() {
    let (world, _echo) = World::with_echo().await;
    let count = ["stream", "echo", "Echo.Count", r#"{"count":2}"#, "-m", "a=b", "--address=echo.1"];
    assert_eq!(world.prints(&count).await, values(1..=2));
    let slow = ["stream", "echo", "Echo.Count", r#"{"count":2,"millis":600000}"#];
    for limit in ["--timeout=300ms", "--idle=300ms"] {
        let done = world.micro(&[&slow[..], &[limit]].concat()).run().await;
        assert_eq!(done.stdout, values([1]), "{limit}");
        assert_eq!(done.failed_after_all().0["code"], 408, "{limit}");
        assert!(done.took < Duration::from_secs(10), "{limit}: {:?}", done.took);
    }
}

#[tokio::test]
async fn a_field_that_the_endpoint_does_not_have_is_told_of_a_streams_only_message() {
    let (world, _echo) = World::with_echo().await;
    let said =
        world.micro(&["stream", "echo", "Echo.Count", r#"{"cuont":2}"#]).run().await.misused();
    assert!(said.contains("Req has no field \"cuont\", but \"count\""), "{said}");
}

#[tokio::test]
async fn a_unary_endpoint_is_no_stream() {
    let (world, _echo) = World::with_echo().await;
    for more in [&[][..], &[r#"{"name":"Bob"}"#]] {
        let stream = world.micro(&[&["stream", "echo", "Echo.Call"], more].concat());
        let said = stream.run().await.misused();
        assert!(
            said.contains("Echo.Call of echo is no stream: micro call echo Echo.Call"),
            "{said}"
        );
    }
}
