//! The command on a terminal: colours, tables, trees, and what is shown while one waits.

mod pty;

use micro::{Bytes, Context, Server};

use self::pty::{Pty, left};
use crate::hostile;
use crate::snapshot::is_as_in;
use crate::world::World;

/// What a colour begins with.
const COLOUR: &str = "\u{1b}[";

#[tokio::test]
async fn services_are_a_table_there_and_names_in_a_pipe() {
    let (world, _echo) = World::with_echo().await;
    let _second = world.echo("2").await;
    let plain = Pty::new(&world).env("NO_COLOR", "1").prints(&["services"]).await;
    is_as_in("terminal/services.txt", &plain);
    let coloured = Pty::new(&world).prints(&["services"]).await;
    assert!(coloured.contains("\u{1b}[2mSERVICE"), "{coloured:?}");
    assert_eq!(without_colours(&coloured), plain);
    // An empty NO_COLOR says nothing.
    assert_eq!(Pty::new(&world).env("NO_COLOR", "").prints(&["services"]).await, coloured);
    assert_eq!(world.prints(&["services"]).await, "echo\n");
}

#[tokio::test]
async fn a_tree_is_the_same_with_and_without_colours() {
    let (world, _echo) = World::with_echo().await;
    let coloured = Pty::new(&world).prints(&["describe", "echo"]).await;
    assert!(coloured.contains(COLOUR), "{coloured:?}");
    let plain = world.prints(&["describe", "echo"]).await;
    assert_eq!(without_colours(&coloured), plain);
}

#[tokio::test]
async fn a_reply_is_a_tree_there_and_a_line_in_a_pipe() {
    let (world, _echo) = World::with_echo().await;
    let call = ["call", "echo", "Echo.Call", r#"{"name":"Bob"}"#];
    let plain = Pty::new(&world).env("NO_COLOR", "1").prints(&call).await;
    assert_eq!(plain, "{\n  \"greeting\": \"Hello Bob\"\n}\n");
    let coloured = Pty::new(&world).prints(&call).await;
    assert!(coloured.contains(COLOUR), "{coloured:?}");
    assert_eq!(without_colours(&coloured), plain);
    // Of many, each is a line.
    let stream = ["stream", "echo", "Echo.Count", r#"{"count":2}"#];
    let lines = Pty::new(&world).env("NO_COLOR", "1").prints(&stream).await;
    assert_eq!(lines, "{\"value\":1}\n{\"value\":2}\n");
}

#[tokio::test]
async fn health_is_a_table_and_errors_are_red() {
    let (world, _echo) = World::with_echo().await;
    let health = Pty::new(&world).env("NO_COLOR", "1").prints(&["health", "echo"]).await;
    let mut lines = health.lines();
    let head: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(head, ["NODE", "VERSION", "HEALTH", "TIME"]);
    let row: Vec<&str> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(row[..3], ["echo-1", "latest", "ok"]);

    let (code, said) = Pty::new(&world).runs(&["call", "echo", "Echo.Plain"]).await;
    assert_eq!(code, Some(1));
    let error = r#"{"id":"","code":0,"detail":"plain failure of ","status":""}"#;
    assert_eq!(left(&said), format!("\u{1b}[31m{error}\u{1b}[0m\n"));
}

#[tokio::test]
async fn a_spinner_turns_while_one_waits_and_is_gone_afterwards() {
    let (world, _echo) = World::with_echo().await;
    let slow = ["call", "echo", "Echo.Slow", r#"{"millis":1000}"#, "--timeout=1h"];
    let (code, shown) = Pty::new(&world).env("NO_COLOR", "1").runs(&slow).await;
    assert_eq!(code, Some(0), "{shown:?}");
    assert!(shown.contains("waiting for Echo.Slow of echo"), "{shown:?}");
    // Its line was cleared before anything else was written there.
    assert!(left(&shown).starts_with("{\n  \"left\": "), "{shown:?}");
    // In a pipe there is none.
    let done = world.micro(&slow).run().await;
    assert_eq!(done.stderr, "");
}

#[tokio::test]
async fn ctrl_c_typed_ends_what_runs() {
    let (world, _echo) = World::with_echo().await;
    for (words, shown, code) in [
        (&["stream", "echo", "Echo.Count", r#"{"count":2,"millis":600000}"#][..], "\"value\"", 130),
        (&["call", "echo", "Echo.Slow", r#"{"millis":600000}"#], "waiting for", 130),
        (&["subscribe", "events"], "subscribed to events", 0),
        (&["watch"], "watching; nodes now: 1", 0),
    ] {
        let mut pty = Pty::new(&world).env("NO_COLOR", "1").start(words);
        pty.shows(shown).await;
        pty.types("\u{3}");
        let (ended, rest) = pty.ends().await;
        assert_eq!(ended, Some(code), "{words:?}: {rest:?}");
        // No spinner is left behind.
        assert!(!left(&rest).contains("waiting for"), "{rest:?}");
    }
}

#[tokio::test]
async fn lines_that_are_typed_are_sent_one_by_one_until_ctrl_d() {
    let (world, _echo) = World::with_echo().await;
    let mut pty = Pty::new(&world).env("NO_COLOR", "1").start(&["stream", "echo", "Echo.Chat"]);
    for name in ["Ann", "Bob"] {
        pty.types(&format!("{{\"name\":\"{name}\"}}\n"));
        pty.shows(&format!("{{\"greeting\":\"Hello {name}\"}}")).await;
    }
    pty.types("\u{4}");
    assert_eq!(pty.ends().await.0, Some(0));
}

#[tokio::test]
async fn names_of_others_steer_no_terminal() {
    let world = World::new().await;
    let _registry = hostile::register(&world).await;
    for words in [
        &["services"][..],
        &["describe", "hostile"],
        &["health", "hostile", "--timeout=100ms"],
        &["call", "hostile", "Hostile.Cal"],
    ] {
        let (_, shown) = Pty::new(&world).env("NO_COLOR", "1").runs(words).await;
        assert!(shown.contains("hostile"), "{shown:?}");
        hostile::is_harmless(left(&shown));
    }
    let mut watch = Pty::new(&world).env("NO_COLOR", "1").start(&["watch"]);
    let shown = watch.shows("watching; nodes now: 1").await;
    assert!(shown.contains("hostile-1"), "{shown:?}");
    hostile::is_harmless(left(&shown));
}

#[tokio::test]
async fn bodies_of_others_steer_no_terminal() {
    let world = World::new().await;
    let server = Server::new()
        .raw_handler("Raw.Json", async |_: Context, _| {
            Ok(Bytes::from("{\"a\u{9b}31m\":\"\u{7f}\"}"))
        })
        .raw_handler("Raw.Text", async |_: Context, _| Ok(Bytes::from("\u{1b}[2J\u{9b}31m\ntext")));
    let _raw = world.serve("raw", "1", server).await;
    for endpoint in ["Raw.Json", "Raw.Text"] {
        for more in [&[][..], &["--count=2"]] {
            let call = [&["call", "raw", endpoint], more].concat();
            let (_, shown) = Pty::new(&world).env("NO_COLOR", "1").runs(&call).await;
            hostile::is_harmless(&shown);
        }
    }
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split(COLOUR);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or(part, |(_, after)| after))
}
