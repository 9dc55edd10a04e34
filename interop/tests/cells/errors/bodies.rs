//! Bodies that cannot be read, or carried.

/// More than a nats-server carries.
const TOO_LARGE: usize = 2 << 20;

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Req, Rsp, World, base64, from_base64, named};
    use serde_json::{Value, json};

    use super::TOO_LARGE;

    pub(crate) async fn a_body_that_does_not_decode_is_400(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for (content, body) in
            [("application/json", &b"{\"name\":"[..]), ("application/protobuf", b"\x0a\xffx")]
        {
            let error =
                go.fails(Command::call("echo", "Echo.Call").raw(body).content(content)).await;
            assert_eq!((error.code, &*error.status), (400, "Bad Request"), "{content}: {error:?}");
        }
    }

    /// go-micro's client refuses such a call itself; its transport sends anything.
    pub(crate) async fn a_content_type_without_codec_is_415_with_the_id(generation: Generation) {
        let world = World::start().await;
        let echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let header = json!({ generation.id_key(): "7", "Micro-Service": "echo", "Micro-Endpoint": "Echo.Call",
                             "Micro-Method": "Echo.Call", "Content-Type": "text/cuneiform" });
        let packet = json!({ "Header": header, "Body": null });
        let replies: Vec<Value> =
            go.ask(Command::packets(&echo.address, &[packet], 2).millis(500)).await.unwrap();
        assert_eq!(replies.len(), 1, "{replies:?}");
        let header = &replies[0]["Header"];
        assert_eq!(header[generation.id_key()], "7", "{header}");
        let error: Value = serde_json::from_str(header["Micro-Error"].as_str().unwrap()).unwrap();
        assert_eq!(error["code"], 415, "{error}");

        let error =
            go.fails(Command::call("echo", "Echo.Call").raw(b"").content("text/cuneiform")).await;
        assert!(error.detail.to_lowercase().contains("unsupported content-type"), "{error:?}");
        assert_eq!(error.id, "go.micro.client");
    }

    pub(crate) async fn a_request_without_content_type_is_read_as_protobuf(generation: Generation) {
        let world = World::start().await;
        let echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let header = json!({ generation.id_key(): "7", "Micro-Service": "echo", "Micro-Endpoint": "Echo.Call",
                             "Micro-Method": "Echo.Call" });
        // Field 1, `name`, is `Bob`.
        let packet = json!({ "Header": header, "Body": base64(b"\x0a\x03Bob") });
        let replies: Vec<Value> =
            go.ask(Command::packets(&echo.address, &[packet], 1)).await.unwrap();
        let body = from_base64(replies[0]["Body"].as_str().unwrap());
        assert_eq!(body, b"\x0a\x09Hello Bob");
    }

    pub(crate) async fn a_reply_over_the_limit_is_413_with_both_sizes(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let size = i32::try_from(TOO_LARGE).unwrap();
        let blob = Command::call("echo", "Echo.Blob").content("application/protobuf");
        let error = go.fails(blob.body(&Req { size, ..Req::default() })).await;
        assert_eq!((error.code, &*error.status), (413, "Request Entity Too Large"), "{error:?}");
        let sizes: Vec<usize> = error
            .detail
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|n| n.parse().ok())
            .collect();
        assert!(
            matches!(sizes[..], [size, limit] if size >= TOO_LARGE && limit <= 1 << 20),
            "{error:?}"
        );
        let reply: Rsp =
            go.ask(Command::call("echo", "Echo.Call").body(&named("Bob"))).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
    }
}

pub(crate) mod rust_calls_go {
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use micro::{ErrorKind, RequestState};
    use micro_interop::{Generation, Req, Rsp, World, named};

    use super::TOO_LARGE;
    use crate::errors::answers::rust_calls_go::never_answered;

    pub(crate) async fn a_body_that_does_not_decode_is_told(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        for (content, body) in
            [("application/json", &b"{\"name\":"[..]), ("application/protobuf", b"\x0a\xffx")]
        {
            let call = client.call_raw("echo", "Echo.Call", body).content_type(content);
            if generation == Generation::V2 && content == "application/protobuf" {
                never_answered(call.timeout(Duration::from_millis(300)).await.unwrap_err());
                continue;
            }
            let error = call.await.unwrap_err();
            // In go-micro's own words, without a code.
            assert_eq!(
                (error.code(), error.request()),
                (0, Some(RequestState::Executed)),
                "{content}: {error:?}"
            );
            assert!(!error.detail().is_empty());
        }
    }

    /// go-micro answers with neither id nor `Micro-Error` (v6: server/rpc_server.go:287).
    pub(crate) async fn a_content_type_without_codec_fails_and_harms_no_other_call(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let slow = Req { millis: 1_000, ..named("slow") };
        let slow = tokio::spawn(client.call::<_, Rsp>("echo", "Peer.Run", &slow).into_future());
        let began = Instant::now();
        let odd = client.call_raw("echo", "Echo.Call", "?").content_type("text/cuneiform");
        let error = odd.timeout(Duration::from_secs(3)).await.unwrap_err();
        assert!(began.elapsed() < Duration::from_secs(5));
        assert!(matches!(error.kind(), ErrorKind::UnsupportedMediaType), "{error:?}");
        let reply: Rsp = client.call("echo", "Echo.Call", &named("Bob")).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
        assert_eq!(slow.await.unwrap().unwrap().greeting, "ran slow");
    }

    pub(crate) async fn a_request_over_the_limit_is_not_sent(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let body = Bytes::from(vec![0; TOO_LARGE]);
        let error = client.call_raw("echo", "Peer.Raw", body).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.request()),
            (ErrorKind::TooLarge, Some(RequestState::NotSent)),
            "{error:?}"
        );
    }
}
