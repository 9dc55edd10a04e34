//! Protobuf from JSON, by a .proto file that is read at run time.

use std::fs;

use crate::world::World;

/// `echo.proto` of the examples, which imports a file of Google's.
const ECHO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/src/echo/echo.proto");

const CALL: [&str; 4] = ["call", "echo", "Echo.Call", r#"{"name":"Bob"}"#];

#[tokio::test]
async fn a_call_goes_as_protobuf_and_is_json_here() {
    let (world, _echo) = World::with_echo().await;
    let printed = world.prints(&[&CALL[..], &["--proto", ECHO]].concat()).await;
    assert_eq!(printed, "{\"greeting\":\"Hello Bob\"}\n");
    // The server sees protobuf: bytes and maps come through it.
    let blob = ["call", "echo", "Echo.Blob", r#"{"size":3}"#, "--proto", ECHO];
    assert_eq!(world.prints(&blob).await, "{\"data\":\"AAEC\",\"value\":3}\n");
    let other = ["--content-type=application/x-protobuf"];
    assert_eq!(
        world.prints(&[&blob[..], &other].concat()).await,
        "{\"data\":\"AAEC\",\"value\":3}\n"
    );
}

#[tokio::test]
async fn imports_are_found_beside_the_file_and_where_i_says() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("types/deep/req.proto", "syntax = \"proto3\"; message Req { string name = 1; }");
    write("api/rsp.proto", "syntax = \"proto3\"; message Rsp { string greeting = 1; }");
    write(
        "api/echo.proto",
        "syntax = \"proto3\"; import \"deep/req.proto\"; import \"rsp.proto\";
         service Echo { rpc Call(Req) returns (Rsp); }",
    );
    let call = [&CALL[..], &["--proto", "api/echo.proto"]].concat();
    let called = |more: &[&str]| world.micro(&[&call, more].concat()).folder(folder.path());
    for include in
        [&["-I", "types"][..], &["--proto-path=types"], &["--proto_path=nowhere", "-Itypes"]]
    {
        assert_eq!(called(include).run().await.fine(), "{\"greeting\":\"Hello Bob\"}\n");
    }
    let said = called(&[]).run().await.misused();
    assert!(said.contains("deep/req.proto"), "{said}");
}

#[tokio::test]
async fn a_stream_goes_as_protobuf_too() {
    let (world, _echo) = World::with_echo().await;
    let chat = world.micro(&["stream", "echo", "Echo.Chat", "--proto", ECHO]);
    let printed = chat.input("{\"name\":\"a\",\"value\":1}\n{\"name\":\"b\"}\n").run().await.fine();
    assert_eq!(printed, "{\"greeting\":\"Hello a\",\"value\":1}\n{\"greeting\":\"Hello b\"}\n");
}

#[tokio::test]
async fn a_request_that_is_not_of_its_message_is_answered_with_its_fields() {
    let (world, _echo) = World::with_echo().await;
    let of = |body| ["call", "echo", "Echo.Call", body, "--proto", ECHO];
    let said = world.micro(&of(r#"{"nmae":"Bob"}"#)).run().await.misused();
    assert!(said.contains("it is no echo.Req") && said.contains("nmae"), "{said}");
    assert!(said.contains("its fields: name, code, millis, size, count, value, data"), "{said}");
    let said = world.micro(&of(r#"{"code":"many"}"#)).run().await.misused();
    assert!(said.contains("it is no echo.Req"), "{said}");
    let said = world.micro(&of("{")).run().await.misused();
    assert!(said.contains("line 1 column 1"), "{said}");
}

#[tokio::test]
async fn an_endpoint_that_the_file_does_not_have_is_answered_with_the_nearest() {
    let (world, _echo) = World::with_echo().await;
    let said = world.micro(&["call", "echo", "Echo.Cal", "--proto", ECHO]).run().await.misused();
    assert!(said.contains("has no method Echo.Cal: did you mean Echo.Call"), "{said}");
}

#[tokio::test]
async fn a_file_with_a_mistake_is_answered_with_its_line() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.proto");
    fs::write(&path, "syntax = \"proto3\";\n\nmessage Req { strin name = 1; }\n").unwrap();
    let said = world
        .micro(&["call", "echo", "Echo.Call", "--proto", &path.display().to_string()])
        .run()
        .await
        .misused();
    assert!(said.contains("wrong.proto:3:15"), "{said}");
}
