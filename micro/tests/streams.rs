//! Streams in all three shapes, between two of ours in one process.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream as items};
use micro::stream::{self, Receiver, Sender, StreamLimits};
use micro::{
    Client, ClientOptions, Context, Error, ErrorKind, Plugins, RequestState, Result, Running,
    ServerOptions, Service, ServiceBuilder,
};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

/// Says that a handler is gone, however it went.
struct Gone(mpsc::Sender<&'static str>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.try_send("gone");
    }
}

async fn count(_: Context, upto: u32, numbers: Sender<u32>) -> Result<()> {
    for number in 1..=upto {
        numbers.send(&number).await?;
    }
    Ok(())
}

async fn fail_after(_: Context, upto: u32, numbers: Sender<u32>) -> Result<()> {
    for number in 1..=upto {
        numbers.send(&number).await?;
    }
    Err(Error::with_code(409, "as asked").with_id("numbers.fail"))
}

async fn sum(_: Context, mut numbers: Receiver<u32>) -> Result<u32> {
    let mut sum = 0;
    while let Some(number) = numbers.recv().await? {
        sum += number;
    }
    Ok(sum)
}

async fn double(_: Context, mut numbers: Receiver<u32>, doubled: Sender<u32>) -> Result<()> {
    while let Some(number) = numbers.recv().await? {
        doubled.send(&(2 * number)).await?;
    }
    Ok(())
}

fn numbers(plugins: &Plugins) -> ServiceBuilder {
    Service::builder("numbers")
        .plugins(plugins)
        .handler("Numbers.One", async |_: Context, (): ()| Ok(1))
        .stream_handler("Numbers.Count", stream::server_streaming(count))
        .stream_handler("Numbers.Fail", stream::server_streaming(fail_after))
        .stream_handler("Numbers.Sum", stream::client_streaming(sum))
        .stream_handler("Numbers.Double", stream::bidirectional(double))
}

/// A service with an endpoint `Numbers.Wait` that never ends by itself; the receiver hears when a
/// handler of it begins, and when it is gone.
fn waiting(plugins: &Plugins) -> (ServiceBuilder, mpsc::Receiver<&'static str>) {
    let (tell, told) = mpsc::channel(100_000);
    let handler = move |_: Context, numbers: Receiver<u32>, _: Sender<u32>| {
        let tell = tell.clone();
        async move {
            let _gone = Gone(tell.clone());
            let _ = tell.try_send("begun");
            let _numbers = numbers;
            pending().await
        }
    };
    (numbers(plugins).stream_handler("Numbers.Wait", stream::bidirectional(handler)), told)
}

async fn start(builder: ServiceBuilder) -> (Running, Client) {
    let running = builder.build().unwrap().start().await.unwrap();
    let client = running.client();
    (running, client)
}

async fn hears(told: &mut mpsc::Receiver<&'static str>, what: &str) {
    assert_eq!(timeout(LIMIT, told.recv()).await.expect("nothing was heard in time"), Some(what));
}

#[tokio::test]
async fn one_request_is_followed_by_many_replies() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let counted = client.stream("numbers", "Numbers.Count").server_streaming::<_, u32>(&5u32);
    let counted: Vec<u32> = counted.await.unwrap().try_collect().await.unwrap();
    assert_eq!(counted, [1, 2, 3, 4, 5]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn many_requests_are_followed_by_one_reply() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let sum = client.stream("numbers", "Numbers.Sum").client_streaming::<u32, u32>().await.unwrap();
    for number in 1..=4 {
        sum.send(&number).await.unwrap();
    }
    sum.send_all(items::iter([Ok(5), Ok(6)])).await.unwrap();
    assert_eq!(sum.finish().await.unwrap(), 21);
    let none = client.stream("numbers", "Numbers.Sum").client_streaming::<u32, u32>();
    assert_eq!(none.await.unwrap().finish().await.unwrap(), 0);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn messages_go_both_ways_also_after_the_half_close() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let double = client.stream("numbers", "Numbers.Double").bidirectional::<u32, u32>();
    let mut double = double.await.unwrap();
    double.send(&1).await.unwrap();
    assert_eq!(double.recv().await.unwrap(), Some(2));
    double.send(&2).await.unwrap();
    double.send(&3).await.unwrap();
    double.finish().unwrap();
    let error = double.send(&4).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    assert_eq!(double.next().await.unwrap().unwrap(), 4);
    assert_eq!(double.next().await.unwrap().unwrap(), 6);
    assert!(double.next().await.is_none());
    assert!(double.next().await.is_none(), "the end stays");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn ten_thousand_messages_arrive_in_order_and_all_of_them() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let double = client.stream("numbers", "Numbers.Double").bidirectional::<u32, u32>();
    let (sender, receiver) = double.await.unwrap().split();
    let sending = async move {
        for number in 0..10_000 {
            sender.send(&number).await?;
        }
        sender.finish()
    };
    let (sent, doubled) = tokio::join!(sending, receiver.try_collect::<Vec<u32>>());
    sent.unwrap();
    assert!(doubled.unwrap().into_iter().eq((0..10_000).map(|number| 2 * number)));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_error_comes_as_it_was_after_the_messages_before_it() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let failing = client.stream("numbers", "Numbers.Fail").server_streaming(&3u32);
    let mut failing: Receiver<u32> = failing.await.unwrap();
    for number in 1..=3 {
        assert_eq!(failing.recv().await.unwrap(), Some(number));
    }
    let error = failing.recv().await.unwrap_err();
    assert_eq!((error.code(), error.id(), error.detail()), (409, "numbers.fail", "as asked"));
    assert_eq!(error.request(), Some(RequestState::Executed));
    assert_eq!(failing.recv().await.unwrap(), None);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_streamed_is_refused_and_says_why() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let open =
        |endpoint: &str| client.stream("numbers", endpoint).server_streaming::<_, u32>(&1u32);
    let unknown = open("Numbers.Nope").await.unwrap().recv().await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound, "{unknown}");
    let unary = client.call::<_, u32>("numbers", "Numbers.Count", &1u32).await.unwrap_err();
    assert_eq!(unary.code(), 400, "{unary}");
    let garbled = client.stream("numbers", "Numbers.Count").server_streaming::<_, u32>("one");
    let garbled = garbled.await.unwrap().recv().await.unwrap_err();
    assert_eq!(garbled.code(), 400, "{garbled}");
    let odd = client.stream("numbers", "Numbers.Count").content_type("application/xml");
    let odd = odd.server_streaming::<_, u32>(&1u32).await.unwrap().recv().await.unwrap_err();
    assert_eq!(odd.kind(), ErrorKind::UnsupportedMediaType, "{odd}");
    let nobody = client.stream("nobody", "Numbers.Count").server_streaming::<_, u32>(&1u32);
    let nobody = nobody.await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound, "{nobody}");
    assert_eq!(nobody.request(), Some(RequestState::NotSent));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_unary_endpoint_answers_a_stream_once_and_the_stream_ends() {
    let (running, client) = start(numbers(&Plugins::default())).await;
    let one = client.stream("numbers", "Numbers.One").client_streaming::<(), u32>().await.unwrap();
    // Its opening is the call: the endpoint decides.
    assert_eq!(one.finish().await.unwrap(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_drops_any_part_of_an_unfinished_stream_stops_its_handler() {
    let (builder, mut told) = waiting(&Plugins::default());
    let (running, client) = start(builder).await;
    for part in ["all", "sender", "receiver"] {
        let open = client.stream("numbers", "Numbers.Wait").bidirectional::<u32, u32>();
        let open = open.await.unwrap();
        hears(&mut told, "begun").await;
        if part == "all" {
            drop(open);
            hears(&mut told, "gone").await;
            continue;
        }
        let (sender, mut receiver) = open.split();
        if part == "sender" {
            drop(sender);
            hears(&mut told, "gone").await;
            let error = receiver.recv().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        } else {
            drop(receiver);
            hears(&mut told, "gone").await;
            let error = sender.send(&1).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        }
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_sum_is_not_committed_when_its_caller_gives_up() {
    let (tell, mut told) = mpsc::channel(100_000);
    let handler = move |_: Context, mut numbers: Receiver<u32>| {
        let tell = tell.clone();
        async move {
            let _gone = Gone(tell.clone());
            while numbers.recv().await?.is_some() {
                let _ = tell.try_send("number");
            }
            let _ = tell.try_send("committed");
            Ok(())
        }
    };
    let builder =
        Service::builder("sums").stream_handler("Sums.Up", stream::client_streaming(handler));
    let (running, client) = start(builder).await;
    let sum = client.stream("sums", "Sums.Up").client_streaming::<u32, ()>().await.unwrap();
    sum.send(&1).await.unwrap();
    hears(&mut told, "number").await;
    drop(sum);
    hears(&mut told, "gone").await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_not_read_is_held_up_to_a_limit_and_one_message_more_is_an_error_on_both_sides() {
    let limits = StreamLimits::default().with_messages(10);
    let (builder, mut told) = waiting(&Plugins::default());
    let builder = builder.server_options(ServerOptions::default().with_stream_limits(limits));
    let (running, client) = start(builder).await;
    let open = client.stream("numbers", "Numbers.Wait").bidirectional::<u32, u32>();
    let mut open = open.await.unwrap();
    hears(&mut told, "begun").await;
    let flood = async {
        loop {
            if let Err(error) = open.send(&1).await {
                return error;
            }
        }
    };
    let error = timeout(LIMIT, flood).await.expect("the handler reads nothing");
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    hears(&mut told, "gone").await;
    let error = open.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_reads_slowly_holds_the_handler_up_and_gets_everything() {
    const MESSAGES: u32 = 20_000;
    const HELD: u32 = 10;
    let (tell, mut told) = mpsc::channel(100_000);
    let sent = Arc::new(AtomicU32::new(0));
    let flood = {
        let sent = sent.clone();
        move |_: Context, _: u32, numbers: Sender<u32>| {
            let (sent, tell) = (sent.clone(), tell.clone());
            async move {
                for number in 1..=MESSAGES {
                    numbers.send(&number).await?;
                    sent.store(number, Ordering::SeqCst);
                    if number == HELD {
                        tell.send("full").await.unwrap();
                    }
                }
                Ok(())
            }
        }
    };
    let plugins = Plugins::default();
    let builder =
        numbers(&plugins).stream_handler("Numbers.Flood", stream::server_streaming(flood));
    let (running, _) = start(builder).await;
    let limits = StreamLimits::default().with_messages(HELD as usize);
    let options = ClientOptions::default().with_stream_limits(limits);
    let client = Client::builder().plugins(&plugins).options(options).build().unwrap();
    let counted = client.stream("numbers", "Numbers.Flood").server_streaming(&1u32);
    let mut counted: Receiver<u32> = counted.await.unwrap();
    hears(&mut told, "full").await;
    let mut read = 0;
    while let Some(number) = timeout(LIMIT, counted.recv()).await.unwrap().unwrap() {
        read += 1;
        assert_eq!(number, read);
        let ahead = sent.load(Ordering::SeqCst) - read;
        assert!(ahead <= HELD, "{ahead} are held");
    }
    assert_eq!(read, MESSAGES);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_lives_as_long_as_it_likes_unless_it_has_a_deadline_or_an_idle_time() {
    let (builder, mut told) = waiting(&Plugins::default());
    let (running, client) = start(builder).await;
    let open = || client.stream("numbers", "Numbers.Wait");

    let mut endless = open().bidirectional::<u32, u32>().await.unwrap();
    hears(&mut told, "begun").await;
    let day = Duration::from_secs(24 * 60 * 60);
    assert!(timeout(day, endless.recv()).await.is_err(), "it ended by itself");
    endless.send(&1).await.unwrap();
    drop(endless);
    hears(&mut told, "gone").await;

    let seconds = |n| Duration::from_secs(n);
    let begun = tokio::time::Instant::now();
    let mut late = open().timeout(seconds(100)).bidirectional::<u32, u32>().await.unwrap();
    hears(&mut told, "begun").await;
    let error = late.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(begun.elapsed().as_secs(), 100);
    hears(&mut told, "gone").await;

    let mut idle = open().idle(seconds(7)).bidirectional::<u32, u32>().await.unwrap();
    hears(&mut told, "begun").await;
    let begun = tokio::time::Instant::now();
    assert!(timeout(seconds(5), idle.recv()).await.is_err());
    idle.send(&1).await.unwrap();
    let error = idle.recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    assert_eq!(begun.elapsed().as_secs(), 12);
    hears(&mut told, "gone").await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_or_is_too_late_is_an_error_of_the_stream() {
    let panics = async |_: Context, _: u32, numbers: Sender<u32>| {
        numbers.send(&1).await?;
        if numbers.send(&2).await.is_ok() {
            panic!("as asked");
        }
        Ok(())
    };
    let builder = numbers(&Plugins::default())
        .stream_handler("Numbers.Panic", stream::server_streaming(panics));
    let (running, client) = start(builder).await;
    let panicking = client.stream("numbers", "Numbers.Panic").server_streaming(&1u32);
    let mut panicking: Receiver<u32> = panicking.await.unwrap();
    assert_eq!(panicking.recv().await.unwrap(), Some(1));
    assert_eq!(panicking.recv().await.unwrap(), Some(2));
    let error = panicking.recv().await.unwrap_err();
    assert_eq!(error.code(), 500, "{error}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn too_many_streams_are_refused_and_calls_are_served_beside_them() {
    let (builder, mut told) = waiting(&Plugins::default());
    let builder = builder.server_options(ServerOptions::default().with_max_streams(1));
    let (running, client) = start(builder).await;
    let open = || client.stream("numbers", "Numbers.Wait").bidirectional::<u32, u32>();
    let first = open().await.unwrap();
    hears(&mut told, "begun").await;
    let error = open().await.unwrap().recv().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    let one: u32 = client.call("numbers", "Numbers.One", &()).await.unwrap();
    assert_eq!(one, 1);
    drop(first);
    hears(&mut told, "gone").await;
    let again = open().await.unwrap();
    hears(&mut told, "begun").await;
    drop(again);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_that_stops_tells_the_callers_of_streams_that_have_no_end() {
    let (builder, mut told) = waiting(&Plugins::default());
    let options = ServerOptions::default().with_stream_grace(Duration::from_millis(100));
    let builder = builder.server_options(options);
    let (running, client) = start(builder).await;
    let open = client.stream("numbers", "Numbers.Wait").bidirectional::<u32, u32>();
    let mut open = open.await.unwrap();
    hears(&mut told, "begun").await;
    let (stopped, error) = tokio::join!(running.stop(), open.recv());
    stopped.unwrap();
    let error = error.unwrap_err();
    assert_eq!((error.code(), error.kind()), (503, ErrorKind::Unavailable), "{error}");
    hears(&mut told, "gone").await;
}

#[tokio::test]
async fn metadata_and_the_deadline_reach_the_handler_and_the_registry_knows_that_it_streams() {
    let handler = async |context: Context, _: u32, said: Sender<String>| {
        said.send(&context.metadata().get("tenant").unwrap_or("none").to_owned()).await?;
        said.send(&format!("{}", context.time_left().is_some())).await
    };
    let builder = numbers(&Plugins::default())
        .stream_handler("Numbers.Say", stream::server_streaming(handler));
    let (running, client) = start(builder).await;
    let said = client.stream("numbers", "Numbers.Say").metadata("tenant", "blue").timeout(LIMIT);
    let said: Receiver<String> = said.server_streaming(&1u32).await.unwrap();
    assert_eq!(said.try_collect::<Vec<_>>().await.unwrap(), ["blue", "true"]);
    let services = client.registry().get(&"numbers".parse().unwrap()).await.unwrap();
    let streams: Vec<&str> = (services[0].endpoints.iter())
        .filter(|endpoint| endpoint.metadata.get("stream").is_some_and(|v| v == "true"))
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    assert_eq!(
        streams,
        ["Numbers.Count", "Numbers.Double", "Numbers.Fail", "Numbers.Say", "Numbers.Sum"]
    );
    running.stop().await.unwrap();
}
