//! Layers around streams, and the calls that a stream's handler makes, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::TryStreamExt;
use micro::middleware::{IncomingCall, OutgoingCall, Reply};
use micro::stream::{self, Receiver, Sender};
use micro::{
    Bytes, Client, Context, Error, ErrorKind, Plugins, RequestState, Result, Service,
    ServiceBuilder,
};
use tower::util::{BoxCloneSyncService, MapRequestLayer};
use tower::{ServiceExt as _, service_fn};
use tower_layer::layer_fn;

type Log = Arc<Mutex<Vec<String>>>;
type Next<C> = BoxCloneSyncService<C, Reply, Error>;

fn note(log: &Log, text: impl Into<String>) {
    log.lock().unwrap().push(text.into());
}

/// Says who asks, and adds up what comes; counts how often it runs.
fn service(plugins: &Plugins, runs: &Arc<AtomicUsize>) -> ServiceBuilder {
    let (sums, says) = (runs.clone(), runs.clone());
    let sum = move |_: Context, mut numbers: Receiver<u32>| {
        sums.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut sum = 0;
            while let Some(number) = numbers.recv().await? {
                sum += number;
            }
            Ok(sum)
        }
    };
    let says = move |context: Context, _: u32, said: Sender<String>| {
        says.fetch_add(1, Ordering::SeqCst);
        async move { said.send(&context.metadata().get("tenant").unwrap_or("nobody").to_owned()).await }
    };
    Service::builder("s")
        .plugins(plugins)
        .stream_handler("S.Sum", stream::client_streaming(sum))
        .stream_handler("S.Says", stream::server_streaming(says))
}

fn client(plugins: &Plugins) -> micro::ClientBuilder {
    Client::builder().plugins(plugins)
}

async fn says(client: &Client) -> Result<Vec<String>> {
    let said = client.stream("s", "S.Says").server_streaming::<_, String>(&1u32).await?;
    said.try_collect().await
}

#[tokio::test]
async fn layers_on_both_sides_see_a_stream_and_what_they_add_reaches_the_handler() {
    let (plugins, log, runs) = (Plugins::new(), Log::default(), Arc::default());
    let (calls, serves) = (log.clone(), log.clone());
    let call = MapRequestLayer::new(move |mut call: OutgoingCall| {
        let body = std::str::from_utf8(call.body()).unwrap();
        note(&calls, format!("call {} {} {body}", call.endpoint(), call.is_stream()));
        call.metadata_mut().insert("tenant", "blue".to_owned());
        call
    });
    let serve = MapRequestLayer::new(move |mut call: IncomingCall| {
        let tenant = call.context().metadata().get("tenant").unwrap().to_owned();
        note(&serves, format!("serve {} {} {tenant}", call.context().endpoint(), call.is_stream()));
        call.set_context(call.context().with_metadata("tenant", format!("light {tenant}")));
        call
    });
    let running =
        service(&plugins, &runs).serve_layer(serve).build().unwrap().start().await.unwrap();
    let client = client(&plugins).call_layer(call).build().unwrap();
    assert_eq!(says(&client).await.unwrap(), ["light blue"]);
    assert_eq!(*log.lock().unwrap(), ["call S.Says true 1", "serve S.Says true blue"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_of_the_caller_may_refuse_a_stream_and_cannot_answer_it() {
    let (plugins, runs) = (Plugins::new(), Arc::default());
    let running = service(&plugins, &runs).build().unwrap().start().await.unwrap();
    let refuses = layer_fn(|_: Next<OutgoingCall>| {
        service_fn(async |_: OutgoingCall| -> Result<Reply> {
            Err(Error::new(ErrorKind::PermissionDenied, "not you"))
        })
    });
    let refused = says(&client(&plugins).call_layer(refuses).build().unwrap()).await.unwrap_err();
    assert_eq!((refused.kind(), refused.detail()), (ErrorKind::PermissionDenied, "not you"));
    let answers = layer_fn(|_: Next<OutgoingCall>| {
        service_fn(async |_: OutgoingCall| -> Result<Reply> {
            Ok(Reply::new("application/json", Bytes::from("1")))
        })
    });
    let answered = says(&client(&plugins).call_layer(answers).build().unwrap()).await.unwrap_err();
    assert_eq!(answered.kind(), ErrorKind::Unsupported, "{answered}");
    assert_eq!(answered.request(), Some(RequestState::NotSent));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_of_the_service_may_refuse_a_stream_answer_it_and_see_its_end() {
    let (plugins, log, runs) = (Plugins::new(), Log::default(), Arc::default());
    let ends = log.clone();
    let guard = layer_fn(move |next: Next<IncomingCall>| {
        let ends = ends.clone();
        service_fn(move |call: IncomingCall| {
            let (next, ends) = (next.clone(), ends.clone());
            async move {
                match call.context().metadata().get("token") {
                    Some("right") => {
                        let reply = next.oneshot(call).await?;
                        note(&ends, format!("ended with {:?}", reply.body));
                        Ok(reply)
                    }
                    Some("cached") => Ok(Reply::new("application/json", Bytes::from("7"))),
                    _ => Err(Error::new(ErrorKind::Unauthenticated, "no token")),
                }
            }
        })
    });
    let running =
        service(&plugins, &runs).serve_layer(guard).build().unwrap().start().await.unwrap();
    let client = running.client();
    let sum = async |token: &str| {
        let sum = client.stream("s", "S.Sum").metadata("token", token);
        let sum = sum.client_streaming::<u32, u32>().await.unwrap();
        // Who is refused may not know it yet.
        let _ = sum.send(&2).await;
        sum.finish().await
    };
    let refused = sum("wrong").await.unwrap_err();
    assert_eq!((refused.code(), refused.detail(), refused.id()), (401, "no token", "s"));
    assert_eq!(sum("cached").await.unwrap(), 7);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(sum("right").await.unwrap(), 2);
    assert_eq!(*log.lock().unwrap(), ["ended with b\"2\""]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_that_panics_is_an_error_of_the_stream() {
    let (plugins, runs) = (Plugins::new(), Arc::default());
    let panics = MapRequestLayer::new(|call: IncomingCall| -> IncomingCall {
        panic!("{} as asked", call.context().endpoint())
    });
    let running =
        service(&plugins, &runs).serve_layer(panics).build().unwrap().start().await.unwrap();
    for _ in 0..2 {
        assert_eq!(says(&running.client()).await.unwrap_err().code(), 500);
    }
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_streams_handler_calls_inherits_its_metadata_and_ends_with_its_deadline() {
    let (plugins, runs) = (Plugins::new(), Arc::default());
    let inner = service(&plugins, &runs)
        .handler("S.Tenant", async |context: Context, (): ()| {
            let limited = context.time_left().is_some_and(|left| left <= Duration::from_secs(20));
            Ok((context.metadata().get("tenant").map(str::to_owned), limited))
        })
        .stream_handler(
            "S.Never",
            stream::server_streaming(async |_: Context, _: u32, held: Sender<u32>| {
                let _held = held;
                std::future::pending::<Result<()>>().await
            }),
        );
    let inner = inner.build().unwrap().start().await.unwrap();
    let outer = Service::builder("outer").plugins(&plugins).stream_handler(
        "Outer.Ask",
        stream::bidirectional(
            async |context: Context, mut asked: Receiver<String>, said: Sender<String>| {
                let client = context.client();
                while let Some(what) = asked.recv().await? {
                    let answer = match &*what {
                        "call" => {
                            type Told = (Option<String>, bool);
                            let told: Told = client.call("s", "S.Tenant", &()).await?;
                            format!("{told:?}")
                        }
                        "stream" => says(&client).await?.concat(),
                        _ => {
                            let open = client.stream("s", "S.Never");
                            let mut open = open.server_streaming::<_, u32>(&1u32).await?;
                            format!("{:?}", open.recv().await?)
                        }
                    };
                    said.send(&answer).await?;
                }
                Ok(())
            },
        ),
    );
    let outer = outer.build().unwrap().start().await.unwrap();
    let client = client(&plugins).build().unwrap();
    let limit = Duration::from_secs(20);
    let ask = client.stream("outer", "Outer.Ask").metadata("tenant", "blue").timeout(limit);
    let mut ask = ask.bidirectional::<str, String>().await.unwrap();
    for (what, answer) in [("call", "(Some(\"blue\"), true)"), ("stream", "blue")] {
        ask.send(what).await.unwrap();
        assert_eq!(ask.recv().await.unwrap().as_deref(), Some(answer));
    }
    let begun = tokio::time::Instant::now();
    ask.send("for ever").await.unwrap();
    let error = ask.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert!(begun.elapsed() <= limit, "{:?}", begun.elapsed());
    for running in [inner, outer] {
        running.stop().await.unwrap();
    }
}
