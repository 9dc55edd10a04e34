//! `micro call`.

use std::time::Duration;

use micro::{Context, Server};
use serde_json::{Value, json};

use crate::world::World;

const CALL: [&str; 3] = ["call", "echo", "Echo.Call"];

#[tokio::test]
async fn the_reply_is_a_line_on_standard_output_and_nothing_else_is_anywhere() {
    let (world, _echo) = World::with_echo().await;
    let bob = [&CALL[..], &[r#"{"name":"Bob"}"#]].concat();
    assert_eq!(world.prints(&bob).await, "{\"greeting\":\"Hello Bob\"}\n");
    // Without a request it is an empty one.
    assert_eq!(world.prints(&CALL).await, "{\"greeting\":\"Hello \"}\n");
}

#[tokio::test]
async fn metadata_arrives_as_it_was_given() {
    let (world, _echo) = World::with_echo().await;
    let printed = world
        .prints(&[
            "call",
            "echo",
            "Echo.Meta",
            "-m",
            "tenant=green",
            "--metadata",
            "Query=a=b c",
            "-m",
            "empty=",
        ])
        .await;
    let reply: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(reply, json!({ "meta": { "tenant": "green", "Query": "a=b c", "empty": "" } }));
}

#[tokio::test]
async fn metadata_that_the_wire_keeps_for_itself_is_refused() {
    let (world, _echo) = World::with_echo().await;
    let done = world.micro(&[&CALL[..], &["-m", "Micro-Topic=x"]].concat()).run().await;
    let said = done.misused();
    assert!(said.contains("Micro-Topic"), "{said}");
}

#[tokio::test]
async fn the_timeout_is_the_handlers_deadline_and_the_callers_patience() {
    let (world, _echo) = World::with_echo().await;
    let printed = world.prints(&["call", "echo", "Echo.Slow", "--timeout=10m"]).await;
    let reply: Value = serde_json::from_str(&printed).unwrap();
    let left = Duration::from_millis(reply["left"].as_u64().unwrap());
    assert!(left > Duration::from_secs(540) && left <= Duration::from_secs(600), "{left:?}");

    let slow = ["call", "echo", "Echo.Slow", r#"{"millis":600000}"#, "--timeout", "100ms"];
    let done = world.micro(&slow).run().await;
    let (error, hints) = done.failed();
    assert_eq!((&error["code"], &error["status"]), (&408.into(), &"Request Timeout".into()));
    assert_eq!(hints, ["hint: whether it ran is not known"]);
    assert!(done.took < Duration::from_secs(10), "{:?}", done.took);
}

#[tokio::test]
async fn an_address_is_called_without_asking_the_registry() {
    let (world, _echo) = World::with_echo().await;
    let _other = world.echo("2").await;
    for id in ["1", "2"] {
        let address = format!("--address=echo.{id}");
        let printed = world.prints(&["call", "echo", "Echo.Who", &address]).await;
        assert_eq!(printed, format!("{{\"greeting\":\"echo-{id}\"}}\n"));
        // No registry knows that name.
        let printed = world.prints(&["call", "nameless", "Echo.Who", &address]).await;
        assert_eq!(printed, format!("{{\"greeting\":\"echo-{id}\"}}\n"));
    }
    let done = world.micro(&["call", "echo", "Echo.Who", "--address=echo.3"]).run().await;
    let (error, _) = done.failed();
    assert_eq!(error["code"], 503, "{error}");
    assert!(error["detail"].as_str().unwrap().contains("echo.3"), "{error}");
}

#[tokio::test]
async fn a_count_calls_so_often_and_tells_how_long_that_took() {
    let (world, _echo) = World::with_echo().await;
    let done =
        world.micro(&[&CALL[..], &["--count", "20", r#"{"name":"Bob"}"#]].concat()).run().await;
    assert_eq!(done.code(), Some(0), "{done:?}");
    assert_eq!(done.stdout, "{\"greeting\":\"Hello Bob\"}\n".repeat(20));
    assert!(
        done.stderr.starts_with("20 calls in ") && done.stderr.contains("0 failed; p50 "),
        "{done:?}"
    );
    assert_eq!(done.stderr.lines().count(), 1, "{done:?}");
}

#[tokio::test]
async fn of_several_calls_each_error_is_told_and_the_others_go_on() {
    let world = World::new().await;
    let mut numbers = 0_u32..;
    let numbers = std::sync::Mutex::new(move || numbers.next());
    let numbers = std::sync::Arc::new(numbers);
    let server = Server::new().handler("Odd.Even", move |_: Context, _: Value| {
        let number = numbers.lock().unwrap()().unwrap();
        async move {
            match number % 2 {
                0 => Ok(number),
                _ => Err(micro::Error::with_code(418, format!("{number} is odd"))),
            }
        }
    });
    let _odd = world.serve("odd", "1", server).await;
    let done = world.micro(&["call", "odd", "Odd.Even", "--count=5"]).run().await;
    assert_eq!((done.code(), done.stdout.as_str()), (Some(1), "0\n2\n4\n"), "{done:?}");
    let lines: Vec<&str> = done.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{done:?}");
    for (line, number) in lines.iter().zip([1, 3]) {
        let error: Value = serde_json::from_str(line).unwrap();
        assert_eq!(
            (&error["code"], &error["detail"]),
            (&418.into(), &format!("{number} is odd").into())
        );
    }
    assert!(lines[2].contains("2 failed"), "{done:?}");
}

#[tokio::test]
async fn numbers_and_the_order_of_fields_are_as_they_came() {
    let world = World::new().await;
    let text = r#"{ "z": 12345678901234567890123, "a": [1.10, 1e400],
        "text": "ö\u00f6\n" }"#;
    let server = Server::new().raw_handler("Raw.Text", async move |_: Context, _| {
        Ok(micro::Bytes::from_static(text.as_bytes()))
    });
    let _raw = world.serve("raw", "1", server).await;
    let printed = world.prints(&["call", "raw", "Raw.Text"]).await;
    assert_eq!(
        printed,
        "{\"z\":12345678901234567890123,\"a\":[1.10,1e400],\"text\":\"ö\\u00f6\\n\"}\n"
    );
}
