//! Calls and events, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro::client::Strategy;
use micro::{
    Bytes, Client, ClientOptions, Context, ErrorKind, Plugins, RequestState, Result, Running,
    Service,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Barrier, mpsc};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Hello {
    name: String,
}

fn hello(name: &str) -> Hello {
    Hello { name: name.to_owned() }
}

async fn greet(_: Context, hello: Hello) -> Result<String> {
    Ok(format!("Hello {}", hello.name))
}

fn client(plugins: &Plugins) -> Client {
    Client::builder().plugins(plugins).build().unwrap()
}

/// A greeter that answers with its id.
async fn numbered(plugins: &Plugins, id: &'static str) -> Running {
    let service = Service::builder("greeter").plugins(plugins).id(id);
    let service = service.handler("Greeter.Who", move |_: Context, (): ()| async move { Ok(id) });
    service.build().unwrap().start().await.unwrap()
}

#[tokio::test]
async fn a_function_and_a_closure_serve_calls() {
    let service = Service::builder("greeter")
        .handler("Greeter.Hello", greet)
        .handler("Greeter.Twice", async |_: Context, hello: Hello| {
            Ok(vec![hello.name.clone(), hello.name])
        });
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let reply: String = client.call("greeter", "Greeter.Hello", &hello("Bob")).await.unwrap();
    assert_eq!(reply, "Hello Bob");
    let twice: Vec<String> = client.call("greeter", "Greeter.Twice", &hello("x")).await.unwrap();
    assert_eq!(twice, ["x", "x"]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn raw_bytes_of_any_content_type_go_both_ways() {
    let service = Service::builder("echo").raw_handler("Echo.Echo", async |_, body| Ok(body));
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let body = Bytes::from((0..=255u8).cycle().take(100_000).collect::<Vec<_>>());
    let plain = client.call_raw("echo", "Echo.Echo", body.clone()).await.unwrap();
    assert_eq!(plain, body);
    let other =
        client.call_raw("echo", "Echo.Echo", body.clone()).content_type("application/x-own");
    assert_eq!(other.await.unwrap(), body);
    assert_eq!(client.call_raw("echo", "Echo.Echo", Bytes::new()).await.unwrap(), "");
}

#[cfg(feature = "protobuf")]
#[tokio::test]
async fn prost_messages_go_both_ways() {
    let service = Service::builder("proto")
        .proto_handler("Proto.Next", async |_: Context, number: u64| Ok(number + 1));
    let running = service.build().unwrap().start().await.unwrap();
    let next: u64 = running.client().call_proto("proto", "Proto.Next", &41u64).await.unwrap();
    assert_eq!(next, 42);
}

#[tokio::test]
async fn metadata_travels_and_what_belongs_to_the_wire_does_not() {
    let service =
        Service::builder("meta").handler("Meta.Show", async |context: Context, (): ()| {
            let all = context.metadata().iter();
            Ok(all.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Vec<_>>())
        });
    let running = service.build().unwrap().start().await.unwrap();
    let call = running.client().call("meta", "Meta.Show", &()).metadata("lower-key", "ä\n\"");
    let seen: Vec<(String, String)> = call.metadata("Empty", "").await.unwrap();
    let expected = [("lower-key", "ä\n\""), ("Empty", "")];
    assert_eq!(seen, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));

    let reserved = running.client().call("meta", "Meta.Show", &()).metadata("micro-topic", "x");
    let error = IntoFuture::into_future(reserved).await.map(|_: Vec<()>| ()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.request(), Some(RequestState::NotSent));
}

#[tokio::test]
async fn a_handlers_own_calls_inherit_metadata_and_deadline() {
    let plugins = Plugins::new();
    let inner = Service::builder("inner").plugins(&plugins).handler(
        "Inner.Show",
        async |context: Context, (): ()| {
            let left = context.time_left().map_or(0, |left| left.as_millis() as u64);
            let metadata = context.metadata();
            Ok((left, metadata.get("who").map(str::to_owned), metadata.len()))
        },
    );
    let inner = inner.build().unwrap().start().await.unwrap();
    let outer = Service::builder("outer").plugins(&plugins).handler(
        "Outer.Show",
        async |context: Context, (): ()| {
            let call = context.client().call("inner", "Inner.Show", &());
            let seen: (u64, Option<String>, usize) = call.metadata("own", "1").await?;
            Ok(seen)
        },
    );
    let outer = outer.build().unwrap().start().await.unwrap();
    let call = client(&plugins).call("outer", "Outer.Show", &()).metadata("who", "Bob");
    let seen: (u64, Option<String>, usize) = call.timeout(Duration::from_secs(7)).await.unwrap();
    assert!((1..=7000).contains(&seen.0), "{} ms were left of 7 s", seen.0);
    assert_eq!((seen.1.as_deref(), seen.2), (Some("Bob"), 2));
    inner.stop().await.unwrap();
    outer.stop().await.unwrap();
}

#[tokio::test]
async fn calls_at_once_all_get_their_own_answer() {
    let service = Service::builder("echo").handler("Echo.Later", async |_: Context, n: u64| {
        // Half of them are ready at once, half are not.
        if n.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        Ok(n)
    });
    let running = service.build().unwrap().start().await.unwrap();
    let calls = (0..500u64).map(|n| {
        let call = running.client().call::<_, u64>("echo", "Echo.Later", &n);
        tokio::spawn(async move { (n, call.await.unwrap()) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (asked, answered) = call.await.unwrap();
        assert_eq!(asked, answered);
    }
}

#[tokio::test]
async fn round_robin_calls_every_node_in_turn_and_random_calls_all() {
    let plugins = Plugins::new();
    let nodes = [numbered(&plugins, "a").await, numbered(&plugins, "b").await];
    let options = ClientOptions::default().with_strategy(Strategy::RoundRobin);
    let round = Client::builder().plugins(&plugins).options(options).build().unwrap();
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(round.call::<_, String>("greeter", "Greeter.Who", &()).await.unwrap());
    }
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{seen:?}");

    let random = client(&plugins);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        seen.insert(random.call::<_, String>("greeter", "Greeter.Who", &()).await.unwrap());
    }
    assert_eq!(seen.len(), 2);
    drop(nodes);
}

#[tokio::test]
async fn a_node_that_is_gone_costs_no_call() {
    let plugins = Plugins::new();
    let (stays, goes) = (numbered(&plugins, "stays").await, numbered(&plugins, "goes").await);
    let client = client(&plugins);
    let who = || client.call::<_, String>("greeter", "Greeter.Who", &());
    for _ in 0..20 {
        who().await.unwrap();
    }
    // Without a word to the registry, as if it had crashed.
    drop(goes);
    for _ in 0..50 {
        assert_eq!(who().await.unwrap(), "stays");
    }
    drop(stays);
    let error = who().timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
}

#[tokio::test]
async fn what_was_found_by_address_needs_no_registry() {
    let plugins = Plugins::new();
    let service = Service::builder("greeter").plugins(&plugins).address("here");
    let running = service.handler("Greeter.Hello", greet).build().unwrap().start().await.unwrap();
    assert_eq!(running.node().address, "here");
    let call = client(&plugins).call::<_, String>("any name", "Greeter.Hello", &hello("Bob"));
    assert_eq!(call.address("here").await.unwrap(), "Hello Bob");
}

#[tokio::test]
async fn stopping_finishes_what_was_accepted_and_deregisters() {
    let plugins = Plugins::new();
    let (entered, leave) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let service = Service::builder("slow").plugins(&plugins).handler("Slow.Wait", {
        let (entered, leave) = (entered.clone(), leave.clone());
        move |_: Context, (): ()| {
            let (entered, leave) = (entered.clone(), leave.clone());
            async move {
                entered.wait().await;
                leave.wait().await;
                Ok("done")
            }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let client = client(&plugins);
    let call = tokio::spawn(client.call::<_, String>("slow", "Slow.Wait", &()).into_future());
    entered.wait().await;
    let stopping = tokio::spawn(running.stop());
    // It is gone from the registry while the call still runs.
    let mut watcher = client.registry().watch(Default::default()).await.unwrap();
    tokio::time::timeout(LIMIT, async {
        loop {
            let known = client.registry().list().await.unwrap();
            if known.is_empty() {
                break;
            }
            watcher.next().await.unwrap();
        }
    })
    .await
    .unwrap();
    leave.wait().await;
    assert_eq!(call.await.unwrap().unwrap(), "done");
    tokio::time::timeout(LIMIT, stopping).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn events_reach_subscribers_with_their_metadata() {
    let (tell, mut told) = mpsc::channel(10);
    let service = Service::builder("audit").subscriber("orders.*", {
        move |context: Context, event: Hello| {
            let tell = tell.clone();
            async move {
                let tenant = context.metadata().get("tenant").map(str::to_owned);
                tell.send((context.endpoint().to_owned(), event.name, tenant)).await.unwrap();
                Ok(())
            }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let publish = running.client().publish("orders.new", &hello("one")).metadata("tenant", "blue");
    publish.await.unwrap();
    let seen = tokio::time::timeout(LIMIT, told.recv()).await.unwrap().unwrap();
    assert_eq!(seen, ("orders.new".to_owned(), "one".to_owned(), Some("blue".to_owned())));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_subscriber_survives_panics_errors_and_events_that_do_not_decode() {
    let (tell, mut told) = mpsc::channel(10);
    let handled = Arc::new(AtomicUsize::new(0));
    let service = Service::builder("audit").subscriber("orders", {
        let handled = handled.clone();
        move |_: Context, event: Hello| {
            let (tell, handled) = (tell.clone(), handled.clone());
            async move {
                handled.fetch_add(1, Ordering::Relaxed);
                match event.name.as_str() {
                    "panic" => panic!("as asked"),
                    "error" => Err(micro::Error::internal("as asked")),
                    _ => {
                        tell.send(()).await.unwrap();
                        Ok(())
                    }
                }
            }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    client.publish("orders", &hello("panic")).await.unwrap();
    client.publish("orders", &hello("error")).await.unwrap();
    client.publish("orders", &17).await.unwrap();
    client.publish("orders", &hello("fine")).await.unwrap();
    tokio::time::timeout(LIMIT, told.recv()).await.unwrap().unwrap();
    running.stop().await.unwrap();
    assert_eq!(handled.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn services_of_different_plugins_share_nothing() {
    let running = numbered(&Plugins::new(), "a").await;
    let error =
        client(&Plugins::new()).call::<_, String>("greeter", "Greeter.Who", &()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    drop(running);
}

#[tokio::test]
async fn stopping_takes_no_longer_than_it_may_and_says_what_was_not_done() {
    let (enter, mut entered) = mpsc::channel(1);
    let service = Service::builder("slow").stop_timeout(Duration::from_millis(300)).handler(
        "Slow.Never",
        move |_: Context, (): ()| {
            let enter = enter.clone();
            async move {
                enter.send(()).await.unwrap();
                std::future::pending::<Result<()>>().await
            }
        },
    );
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let call = client.call::<_, ()>("slow", "Slow.Never", &()).timeout(LIMIT);
    let calling = tokio::spawn(call.into_future());
    entered.recv().await.unwrap();
    let stopped = tokio::time::timeout(LIMIT, running.stop()).await.unwrap();
    let error = stopped.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.to_string().starts_with("1 "), "{error}");
    calling.abort();
}
