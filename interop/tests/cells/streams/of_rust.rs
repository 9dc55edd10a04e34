//! Our caller, a go-micro service.

use std::time::Duration;

use futures_util::TryStreamExt;
use micro::codec::{Codec, Decode, Encode, Json, Protobuf};
use micro::stream::Receiver;
use micro::{Client, ClientOptions, ErrorKind, RequestState};
use micro_interop::{Generation, Relayed, Req, Rsp, World, eventually, limited, named};
use serde_json::Value;

fn value(value: i32) -> Req {
    Req { value, ..Req::default() }
}

/// A go-micro server sends the message after it once more in its place, unless it has time between them.
fn count(count: i32) -> Req {
    Req { count, millis: 3, ..Req::default() }
}

async fn counted<C: Codec + Encode<Req> + Decode<Rsp>>(client: &Client) -> Vec<i32> {
    let counted = client.stream("echo", "Echo.Count").codec::<C>();
    let counted: Receiver<Rsp> = counted.server_streaming(&count(3)).await.unwrap();
    let values = counted.map_ok(|rsp| rsp.value).try_collect();
    limited("the end of the stream", values).await.unwrap()
}

pub(crate) async fn a_server_stream_arrives_in_json_and_in_protobuf_and_ends(
    generation: Generation,
) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    assert_eq!(counted::<Json>(&client).await, [1, 2, 3]);
    assert_eq!(counted::<Protobuf>(&client).await, [1, 2, 3]);
}

async fn summed<C: Codec + Encode<Req> + Decode<Rsp>>(client: &Client) -> i32 {
    let sum = client.stream("echo", "Echo.Sum").codec::<C>();
    let sum = sum.client_streaming::<Req, Rsp>().await.unwrap();
    for number in [1, 2, 39] {
        sum.send(&value(number)).await.unwrap();
    }
    limited("the sum", sum.finish()).await.unwrap().value
}

pub(crate) async fn a_client_stream_is_answered_after_the_half_close(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    assert_eq!(summed::<Json>(&client).await, 42);
    assert_eq!(summed::<Protobuf>(&client).await, 42);
}

async fn chatted<C: Codec + Encode<Req> + Decode<Rsp>>(client: &Client) {
    let chat = client.stream("echo", "Echo.Chat").codec::<C>();
    let mut chat = chat.bidirectional::<Req, Rsp>().await.unwrap();
    for (name, value) in [("Ann", 0), ("Bob", 7)] {
        chat.send(&Req { value, ..named(name) }).await.unwrap();
        let rsp = limited("an answer", chat.recv()).await.unwrap().unwrap();
        assert_eq!((rsp.greeting, rsp.value), (format!("Hello {name}"), value));
    }
    chat.send(&Req { millis: 300, ..named("Eve") }).await.unwrap();
    chat.finish().unwrap();
    // The handler sends this yet, and ends a while later without a word: go-micro says nothing after a half-close.
    assert_eq!(limited("an answer", chat.recv()).await.unwrap().unwrap().greeting, "Hello Eve");
    assert_eq!(limited("the end", chat.recv()).await.unwrap(), None);
}

pub(crate) async fn messages_go_both_ways_and_the_end_is_known_after_the_half_close(
    generation: Generation,
) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    chatted::<Json>(&client).await;
    chatted::<Protobuf>(&client).await;
}

pub(crate) async fn an_error_comes_after_the_messages_before_it(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    let failing = Req { code: 409, name: "Bob".to_owned(), ..count(2) };
    let failing = client.stream("echo", "Echo.Count").server_streaming(&failing);
    let mut failing: Receiver<Rsp> = failing.await.unwrap();
    for value in 1..=2 {
        assert_eq!(limited("a value", failing.recv()).await.unwrap().unwrap().value, value);
    }
    let error = limited("the error", failing.recv()).await.unwrap_err();
    assert_eq!((error.code(), error.id(), error.status()), (409, "echo.fail", "Conflict"));
    assert_eq!(error.detail(), "failed as asked: Bob");
    assert_eq!(error.request(), Some(RequestState::Executed));

    // In the middle of what we send.
    let chat = client.stream("echo", "Echo.Chat").bidirectional::<Req, Rsp>();
    let mut chat = chat.await.unwrap();
    chat.send(&named("Ann")).await.unwrap();
    assert!(limited("an answer", chat.recv()).await.unwrap().is_some());
    chat.send(&Req { code: 7777, ..named("Bob") }).await.unwrap();
    let error = limited("the error", chat.recv()).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (7777, "failed as asked: Bob"));
    let error = chat.send(&named("Eve")).await.unwrap_err();
    assert_eq!(error.code(), 7777, "{error}");

    let one = count(1);
    let unknown = client.stream("echo", "Echo.Nope").server_streaming::<_, Rsp>(&one);
    let error = limited("the error", unknown.await.unwrap().recv()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, 0), "{error}");
}

pub(crate) async fn ten_thousand_messages_arrive_in_order(generation: Generation) {
    const MANY: i32 = 10_000;
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    let listen = client.stream("echo", "Peer.Listen").client_streaming::<Req, Rsp>();
    let listen = listen.await.unwrap();
    for number in 0..MANY {
        listen.send(&Req { value: number, ..named("many") }).await.unwrap();
    }
    assert_eq!(limited("how many came", listen.finish()).await.unwrap().value, MANY);

    let many = Req { count: MANY, ..Req::default() };
    let many: Receiver<Rsp> =
        client.stream("echo", "Peer.Pour").server_streaming(&many).await.unwrap();
    let values: Vec<i32> =
        limited("all values", many.map_ok(|rsp| rsp.value).try_collect()).await.unwrap();
    assert!(values.into_iter().eq(1..=MANY));
}

async fn runs(client: &Client, what: &str) -> i32 {
    client.call::<_, Rsp>("echo", "Peer.Runs", &named(what)).await.unwrap().value
}

pub(crate) async fn a_caller_that_gives_up_fails_the_handler_and_runs_no_other(
    generation: Generation,
) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    let began = async |name: &str| {
        let listen = client.stream("echo", "Peer.Listen").client_streaming::<Req, Rsp>();
        let listen = listen.await.unwrap();
        listen.send(&named(name)).await.unwrap();
        let what = format!("{name} began");
        eventually(&what, async || (runs(&client, &what).await == 1).then_some(())).await;
        listen
    };
    drop(began("dropped").await);
    eventually("a failure", async || (runs(&client, "dropped failed").await == 1).then_some(()))
        .await;
    assert_eq!(runs(&client, "dropped ended").await, 0);

    // Whoever is done says so once, and is not one more run.
    assert_eq!(began("done").await.finish().await.unwrap().value, 1);
    // Given up when there is nothing more to say.
    let chat = client.stream("echo", "Peer.Listen").bidirectional::<Req, Rsp>();
    let mut chat = chat.await.unwrap();
    chat.send(&named("half")).await.unwrap();
    chat.finish().unwrap();
    eventually("its end", async || (runs(&client, "half ended").await == 1).then_some(())).await;
    drop(chat);
    drop(began("last").await);
    eventually("a failure", async || (runs(&client, "last failed").await == 1).then_some(())).await;
    for name in ["dropped", "done", "half", "last"] {
        assert_eq!(runs(&client, &format!("{name} began")).await, 1);
    }
    // A run that nobody asked for has no name.
    for what in [" ended", " failed", " began"] {
        assert_eq!(runs(&client, what).await, 0, "{what:?}");
    }
}

pub(crate) async fn a_service_that_is_killed_is_known_at_the_next_message_and_when_it_is_asked(
    generation: Generation,
) {
    let world = World::start().await;
    let go = world.go(generation, "echo").await;
    let asks = ClientOptions::default().with_stream_keepalive(Duration::from_millis(200));
    let client = world.client_with(asks, micro::nats::registry::Options::default());
    let open = || client.stream("echo", "Echo.Chat").bidirectional::<Req, Rsp>();
    let (mut idle, mut busy) = (open().await.unwrap(), open().await.unwrap());
    busy.send(&named("Ann")).await.unwrap();
    assert!(limited("an answer", busy.recv()).await.unwrap().is_some());
    go.process.kill().await;
    let error = limited("an error", async {
        loop {
            if let Err(error) = busy.send(&named("Bob")).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(error.await.kind(), ErrorKind::Unavailable);
    let error = limited("the error", busy.recv()).await.unwrap_err();
    assert_eq!(error.request(), Some(RequestState::Unknown), "{error}");
    let error = limited("the error", idle.recv()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

/// Its `Micro-Stream` is handed on to it by go-micro.
pub(crate) async fn a_call_that_a_streams_handler_makes_is_a_call(generation: Generation) {
    let world = World::start().await;
    let _echo = world.echo("rust").await;
    let _go = world.go(generation, "go").await;
    let client = world.client();
    let chain = client.stream("go", "Peer.Chain").bidirectional::<Relayed, Vec<Value>>();
    let mut chain = chain.await.unwrap();
    for _ in 0..3 {
        let on = Relayed {
            body: serde_json::json!({"name": "Bob"}),
            ..Relayed::new("rust", "Echo.Call", 2)
        };
        chain.send(&on).await.unwrap();
        let replies = limited("the replies", chain.recv()).await.unwrap().unwrap();
        assert_eq!(
            replies,
            [
                serde_json::json!({"greeting": "Hello Bob"}),
                serde_json::json!({"greeting": "Hello Bob"})
            ]
        );
    }
    chain.finish().unwrap();
    assert_eq!(limited("the end", chain.recv()).await.unwrap(), None);
}

pub(crate) async fn calls_go_on_beside_streams_that_end(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    let calls = async {
        for number in 0..200 {
            let name = format!("n{number}");
            let rsp: Rsp = client.call("echo", "Echo.Call", &named(&name)).await.unwrap();
            assert_eq!(rsp.greeting, format!("Hello {name}"));
        }
    };
    let streams = async {
        for _ in 0..20 {
            // Ends before we do, and our end comes late.
            assert_eq!(counted::<Json>(&client).await, [1, 2, 3]);
        }
    };
    tokio::join!(calls, streams);
}

/// go-micro takes it for the opening of a stream, and waits for its first message: server/rpc_router.go:275 in v6.
pub(crate) async fn a_unary_call_of_a_stream_is_not_answered(generation: Generation) {
    let world = World::start().await;
    let _go = world.go(generation, "echo").await;
    let client = world.client();
    let call = client.call::<_, Rsp>("echo", "Echo.Chat", &named("Ann"));
    let error = call.timeout(Duration::from_millis(500)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    let rsp: Rsp = client.call("echo", "Echo.Call", &named("Ann")).await.unwrap();
    assert_eq!(rsp.greeting, "Hello Ann");
}
