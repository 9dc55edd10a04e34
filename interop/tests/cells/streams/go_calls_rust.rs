//! A go-micro caller, our service.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro::stream::{self, Receiver, Sender};
use micro::{Context, Running};
use micro_interop::{Command, Generation, GoClient, Req, Rsp, World, eventually, named};
use serde::Deserialize;

/// What a go-micro client got until a stream's end, and the error if that was none.
#[derive(Debug, Deserialize)]
struct All {
    values: Vec<i32>,
    error: Option<micro_interop::GoError>,
}

fn open(name: &str, endpoint: &str) -> Command {
    Command::call("echo", endpoint).with("do", "open").with("name", name)
}

fn on(name: &str, what: &str) -> Command {
    Command::new(what).with("name", name)
}

async fn does(go: &GoClient, command: Command) {
    go.execute(command).await.result.unwrap();
}

async fn received(go: &GoClient, name: &str) -> Rsp {
    go.ask(on(name, "recv")).await.unwrap()
}

pub(crate) async fn a_server_stream_arrives_in_json_and_in_protobuf_and_ends(
    generation: Generation,
) {
    let world = World::start().await;
    let _echo = world.echo("echo").await;
    let go = world.go_client(generation).await;
    for content in ["application/json", "application/protobuf"] {
        does(&go, open("s", "Echo.Count").content(content)).await;
        does(&go, on("s", "send").body(&Req { count: 3, ..Req::default() })).await;
        let all: All = go.ask(on("s", "recv_all")).await.unwrap();
        assert_eq!((all.values, all.error), (vec![1, 2, 3], None), "{content}");
        does(&go, on("s", "close")).await;
    }
}

pub(crate) async fn messages_go_both_ways_until_the_caller_closes(generation: Generation) {
    let world = World::start().await;
    let handlers = Handlers::default();
    let _service = handlers.start(&world).await;
    let go = world.go_client(generation).await;
    for content in ["application/json", "application/protobuf"] {
        does(&go, open("s", "Echo.Chat").content(content)).await;
        for (name, value) in [("Ann", 0), ("Bob", 7)] {
            does(&go, on("s", "send").body(&Req { value, ..named(name) })).await;
            let rsp = received(&go, "s").await;
            assert_eq!((rsp.greeting, rsp.value), (format!("Hello {name}"), value), "{content}");
        }
        does(&go, on("s", "close")).await;
        eventually("the end of the handler", async || handlers.are_done().then_some(())).await;
    }
}

/// `CloseSend` is not implemented in v6 (client/rpc_stream.go:147), and the others have none; `Close` ends the reading
/// too. So the handler sees a good end, and nobody reads its reply.
pub(crate) async fn there_is_no_half_close_so_a_client_stream_ends_without_its_reply(
    generation: Generation,
) {
    let world = World::start().await;
    let handlers = Handlers::default();
    let _service = handlers.start(&world).await;
    let go = world.go_client(generation).await;
    does(&go, open("s", "Echo.Sum")).await;
    does(&go, on("s", "send").body(&Req { value: 1, ..Req::default() }).with("count", 3)).await;
    let error = go.fails(on("s", "close_send")).await;
    assert!(
        error.text.contains("not implemented") || error.text.contains("has no CloseSend"),
        "{error:?}"
    );
    does(&go, on("s", "close")).await;
    eventually("the sum", async || (handlers.sum.load(Ordering::SeqCst) == 6).then_some(())).await;
}

pub(crate) async fn an_error_comes_after_the_messages_before_it(generation: Generation) {
    let world = World::start().await;
    let _echo = world.echo("echo").await;
    let go = world.go_client(generation).await;
    for code in [409, 503, 7777] {
        does(&go, open("s", "Echo.Count")).await;
        let failing = Req { count: 2, code, ..named("Bob") };
        does(&go, on("s", "send").body(&failing)).await;
        let all: All = go.ask(on("s", "recv_all")).await.unwrap();
        let error = all.error.unwrap();
        assert_eq!((all.values, error.code, &*error.id), (vec![1, 2], code, "echo.fail"));
        assert_eq!(error.detail, "failed as asked: Bob");
        does(&go, on("s", "close")).await;
    }
    does(&go, open("s", "Echo.Nope")).await;
    let error = go.fails(on("s", "recv")).await;
    assert_eq!(error.code, 404, "{error:?}");
}

pub(crate) async fn ten_thousand_messages_arrive_in_order(generation: Generation) {
    const MANY: i32 = 10_000;
    let world = World::start().await;
    let handlers = Handlers::default();
    let _service = handlers.start(&world).await;
    let go = world.go_client(generation).await;
    does(&go, open("s", "Echo.Count")).await;
    does(&go, on("s", "send").body(&Req { count: MANY, ..Req::default() })).await;
    let all: All = go.ask(on("s", "recv_all")).await.unwrap();
    assert_eq!(all.error, None);
    assert!(all.values.into_iter().eq(1..=MANY));
    does(&go, on("s", "close")).await;

    does(&go, open("s", "Echo.Sum")).await;
    let first = Req { value: 1, ..Req::default() };
    does(&go, on("s", "send").body(&first).with("count", MANY)).await;
    let in_order = || handlers.in_order.load(Ordering::SeqCst) == MANY as usize;
    eventually("all messages in order", async || in_order().then_some(())).await;
    does(&go, on("s", "close")).await;
}

pub(crate) async fn a_caller_that_closes_or_is_killed_stops_the_handler_at_its_next_message(
    generation: Generation,
) {
    let world = World::start().await;
    let handlers = Handlers::default();
    let _service = handlers.start(&world).await;
    for killed in [false, true] {
        let go = world.go_client(generation).await;
        does(&go, open("s", "Echo.Count")).await;
        let endless = Req { count: i32::MAX, millis: 20, ..Req::default() };
        does(&go, on("s", "send").body(&endless)).await;
        assert_eq!(received(&go, "s").await.value, 1);
        assert!(!handlers.are_done());
        match killed {
            false => does(&go, on("s", "close")).await,
            true => go.kill().await,
        }
        eventually("the end of the handler", async || handlers.are_done().then_some(())).await;
    }
}

/// A go-micro caller hears nothing by itself; what it sends then comes back as NATS's 503, which it cannot read. In v2
/// not even that: its NATS client (nats.go 1.9) does not ask for it, so the caller waits until its socket was silent for
/// too long.
pub(crate) async fn a_service_that_is_killed_is_an_error_at_the_next_message(
    generation: Generation,
) {
    let world = World::start().await;
    let echo = world.echo("echo").await;
    let silence: &[&str] = if generation == Generation::V2 { &["--silence", "2s"] } else { &[] };
    let go = world.go_client_with(generation, silence).await;
    does(&go, open("s", "Echo.Chat")).await;
    does(&go, on("s", "send").body(&named("Ann"))).await;
    assert_eq!(received(&go, "s").await.greeting, "Hello Ann");
    echo.process.kill().await;
    // What goes before NATS has noticed is lost without a word.
    eventually("an error", async || {
        // It is taken, or refused already.
        let _ = go.execute(on("s", "send").body(&named("Bob"))).await;
        let error = go.fails(on("s", "recv")).await;
        (error.text != "nothing came in time").then_some(())
    })
    .await;
    assert!(go.is_alive().await);
}

pub(crate) async fn a_unary_call_of_a_stream_is_refused(generation: Generation) {
    let world = World::start().await;
    let _echo = world.echo("echo").await;
    let go = world.go_client(generation).await;
    let error = go.fails(Command::call("echo", "Echo.Chat").body(&named("Ann"))).await;
    assert_eq!((error.code, &*error.id), (400, "echo"), "{error:?}");
}

pub(crate) async fn calls_go_on_beside_streams_that_end(generation: Generation) {
    let world = World::start().await;
    let _echo = world.echo("echo").await;
    let go = world.go_client(generation).await;
    let calls = go.execute(Command::load("echo", "Echo.Call", 500, 8));
    let streams = async {
        for number in 0..20 {
            let name = format!("s{number}");
            does(&go, open(&name, "Echo.Count")).await;
            does(&go, on(&name, "send").body(&Req { count: 3, ..Req::default() })).await;
            let all: All = go.ask(on(&name, "recv_all")).await.unwrap();
            assert_eq!((all.values, all.error), (vec![1, 2, 3], None));
            // Its end comes late: ours has been.
            does(&go, on(&name, "close")).await;
        }
    };
    let (calls, ()) = tokio::join!(calls, streams);
    let tally = calls.result.unwrap();
    assert_eq!(tally["good"], 500, "{tally}");
}

/// The streams of the `echo` example, in the process of the test, so that it sees how they end.
#[derive(Clone, Default)]
struct Handlers {
    open: Arc<AtomicUsize>,
    begun: Arc<AtomicUsize>,
    sum: Arc<AtomicUsize>,
    in_order: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Handlers {
    fn begin(&self) -> Open {
        self.begun.fetch_add(1, Ordering::SeqCst);
        self.open.fetch_add(1, Ordering::SeqCst);
        Open(self.open.clone())
    }

    /// Some have begun, and all have ended.
    fn are_done(&self) -> bool {
        self.begun.load(Ordering::SeqCst) > 0 && self.open.load(Ordering::SeqCst) == 0
    }

    async fn start(&self, world: &World) -> Running {
        use micro::codec::JsonOrProtobuf as Both;
        let (counts, sums, chats) = (self.clone(), self.clone(), self.clone());
        let count = move |_: Context, req: Req, values: Sender<Rsp>| {
            let open = counts.begin();
            async move {
                let _open = open;
                for value in 1..=req.count {
                    values.send(&Rsp { value, ..Rsp::default() }).await?;
                    if req.millis > 0 {
                        let pause =
                            std::time::Duration::from_millis(req.millis.unsigned_abs().into());
                        tokio::time::sleep(pause).await;
                    }
                }
                Ok(())
            }
        };
        let sum = move |_: Context, mut values: Receiver<Req>| {
            let handlers = sums.clone();
            async move {
                let _open = handlers.begin();
                let (mut sum, mut last) = (0, 0);
                while let Some(req) = values.recv().await? {
                    if req.value == last + 1 {
                        handlers.in_order.fetch_add(1, Ordering::SeqCst);
                    }
                    last = req.value;
                    sum += req.value;
                }
                handlers.sum.store(usize::try_from(sum).unwrap(), Ordering::SeqCst);
                Ok(Rsp { value: sum, ..Rsp::default() })
            }
        };
        let chat = move |_: Context, mut said: Receiver<Req>, answers: Sender<Rsp>| {
            let open = chats.begin();
            async move {
                let _open = open;
                while let Some(req) = said.recv().await? {
                    let greeting = format!("Hello {}", req.name);
                    answers.send(&Rsp { greeting, value: req.value, ..Rsp::default() }).await?;
                }
                Ok(())
            }
        };
        let service = world
            .service("echo")
            .stream_handler("Echo.Count", stream::server_streaming_with::<Both, _, _, _, _>(count))
            .stream_handler("Echo.Sum", stream::client_streaming_with::<Both, _, _, _, _>(sum))
            .stream_handler("Echo.Chat", stream::bidirectional_with::<Both, _, _, _, _>(chat));
        service.build().unwrap().start().await.unwrap()
    }
}
