//! How much is served at once, and what happens to the rest, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::codec::Json;
use micro::server::SubscriberOptions;
use micro::{Context, ErrorKind, RequestState, Result, ServerOptions, Service};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_endpoint_serves_so_many_calls_at_once_and_refuses_more_while_others_go_on() {
    let (entered, mut enter) = mpsc::channel(10);
    let leave = Arc::new(Semaphore::new(0));
    let service = Service::builder("s")
        .handler("S.Slow", {
            let leave = leave.clone();
            move |_: Context, (): ()| {
                let (entered, leave) = (entered.clone(), leave.clone());
                async move {
                    entered.send(()).await.unwrap();
                    leave.acquire().await.unwrap().forget();
                    Ok(())
                }
            }
        })
        .handler("S.Now", async |_: Context, (): ()| Ok("now"))
        .limit("S.Slow", 2);
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let slow = || client.call::<_, ()>("s", "S.Slow", &()).into_future();
    let served = [tokio::spawn(slow()), tokio::spawn(slow())];
    for _ in &served {
        timeout(LIMIT, enter.recv()).await.unwrap();
    }
    let refused = slow().await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Overloaded, 429));
    assert!(refused.retry_after().is_some_and(|after| !after.is_zero()), "{refused:?}");
    for words in ["2", "S.Slow"] {
        assert!(refused.to_string().contains(words), "{refused}");
    }
    assert_eq!(client.call::<_, String>("s", "S.Now", &()).await.unwrap(), "now");
    leave.add_permits(3);
    for call in served {
        call.await.unwrap().unwrap();
    }
    slow().await.unwrap();
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_limit_for_an_endpoint_that_does_not_exist_is_told_at_the_start() {
    let service = Service::builder("s").limit("S.Nope", 1).build().unwrap();
    let error = service.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("S.Nope"), "{error}");
}

#[tokio::test]
async fn a_body_over_the_servers_limit_is_refused_with_both_sizes() {
    let options = ServerOptions::default().with_max_body(1_000);
    let service = Service::builder("s").server_options(options);
    let service = service.raw_handler("S.Echo", async |_, body| Ok(body));
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let fits = client.call_raw("s", "S.Echo", vec![1; 1_000]).await.unwrap();
    assert_eq!(fits.len(), 1_000);
    let error = client.call_raw("s", "S.Echo", vec![1; 1_001]).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::TooLarge, 413));
    assert_eq!(error.request(), Some(RequestState::Executed), "it is the server's answer");
    assert!(error.to_string().contains("1001") && error.to_string().contains("1000"), "{error}");
    running.stop().await.unwrap();
}

/// How many handlers of a subscription were at work at once, and the order of their events.
async fn handled(options: SubscriberOptions, events: usize) -> (usize, Vec<usize>) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (done, mut all_done) = mpsc::channel(events);
    let handler = {
        let (now, most, seen) = (now.clone(), most.clone(), seen.clone());
        move |_: Context, event: usize| {
            let (now, most, seen) = (now.clone(), most.clone(), seen.clone());
            let done = done.clone();
            async move {
                let at_once = now.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(at_once, Ordering::SeqCst);
                // Later ones need fewer turns, so that they would overtake if they could.
                for _ in 0..(20 - event) * 10 {
                    tokio::task::yield_now().await;
                }
                seen.lock().unwrap().push(event);
                now.fetch_sub(1, Ordering::SeqCst);
                done.send(()).await.unwrap();
                Ok(())
            }
        }
    };
    let service = Service::builder("s").subscriber_with::<Json, _, _, _>("t", options, handler);
    let running = service.build().unwrap().start().await.unwrap();
    for event in 0..events {
        running.client().publish("t", &event).await.unwrap();
    }
    for _ in 0..events {
        timeout(LIMIT, all_done.recv()).await.expect("not all events were handled");
    }
    running.stop().await.unwrap();
    let seen = seen.lock().unwrap().clone();
    (most.load(Ordering::SeqCst), seen)
}

#[tokio::test]
async fn events_are_handled_concurrently_up_to_the_limit() {
    let (most, mut seen) = handled(SubscriberOptions::default().with_max_events(3), 20).await;
    assert_eq!(most, 3);
    seen.sort_unstable();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn events_are_handled_in_order_where_that_is_asked() {
    let (most, seen) = handled(SubscriberOptions::default().in_order(), 20).await;
    assert_eq!(most, 1);
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_queue_and_an_order_can_be_asked_for_together() {
    let options = SubscriberOptions::default().with_queue("q").in_order();
    let (most, seen) = handled(options, 10).await;
    assert_eq!((most, seen), (1, (0..10).collect::<Vec<_>>()));
}

#[tokio::test]
async fn more_calls_than_may_wait_for_a_node_go_to_another_and_are_refused_if_there_is_none() {
    use micro::client::Limits;
    let plugins = micro::Plugins::new();
    let node = async |id: &'static str| {
        let service = Service::builder("s").plugins(&plugins).id(id);
        let service = service
            .handler("S.Never", async |_: Context, (): ()| {
                std::future::pending::<Result<()>>().await
            })
            .handler("S.Who", move |_: Context, (): ()| async move { Ok(id) });
        service.build().unwrap().start().await.unwrap()
    };
    let first = node("first").await;
    let limits = Limits::default().with_open(3);
    let options = micro::ClientOptions::default().with_node_limits(limits);
    let client = micro::Client::builder().plugins(&plugins).options(options).build().unwrap();
    let who = || client.call::<_, String>("s", "S.Who", &()).into_future();
    assert_eq!(who().await.unwrap(), "first");
    let mut held: Vec<_> =
        (0..3).map(|_| client.call::<_, ()>("s", "S.Never", &()).into_future()).collect();
    for call in &mut held {
        assert!(futures_util::poll!(call).is_pending());
    }
    let refused = client.call::<_, String>("s", "S.Who", &()).retries(0).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Overloaded, 429), "{refused}");
    assert_eq!(refused.request(), Some(RequestState::NotSent));
    assert!(refused.retry_after().is_some());
    let second = node("second").await;
    let found = async {
        loop {
            match who().await {
                Ok(who) => return who,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Overloaded),
            }
        }
    };
    assert_eq!(timeout(LIMIT, found).await.expect("the second is never called"), "second");
    drop(held);
    drop((first, second));
}
