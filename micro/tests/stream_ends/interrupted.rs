//! A network that was away: what came before and after it is never put together in silence.

use std::sync::Arc;
use std::time::Duration;

use micro::memory::Memory;
use micro::stream::{self, Receiver, Sender};
use micro::{ClientOptions, Context, ErrorKind, RequestState};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use crate::net::Net;
use crate::{LIMIT, Tell, hears, sums, waits};

#[tokio::test]
async fn what_a_service_sends_after_its_network_was_away_does_not_end_well() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let go_on = Arc::new(Notify::new());
    let waits = go_on.clone();
    let handler = move |_: Context, _: u32, numbers: Sender<u32>| {
        let waits = waits.clone();
        async move {
            numbers.send(&1).await?;
            waits.notified().await;
            // What was lost would have been here.
            numbers.send(&3).await
        }
    };
    let service = services.service("s").stream_handler("S.Few", stream::server_streaming(handler));
    let running = service.build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let mut few: Receiver<u32> = client.stream("s", "S.Few").server_streaming(&0u32).await.unwrap();
    assert_eq!(few.recv().await.unwrap(), Some(1));
    services.interrupt();
    go_on.notify_one();
    let error = timeout(LIMIT, few.recv()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.request(), Some(RequestState::Executed));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_a_caller_sends_after_its_network_was_away_is_not_added_up() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let sum = client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap();
    sum.send(&1).await.unwrap();
    hears(&mut said, "begun").await;
    hears(&mut said, "1").await;
    callers.interrupt();
    // It may be taken, and the next is not.
    let _ = sum.send(&3).await;
    let error = sum.send(&4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    hears(&mut said, "gone").await;
    let error = sum.finish().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_waited_while_the_network_was_away_is_not_sent_after_what_is_missing() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let sum = client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    callers.takes(false);
    sum.send(&2).await.unwrap();
    let finished = tokio::spawn(sum.finish());
    while callers.refused() < 2 {
        tokio::task::yield_now().await;
    }
    callers.interrupt();
    callers.takes(true);
    let error = timeout(LIMIT, finished).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    hears(&mut said, "gone").await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn streams_that_are_opened_after_the_network_was_away_know_nothing_of_it() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    for sum in ["sum 1", "sum 1"] {
        let stream = client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap();
        hears(&mut said, "begun").await;
        stream.send(&1).await.unwrap();
        assert_eq!(stream.finish().await.unwrap(), 1);
        for heard in ["1", sum, "gone"] {
            hears(&mut said, heard).await;
        }
        callers.interrupt();
        services.interrupt();
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_whose_opening_has_not_left_yet_is_opened_when_the_network_is_back() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, _said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default().with_retries(0));
    callers.takes(false);
    let opening = tokio::spawn({
        let client = client.clone();
        async move { client.stream("s", "S.Sum").client_streaming::<u32, u32>().await }
    });
    // Until it waits for the network.
    while callers.refused() == 0 {
        tokio::task::yield_now().await;
    }
    callers.interrupt();
    callers.takes(true);
    let sum = timeout(LIMIT, opening).await.unwrap().unwrap().unwrap();
    sum.send(&5).await.unwrap();
    assert_eq!(sum.finish().await.unwrap(), 5);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_only_receives_soon_knows_that_something_may_be_missing() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = waits(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let mut open = client.stream("s", "S.Wait").bidirectional::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    sleep(Duration::from_secs(30)).await;
    let begun = Instant::now();
    callers.interrupt();
    let error = open.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(begun.elapsed() <= Duration::from_secs(1), "{:?}", begun.elapsed());
    hears(&mut said, "gone").await;

    let mut open = client.stream("s", "S.Wait").bidirectional::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    services.interrupt();
    hears(&mut said, "gone").await;
    let error = open.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(begun.elapsed() <= Duration::from_secs(7), "{:?}", begun.elapsed());
    running.stop().await.unwrap();
}
