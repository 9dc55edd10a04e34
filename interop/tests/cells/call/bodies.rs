//! JSON, protobuf and raw bytes, small and large.

use bytes::Bytes;
use micro_interop::Req;

const SIZES: [usize; 3] = [0, 1024, 512 * 1024];
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/protobuf";
const OCTET_STREAM: &str = "application/octet-stream";

fn bytes(size: usize) -> Bytes {
    (0..size).map(|i| (i % 256) as u8).collect()
}

fn sized(size: usize) -> Req {
    Req { size: i32::try_from(size).unwrap(), ..Req::default() }
}

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Helper, Req, Rsp, World, base64, named};
    use serde_json::Value;

    use super::{JSON, OCTET_STREAM, PROTOBUF, SIZES, bytes, sized};

    pub(crate) async fn json_and_protobuf_are_told_apart_by_content_type(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for content in [JSON, PROTOBUF] {
            let call = Command::call("echo", "Echo.Call").body(&named("Bob")).content(content);
            let reply: Rsp = go.ask(call).await.unwrap();
            assert_eq!(reply.greeting, "Hello Bob", "{content}");
        }
        let wrapped = Command::call("echo", "Echo.Proto").with("type", "string").body(&"Bob");
        let reply = go.ask::<String>(wrapped.clone().content(PROTOBUF)).await;
        assert_eq!(reply.unwrap(), "proto Bob");
        let reply = go.ask::<String>(wrapped.content(JSON)).await;
        match generation {
            Generation::V6 => assert_eq!(reply.unwrap(), "proto Bob"),
            // These write a message in JSON as the Go struct that it is, `{"value":"Bob"}`, which no JSON mapping of
            // protobuf reads as a StringValue (v3: codec/json/json.go:37, v2: the same).
            _ => assert_eq!(reply.unwrap_err().code, 400),
        }
    }

    pub(crate) async fn raw_bytes_come_back_as_they_are(generation: Generation) {
        let world = World::start().await;
        let _helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        for content in [OCTET_STREAM, JSON, PROTOBUF] {
            let call = Command::call("helper", "Peer.Raw").raw(&bytes(256)).content(content);
            let reply: Value = go.ask(call).await.unwrap();
            assert_eq!(reply, base64(&bytes(256)), "{content}");
        }
    }

    pub(crate) async fn bodies_of_no_byte_a_kilobyte_and_half_a_megabyte_arrive(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for size in SIZES {
            for content in [JSON, PROTOBUF] {
                let get = Command::call("echo", "Echo.Blob").body(&sized(size)).content(content);
                let reply: Rsp = go.ask(get).await.unwrap();
                assert_eq!((reply.data.len(), reply.value), (size, sized(size).size), "{content}");
                let req = Req { data: bytes(size), ..Req::default() };
                let put = Command::call("echo", "Echo.Size").body(&req).content(content);
                let reply: Rsp = go.ask(put).await.unwrap();
                assert_eq!(reply.value, sized(size).size, "{content}");
            }
        }
    }
}

pub(crate) mod rust_calls_go {
    use micro_interop::{Generation, Req, Rsp, World, named};

    use super::{JSON, OCTET_STREAM, PROTOBUF, SIZES, bytes, sized};

    pub(crate) async fn json_and_protobuf_are_told_apart_by_content_type(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let bob = named("Bob");
        let reply: Rsp = client.call("echo", "Echo.Call", &bob).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
        let reply: Rsp = client.call_proto("echo", "Echo.Call", &bob).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");

        let wrapped = "Bob".to_owned();
        let reply: String = client.call_proto("echo", "Echo.Proto", &wrapped).await.unwrap();
        assert_eq!(reply, "proto Bob");
        let reply =
            client.call_raw("echo", "Echo.Proto", r#""Bob""#).content_type(JSON).await.unwrap();
        let expected = match generation {
            Generation::V6 => r#""proto Bob""#,
            // They write the Go struct, not protobuf's JSON (v3: codec/json/json.go:37, v2: the same).
            _ => r#"{"value":"proto Bob"}"#,
        };
        assert_eq!(std::str::from_utf8(&reply).unwrap().trim(), expected);
    }

    pub(crate) async fn raw_bytes_come_back_as_they_are(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        for content in [OCTET_STREAM, JSON, PROTOBUF] {
            let call = client.call_raw("echo", "Peer.Raw", bytes(256)).content_type(content);
            assert_eq!(call.await.unwrap(), bytes(256), "{content}");
        }
    }

    pub(crate) async fn bodies_of_no_byte_a_kilobyte_and_half_a_megabyte_arrive(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        for size in SIZES {
            let (get, put) = (sized(size), Req { data: bytes(size), ..Req::default() });
            let replies: [Rsp; 2] = [
                client.call("echo", "Echo.Blob", &get).await.unwrap(),
                client.call_proto("echo", "Echo.Blob", &get).await.unwrap(),
            ];
            for reply in replies {
                assert_eq!((reply.data, reply.value), (bytes(size), get.size));
            }
            let replies: [Rsp; 2] = [
                client.call("echo", "Echo.Size", &put).await.unwrap(),
                client.call_proto("echo", "Echo.Size", &put).await.unwrap(),
            ];
            for reply in replies {
                assert_eq!(reply.value, get.size);
            }
            let raw = client.call_raw("echo", "Peer.Raw", bytes(size)).await.unwrap();
            assert_eq!(raw, bytes(size));
        }
    }
}
