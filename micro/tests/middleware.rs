//! Layers around calls and events, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::middleware::{IncomingCall, IncomingEvent, OutgoingCall, OutgoingEvent, Reply};
use micro::{Client, Context, Error, ErrorKind, Plugins, RequestState, Result, Service};
use tokio::sync::mpsc;
use tower::util::{BoxCloneSyncService, MapFutureLayer, MapRequestLayer, MapResponseLayer};
use tower::{ServiceExt as _, service_fn};
use tower_layer::layer_fn;

type Log = Arc<Mutex<Vec<String>>>;

fn note(log: &Log, text: impl Into<String>) {
    log.lock().unwrap().push(text.into());
}

fn greeter(plugins: &Plugins) -> micro::ServiceBuilder {
    Service::builder("g").plugins(plugins).handler(
        "G.Hello",
        async |context: Context, name: String| {
            let said = context.metadata().get("greeting").unwrap_or("Hello").to_owned();
            Ok(format!("{said} {name}"))
        },
    )
}

#[tokio::test]
async fn layers_on_both_sides_stand_in_the_order_in_which_they_were_added() {
    let (plugins, log) = (Plugins::new(), Log::default());
    let serve = |name: &'static str| {
        let log = log.clone();
        MapRequestLayer::new(move |call: IncomingCall| {
            note(&log, format!("{name} {}", call.context().endpoint()));
            call
        })
    };
    let call = |name: &'static str| {
        let log = log.clone();
        MapRequestLayer::new(move |mut call: OutgoingCall| {
            note(&log, format!("{name} {}", call.service()));
            call.metadata_mut().insert("greeting", name);
            call
        })
    };
    let service = greeter(&plugins).serve_layer(serve("third")).serve_layer(serve("fourth"));
    let running = service.build().unwrap().start().await.unwrap();
    let client = Client::builder().plugins(&plugins);
    let client = client.call_layer(call("first")).call_layer(call("second")).build().unwrap();
    let reply: String = client.call("g", "G.Hello", "Bob").await.unwrap();
    assert_eq!(reply, "second Bob", "the inner layer had the last word");
    assert_eq!(*log.lock().unwrap(), ["first g", "second g", "third G.Hello", "fourth G.Hello"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_may_refuse_and_the_caller_reads_its_error() {
    let plugins = Plugins::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let guard = layer_fn(|next: BoxCloneSyncService<IncomingCall, Reply, Error>| {
        service_fn(move |call: IncomingCall| {
            let next = next.clone();
            async move {
                if call.context().metadata().get("token") != Some("right") {
                    return Err(Error::new(ErrorKind::Unauthenticated, "no token"));
                }
                next.oneshot(call).await
            }
        })
    });
    let service = Service::builder("g").plugins(&plugins).serve_layer(guard).handler("G.Run", {
        let runs = runs.clone();
        move |_: Context, (): ()| {
            runs.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let call = || running.client().call::<_, ()>("g", "G.Run", &());
    let error = call().await.unwrap_err();
    assert_eq!((error.code(), error.detail(), error.id()), (401, "no token", "g"));
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    call().metadata("token", "right").await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_may_answer_by_itself_and_change_an_answer() {
    let plugins = Plugins::new();
    let shout = MapResponseLayer::new(|reply: Reply| {
        Reply::new(reply.content_type, reply.body.to_ascii_uppercase())
    });
    let running = greeter(&plugins).serve_layer(shout).build().unwrap().start().await.unwrap();
    let cached = layer_fn(|_: BoxCloneSyncService<OutgoingCall, Reply, Error>| {
        service_fn(|_: OutgoingCall| async { Ok::<_, Error>(Reply::new("", "\"from the cache\"")) })
    });
    let reply: String = running.client().call("g", "G.Hello", "Bob").await.unwrap();
    assert_eq!(reply, "HELLO BOB");
    let client = Client::builder().plugins(&plugins).call_layer(cached).build().unwrap();
    let reply: String = client.call("nobody", "No.Body", "Bob").await.unwrap();
    assert_eq!(reply, "from the cache");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_layer_sees_a_call_once_however_often_it_is_tried() {
    let plugins = Plugins::new();
    let running = greeter(&plugins).build().unwrap().start().await.unwrap();
    let seen = Arc::new(AtomicUsize::new(0));
    let count = {
        let seen = seen.clone();
        MapRequestLayer::new(move |call: OutgoingCall| {
            seen.fetch_add(1, Ordering::SeqCst);
            call
        })
    };
    let client = Client::builder().plugins(&plugins).call_layer(count).build().unwrap();
    let call = client.call::<_, String>("g", "G.Hello", "Bob").address("nobody listens here");
    call.retries(3).timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(seen.load(Ordering::SeqCst), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_layer_hands_on_reaches_the_handler_and_the_calls_that_it_makes() {
    let plugins = Plugins::new();
    let inner = greeter(&plugins).build().unwrap().start().await.unwrap();
    let polite = MapRequestLayer::new(|mut call: IncomingCall| {
        call.set_context(call.context().with_metadata("greeting", "Good morning"));
        call
    });
    let outer = Service::builder("outer").plugins(&plugins).serve_layer(polite).handler(
        "Outer.Hello",
        async |context: Context, name: String| {
            let reply: String = context.client().call("g", "G.Hello", &name).await?;
            Ok(reply)
        },
    );
    let outer = outer.build().unwrap().start().await.unwrap();
    let reply: String = outer.client().call("outer", "Outer.Hello", "Bob").await.unwrap();
    assert_eq!(reply, "Good morning Bob");
    outer.stop().await.unwrap();
    inner.stop().await.unwrap();
}

#[tokio::test]
async fn a_key_of_the_wire_that_a_layer_sets_is_an_error_of_the_call() {
    let plugins = Plugins::new();
    let running = greeter(&plugins).build().unwrap().start().await.unwrap();
    let call = MapRequestLayer::new(|mut call: OutgoingCall| {
        call.metadata_mut().insert("Micro-Topic", "x");
        call
    });
    let publish = MapRequestLayer::new(|mut event: OutgoingEvent| {
        event.metadata_mut().insert("Micro-Topic", "x");
        event
    });
    let client = Client::builder().plugins(&plugins).call_layer(call).publish_layer(publish);
    let client = client.build().unwrap();
    let error = client.call::<_, String>("g", "G.Hello", "Bob").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(client.publish("t", &()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn events_have_layers_on_both_sides_too() {
    let (plugins, log) = (Plugins::new(), Log::default());
    let (tell, mut told) = mpsc::channel(1);
    let publish = {
        let log = log.clone();
        MapRequestLayer::new(move |mut event: OutgoingEvent| {
            note(&log, format!("publish {}", event.topic()));
            event.metadata_mut().insert("by", "layer");
            event
        })
    };
    let receive = {
        let log = log.clone();
        layer_fn(move |next: BoxCloneSyncService<IncomingEvent, (), Error>| {
            let log = log.clone();
            service_fn(move |event: IncomingEvent| {
                note(&log, format!("receive {}", event.context().endpoint()));
                let refused = event.message().body == "\"refused\"";
                let next = next.clone();
                async move {
                    match refused {
                        true => Err(Error::invalid_input("as asked")),
                        false => next.oneshot(event).await,
                    }
                }
            })
        })
    };
    let service = Service::builder("audit")
        .plugins(&plugins)
        .publish_layer(publish)
        .event_layer(receive)
        .subscriber("t", move |context: Context, event: String| {
            let tell = tell.clone();
            async move {
                let by = context.metadata().get("by").map(str::to_owned);
                tell.send((event, by)).await.unwrap();
                Ok(())
            }
        });
    let running = service.build().unwrap().start().await.unwrap();
    for event in ["refused", "fine"] {
        running.client().publish("t", event).await.unwrap();
    }
    let seen = tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap();
    assert_eq!(seen, ("fine".to_owned(), Some("layer".to_owned())));
    running.stop().await.unwrap();
    let mut log = log.lock().unwrap().clone();
    log.sort();
    assert_eq!(log, ["publish t", "publish t", "receive t", "receive t"]);
}

#[tokio::test]
async fn a_layer_that_panics_is_answered_and_the_service_lives_on() {
    let plugins = Plugins::new();
    let panics = MapRequestLayer::new(|call: IncomingCall| {
        assert!(call.body() != "\"panic\"", "as asked");
        call
    });
    let running = greeter(&plugins).serve_layer(panics).build().unwrap().start().await.unwrap();
    let call = async |name: &str| -> Result<String> {
        running.client().call("g", "G.Hello", name).timeout(Duration::from_secs(20)).await
    };
    assert_eq!(call("panic").await.unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(call("Bob").await.unwrap(), "Hello Bob");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_layer_takes_is_the_calls() {
    let (plugins, served) = (Plugins::new(), Arc::new(AtomicUsize::new(0)));
    let count = MapRequestLayer::new({
        let served = served.clone();
        move |call: IncomingCall| {
            served.fetch_add(1, Ordering::SeqCst);
            call
        }
    });
    let running = greeter(&plugins).serve_layer(count).build().unwrap().start().await.unwrap();
    type Calling = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;
    let second = Duration::from_secs(1);
    let wait = MapFutureLayer::new(move |calling: Calling| async move {
        tokio::time::sleep(second).await;
        calling.await
    });
    let client = Client::builder().plugins(&plugins).call_layer(wait).build().unwrap();
    let call = |time| client.call::<_, String>("g", "G.Hello", "Bob").timeout(time).into_future();
    let error = call(second / 2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert_eq!(served.load(Ordering::SeqCst), 0, "nobody waits for it");
    assert_eq!(call(second * 2).await.unwrap(), "Hello Bob");
    running.stop().await.unwrap();
}
