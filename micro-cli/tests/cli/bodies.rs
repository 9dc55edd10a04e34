//! What is sent: an argument, a file, standard input; JSON, or bytes as they are.

use std::fs;

use micro::{Bytes, Context, Server};

use crate::world::World;

const CALL: [&str; 3] = ["call", "echo", "Echo.Call"];

#[tokio::test]
async fn a_request_is_an_argument_a_file_or_standard_input() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("bob.json"), "{\n  \"name\": \"Bob\"\n}\n").unwrap();
    let with = |body| world.micro(&[&CALL[..], &[body]].concat()).folder(folder.path());
    for command in
        [with(r#"{"name":"Bob"}"#), with("@bob.json"), with("-").input("  {\"name\": \"Bob\"}  \n")]
    {
        assert_eq!(command.run().await.fine(), "{\"greeting\":\"Hello Bob\"}\n");
    }
}

#[tokio::test]
async fn what_is_no_json_is_not_sent_and_its_place_is_told() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bob.json");
    fs::write(&file, "{\n  \"name\": Bob\n}\n").unwrap();
    let file = format!("@{}", file.display());
    let said = world.micro(&[&CALL[..], &[&file]].concat()).run().await.misused();
    assert!(said.contains("bob.json is no JSON: expected value at line 2 column 11"), "{said}");
    let said = world.micro(&[&CALL[..], &["-"]].concat()).input("{} x").run().await.misused();
    assert!(
        said.contains("standard input is no JSON: trailing characters at line 1 column 4"),
        "{said}"
    );
    let said = world.micro(&[&CALL[..], &["-"]].concat()).run().await.misused();
    assert!(said.contains("standard input is no JSON: EOF while parsing a value"), "{said}");
}

#[tokio::test]
async fn a_field_that_the_endpoint_does_not_have_is_answered_with_those_it_has() {
    let (world, _echo) = World::with_echo().await;
    let typo = [&CALL[..], &[r#"{"nmae":"Bob"}"#]].concat();
    let said = world.micro(&typo).run().await.misused();
    let expected = "Req has no field \"nmae\", but \"name\"; \
                    its fields: code, count, data, millis, name, size, value";
    assert!(said.contains(expected), "{said}");
    let sent = world.prints(&[&typo[..], &["--unchecked"]].concat()).await;
    assert_eq!(sent, "{\"greeting\":\"Hello \"}\n");
}

#[tokio::test]
async fn raw_bodies_go_and_come_to_the_byte_with_their_content_type() {
    let world = World::new().await;
    let server = Server::new()
        .raw_handler("Raw.Same", async |_: Context, body: Bytes| Ok(body))
        .raw_handler("Raw.Bytes", async |_: Context, _| {
            Ok(Bytes::from_static(&[0, 255, 10, 13, 27]))
        });
    let _raw = world.serve("raw", "1", server).await;
    let same = ["call", "raw", "Raw.Same", "--raw", "-", "--content-type"];
    for content_type in ["application/json", "application/octet-stream", "application/protobuf"] {
        let command = world.micro(&[&same[..], &[content_type]].concat());
        let printed = command.input("no { JSON\n\n").run().await.fine();
        assert_eq!(printed, "no { JSON\n\n", "{content_type}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reply");
    let command = world.micro(&["call", "raw", "Raw.Bytes", "--raw"]);
    let done = command.stdout(fs::File::create(&path).unwrap()).run().await;
    assert_eq!(done.fine(), "");
    assert_eq!(fs::read(path).unwrap(), [0, 255, 10, 13, 27]);
}

#[tokio::test]
async fn a_content_type_that_nobody_decodes_is_answered_with_415() {
    let (world, _echo) = World::with_echo().await;
    let done = world
        .micro(&[&CALL[..], &["--raw", "--content-type=text/csv", "a;b"]].concat())
        .run()
        .await;
    let (error, _) = done.failed();
    assert_eq!(error["code"], 415, "{error}");
    assert!(error["detail"].as_str().unwrap().contains("text/csv"), "{error}");
}

#[tokio::test]
async fn standard_input_that_is_larger_than_any_message_is_refused() {
    let (world, _echo) = World::with_echo().await;
    let command = world.micro(&[&CALL[..], &["-"]].concat());
    let said = command.input(vec![b' '; (64 << 20) + 1]).run().await.misused();
    assert!(said.contains("cannot read standard input: it has more than 67108864 bytes"), "{said}");
}
