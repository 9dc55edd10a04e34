//! What fails: the error's JSON on standard error, and exit code 1.

use serde_json::{Value, json};

use crate::world::World;

#[tokio::test]
async fn an_error_of_the_handler_is_the_json_that_it_was() {
    let (world, _echo) = World::with_echo().await;
    for (words, expected) in [
        (
            ["call", "echo", "Echo.Fail", r#"{"name":"x","code":418}"#],
            r#"{"id":"echo.fail","code":418,"detail":"failed as asked: x","status":"I'm a teapot"}"#,
        ),
        (
            ["call", "echo", "Echo.Fail", r#"{"name":"x","code":600}"#],
            r#"{"id":"echo.fail","code":600,"detail":"failed as asked: x","status":""}"#,
        ),
        (
            ["call", "echo", "Echo.Plain", r#"{"name":"x"}"#],
            r#"{"id":"","code":0,"detail":"plain failure of x","status":""}"#,
        ),
        (
            ["call", "echo", "Echo.Panic", r#"{"name":"x"}"#],
            r#"{"id":"echo","code":500,"detail":"the handler panicked","status":"Internal Server Error"}"#,
        ),
    ] {
        let done = world.micro(&words).run().await;
        done.failed();
        assert_eq!(done.stderr, format!("{expected}\n"));
    }
    // The service lives on.
    assert_eq!(world.prints(&["call", "echo", "Echo.Who"]).await, "{\"greeting\":\"echo-1\"}\n");
}

#[tokio::test]
async fn an_unknown_service_is_answered_with_the_nearest_and_the_address() {
    let (world, _echo) = World::with_echo().await;
    for verb in ["call", "stream"] {
        let done = world.micro(&[verb, "ehco", "Echo.Call"]).run().await;
        let (error, hints) = done.failed();
        assert_eq!((&error["id"], &error["code"]), (&json!("micro"), &json!(404)), "{error}");
        let detail = error["detail"].as_str().unwrap();
        assert!(detail.contains("ehco") && detail.contains(&world.nats.address()), "{detail}");
        assert_eq!(hints, ["hint: did you mean echo?"]);
    }
}

#[tokio::test]
async fn an_unknown_endpoint_is_answered_with_the_nearest() {
    let (world, _echo) = World::with_echo().await;
    for (verb, endpoint, hint) in [
        ("call", "Echo.Cal", "hint: did you mean Echo.Call?"),
        ("call", "Size", "hint: did you mean Echo.Size?"),
        ("stream", "Echo.Cout", "hint: did you mean Echo.Count?"),
    ] {
        let done = world.micro(&[verb, "echo", endpoint, "{}"]).run().await;
        let (error, hints) = done.failed();
        assert_eq!(error["code"], 404, "{error}");
        assert!(error["detail"].as_str().unwrap().contains(endpoint), "{error}");
        assert_eq!(hints, [hint]);
    }
}

#[tokio::test]
async fn a_handler_that_does_not_find_something_is_no_unknown_endpoint() {
    let (world, _echo) = World::with_echo().await;
    let done = world.micro(&["call", "echo", "Echo.Fail", r#"{"code":404}"#]).run().await;
    let (error, hints) = done.failed();
    assert_eq!((&error["code"], hints.len()), (&json!(404), 0), "{error} {hints:?}");
}

#[tokio::test]
async fn what_is_too_large_is_told_with_both_sizes() {
    let (world, _echo) = World::with_echo().await;
    let reply = world.micro(&["call", "echo", "Echo.Blob", r#"{"size":2000000}"#]).run().await;
    let (error, _) = reply.failed();
    is_too_large(&error);
    let body = format!("{{\"name\":\"{}\"}}", "x".repeat(2_000_000));
    let request = world.micro(&["call", "echo", "Echo.Call", "-"]).input(body.clone()).run().await;
    let (error, _) = request.failed();
    is_too_large(&error);
    let event = world.micro(&["publish", "events", "-"]).input(body).run().await;
    let (error, _) = event.failed();
    is_too_large(&error);
}

fn is_too_large(error: &Value) {
    assert_eq!(
        (&error["code"], &error["status"]),
        (&json!(413), &json!("Request Entity Too Large"))
    );
    let detail = error["detail"].as_str().unwrap();
    // The limit of a nats-server as it comes.
    assert!(detail.contains("1048576 bytes"), "{detail}");
}

#[tokio::test]
async fn a_stream_cannot_be_called() {
    let (world, _echo) = World::with_echo().await;
    let count = ["call", "echo", "Echo.Count", r#"{"count":3}"#];
    let said = world.micro(&count).run().await.misused();
    assert!(
        said.contains("Echo.Count of echo is a stream: micro stream echo Echo.Count"),
        "{said}"
    );
    let done = world.micro(&[&count[..], &["--unchecked"]].concat()).run().await;
    let (error, _) = done.failed();
    assert_eq!(error["code"], 400, "{error}");
    assert_eq!(error["detail"], "Echo.Count is a stream, and cannot be called");
}

#[tokio::test]
async fn a_body_that_its_endpoint_does_not_decode_is_the_callers_fault() {
    let (world, _echo) = World::with_echo().await;
    let done = world.micro(&["call", "echo", "Echo.Call", r#"{"name":1}"#]).run().await;
    let (error, _) = done.failed();
    assert_eq!((&error["code"], &error["status"]), (&json!(400), &json!("Bad Request")), "{error}");
}
