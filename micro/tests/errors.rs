//! What a caller is told: one test for each row of the table.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use micro::registry::{Node, RegisterOptions, Service as Record};
use micro::{Client, Context, Error, ErrorKind, Plugins, RequestState, Running, Service};

struct Fleet {
    plugins: Plugins,
    _running: Running,
}

impl Fleet {
    async fn start() -> Self {
        let plugins = Plugins::new();
        let service = Service::builder("greeter")
            .plugins(&plugins)
            .handler("Greeter.Length", async |_: Context, text: String| Ok(text.len()))
            .handler("Greeter.Fail", async |_: Context, code: i32| -> micro::Result<()> {
                Err(Error::with_code(code, "as asked").with_id("own"))
            })
            .handler("Greeter.Plain", async |_: Context, (): ()| -> micro::Result<()> {
                Err(anyhow::anyhow!("inner").context("outer").into())
            })
            .handler("Greeter.Panic", async |_: Context, now: bool| -> micro::Result<()> {
                if !now {
                    tokio::task::yield_now().await;
                }
                panic!("as asked")
            })
            .handler("Greeter.Never", async |_: Context, (): ()| -> micro::Result<()> {
                std::future::pending().await
            });
        let running = service.build().unwrap().start().await.unwrap();
        Self { plugins, _running: running }
    }

    fn client(&self) -> Client {
        Client::builder().plugins(&self.plugins).build().unwrap()
    }

    async fn fails<Q: serde::Serialize>(&self, endpoint: &str, request: &Q) -> Error {
        let call = self.client().call::<Q, ()>("greeter", endpoint, request);
        call.timeout(Duration::from_secs(5)).await.unwrap_err()
    }
}

#[tokio::test]
async fn an_unknown_service_is_not_found_and_memory_says_how_to_reach_others() {
    let fleet = Fleet::start().await;
    let error = fleet.client().call::<_, ()>("nobody", "Greeter.Length", &()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, 404));
    assert_eq!(error.request(), Some(RequestState::NotSent));
    for words in ["nobody", "this process", "--registry=mdns", "--profile=nats"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn an_unknown_endpoint_is_not_found() {
    let error = Fleet::start().await.fails("Greeter.Nope", &()).await;
    assert_eq!((error.kind(), error.code(), error.id()), (ErrorKind::NotFound, 404, "greeter"));
    assert!(error.to_string().contains("Greeter.Nope"), "{error}");
}

#[tokio::test]
async fn a_body_that_does_not_decode_is_invalid_input() {
    let error = Fleet::start().await.fails("Greeter.Length", &17).await;
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, 400));
}

#[tokio::test]
async fn a_content_type_without_codec_is_unsupported_media() {
    let fleet = Fleet::start().await;
    for content_type in ["application/protobuf", "application/x-own"] {
        let call = fleet.client().call_raw("greeter", "Greeter.Length", "x");
        let error = call.content_type(content_type).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::UnsupportedMediaType, 415));
        assert!(error.to_string().contains(content_type), "{error}");
    }
}

#[tokio::test]
async fn a_handlers_own_error_comes_as_it_was() {
    let fleet = Fleet::start().await;
    for code in [400, 404, 409, 418, 500, 503, 799] {
        let error = fleet.fails("Greeter.Fail", &code).await;
        assert_eq!((error.code(), error.detail(), error.id()), (code, "as asked", "own"));
        assert_eq!(error.request(), Some(RequestState::Executed));
    }
}

#[tokio::test]
async fn a_plain_error_is_internal_with_its_whole_chain() {
    let error = Fleet::start().await.fails("Greeter.Plain", &()).await;
    assert_eq!((error.code(), error.detail(), error.id()), (500, "outer: inner", "greeter"));
}

#[tokio::test]
async fn a_panic_is_internal_at_once_and_the_service_lives_on() {
    let fleet = Fleet::start().await;
    for now in [true, false] {
        let error = fleet.fails("Greeter.Panic", &now).await;
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, 500));
        assert_eq!(error.request(), Some(RequestState::Executed));
    }
    let length: usize = fleet.client().call("greeter", "Greeter.Length", &"four").await.unwrap();
    assert_eq!(length, 4);
}

#[tokio::test]
async fn a_deadline_that_passes_is_a_timeout() {
    let fleet = Fleet::start().await;
    let call = fleet.client().call::<_, ()>("greeter", "Greeter.Never", &());
    let error = call.timeout(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, 408));
    assert!(error.request().is_some());
}

#[tokio::test]
async fn nobody_listens_is_unavailable_and_not_sent() {
    let fleet = Fleet::start().await;
    let call = fleet.client().call::<_, ()>("greeter", "Greeter.Length", &"x").address("nowhere");
    let error = call.retries(1).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Unavailable, 503));
    assert_eq!(error.request(), Some(RequestState::NotSent));
}

#[tokio::test]
async fn nodes_of_another_transport_or_protocol_are_not_called_but_named() {
    let fleet = Fleet::start().await;
    let foreign = Node::new("web-1", "10.0.0.1:80")
        .with_metadata("transport", "http")
        .with_metadata("protocol", "grpc");
    let record = Record::new("web", "1").with_node(foreign);
    fleet.client().registry().register(&record, RegisterOptions::default()).await.unwrap();
    let error = fleet.client().call::<_, ()>("web", "Web.Get", &()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    for words in ["transport http", "protocol grpc", "transport memory"] {
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn too_many_calls_are_refused_as_overloaded() {
    let plugins = Plugins::new();
    let options = micro::ServerOptions::default().with_max_calls(1);
    let service = Service::builder("busy")
        .plugins(&plugins)
        .server_options(options)
        .handler("Busy.Wait", async |_: Context, (): ()| -> micro::Result<()> {
            std::future::pending().await
        });
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let both = [
        client.call::<_, ()>("busy", "Busy.Wait", &()).timeout(Duration::from_secs(2)),
        client.call::<_, ()>("busy", "Busy.Wait", &()).timeout(Duration::from_secs(2)),
    ];
    let mut kinds = Vec::new();
    for call in both.map(|call| tokio::spawn(call.into_future())) {
        kinds.push(call.await.unwrap().unwrap_err().kind());
    }
    assert!(kinds.contains(&ErrorKind::Overloaded), "{kinds:?}");
}

#[tokio::test]
async fn a_request_or_reply_larger_than_a_packet_is_too_large_with_both_sizes() {
    use micro::memory::{Memory, MemoryOptions};
    let memory = Memory::with_options(MemoryOptions::default().with_max_packet(10_000));
    let service = Service::builder("s")
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .handler("S.Make", async |_: Context, text: String| Ok(text.repeat(100)));
    let running = service.build().unwrap().start().await.unwrap();
    let call = async |text: String| -> Error {
        running.client().call::<_, String>("s", "S.Make", &text).await.unwrap_err()
    };
    let (request, reply) = (call("x".repeat(10_000)).await, call("x".repeat(1_000)).await);
    assert_eq!(request.request(), Some(RequestState::NotSent));
    assert_eq!(reply.request(), Some(RequestState::Executed));
    for error in [request, reply] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::TooLarge, 413));
        let numbers = error.detail().split(|c: char| !c.is_ascii_digit());
        let sizes: Vec<u64> = numbers.filter_map(|n| n.parse().ok()).collect();
        assert!(sizes.len() == 2 && sizes[0] > sizes[1] && sizes[1] == 10_000, "{error}");
    }
}

#[tokio::test]
async fn a_reply_that_does_not_decode_is_internal_and_was_executed() {
    let fleet = Fleet::start().await;
    let error = fleet.client().call::<_, String>("greeter", "Greeter.Length", &"four").await;
    let error = error.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, 500));
    assert_eq!(error.request(), Some(RequestState::Executed));
    assert!(error.to_string().contains("reply"), "{error}");
}

#[tokio::test]
async fn a_request_without_an_encoding_or_with_metadata_of_the_wire_is_invalid_and_not_sent() {
    let fleet = Fleet::start().await;
    // JSON has no map with such keys.
    let unspeakable = std::collections::HashMap::from([((1, 2), 3)]);
    let body = fleet.client().call::<_, ()>("greeter", "Greeter.Length", &unspeakable);
    let wire = fleet.client().call::<_, usize>("greeter", "Greeter.Length", &"four");
    let wire = wire.metadata("content-type", "x").await.map(drop);
    for error in [body.await.unwrap_err(), wire.unwrap_err()] {
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, 400), "{error}");
        assert_eq!(error.request(), Some(RequestState::NotSent));
    }
}

#[tokio::test]
async fn what_cannot_be_a_service_is_refused_when_it_is_built_or_started() {
    let handler = async |_: Context, (): ()| Ok(());
    let name = Service::builder("a b").build().unwrap_err();
    let twice = Service::builder("a").handler("A.B", handler).handler("A.B", handler);
    let endpoint = Service::builder("a").handler("no dot", handler);
    let topic = Service::builder("a").subscriber("a..b", async |_: Context, (): ()| Ok(()));
    assert!(name.to_string().contains("a b"), "{name}");
    for (service, word) in [(twice, "A.B"), (endpoint, "no dot"), (topic, "a..b")] {
        let error = service.build().unwrap().start().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(word), "{error}");
    }
}
