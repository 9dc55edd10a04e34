//! A .proto file and those that it imports, and replies that are not of it.

use std::fs;
use std::path::Path;

use micro::{Bytes, Context, Server};
use serde_json::json;

use crate::world::World;

/// It has a service of the same name, whose call takes another message, and one more method.
const OTHER: &str = "
    syntax = \"proto3\"; package other;
    message Req { string whom = 3; }
    message Rsp { string answer = 3; }
    message Who {}
    message Node { string greeting = 1; }
    service Echo { rpc Call(Req) returns (Rsp); rpc Who(Who) returns (Node); }
";

const OWN: &str = "
    syntax = \"proto3\"; package own; import \"other.proto\";
    message Req { string name = 1; }
    message Rsp { string greeting = 1; }
    service Echo { rpc Call(Req) returns (Rsp); }
";

/// It imports two services of the same name, and has none.
const BOTH: &str = "
    syntax = \"proto3\"; import \"own.proto\"; import \"other.proto\";
    message Nothing { other.Who who = 1; own.Req req = 2; }
";

const NONE: &str = "syntax = \"proto3\"; message Req { string name = 1; }";

fn write(folder: &Path) {
    let files =
        [("own.proto", OWN), ("other.proto", OTHER), ("both.proto", BOTH), ("none.proto", NONE)];
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
}

fn call<'a>(endpoint: &'a str, body: &'a str, proto: &'a str) -> [&'a str; 6] {
    ["call", "echo", endpoint, body, "--proto", proto]
}

#[tokio::test]
async fn a_method_of_the_file_comes_before_one_of_the_same_name_that_it_imports() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let run = |words: &[&str]| world.micro(words).folder(folder.path()).run();
    let done = run(&call("Echo.Call", r#"{"name":"Bob"}"#, "own.proto")).await;
    assert_eq!(done.fine(), "{\"greeting\":\"Hello Bob\"}\n");
    let said = run(&call("Echo.Call", r#"{"whom":"Bob"}"#, "own.proto")).await.misused();
    assert!(said.contains("it is no own.Req"), "{said}");
    // Of the other file it is the other's.
    let said = run(&call("Echo.Call", r#"{"name":"Bob"}"#, "other.proto")).await.misused();
    assert!(said.contains("it is no other.Req"), "{said}");
}

#[tokio::test]
async fn a_method_that_only_an_import_has_is_found() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    for proto in ["own.proto", "both.proto"] {
        let who = world.micro(&call("Echo.Who", "{}", proto)).folder(folder.path());
        assert_eq!(who.run().await.fine(), "{\"greeting\":\"echo-1\"}\n", "{proto}");
    }
    let said = world.micro(&call("Echo.Call", "{}", "both.proto")).folder(folder.path());
    let said = said.run().await.misused();
    assert!(said.contains("own.Echo.Call") && said.contains("other.Echo.Call"), "{said}");
}

#[tokio::test]
async fn a_file_without_services_says_so() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let none = world.micro(&call("Echo.Call", "{}", "none.proto")).folder(folder.path());
    let said = none.run().await.misused();
    assert!(said.contains("has no method Echo.Call: it has no services"), "{said}");
}

#[tokio::test]
async fn a_reply_that_is_not_of_the_file_is_an_error_of_the_command_and_others_are_tried() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    // The wire type 7 is none.
    let server = Server::new()
        .raw_handler("Echo.Call", async |_: Context, _| Ok(Bytes::from_static(&[0x0f, 0xff])));
    let _echo = world.serve("echo", "1", server).await;
    let words = call("Echo.Call", "{}", "own.proto");
    let done = world.micro(&words).folder(folder.path()).run().await;
    let (error, hints) = done.failed();
    assert_eq!((&error["id"], hints.len()), (&json!("micro"), 0), "{done:?}");
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.starts_with("the reply is no own.Rsp: "), "{detail}");

    let twice = [&words[..], &["--count=2"]].concat();
    let done = world.micro(&twice).folder(folder.path()).run().await;
    let (first, others) = done.failed();
    assert_eq!(first, error);
    let [second, summary] = others[..] else { panic!("{done:?}") };
    assert_eq!(serde_json::from_str::<serde_json::Value>(second).unwrap(), error);
    assert!(summary.starts_with("2 calls in ") && summary.contains(", 2 failed; "), "{summary}");
}
