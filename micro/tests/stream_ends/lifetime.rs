//! How long streams live where nothing is wrong, and how soon a silent end is known.

use std::time::Duration;

use micro::memory::Memory;
use micro::stream::{self, Receiver, Sender};
use micro::{ClientOptions, Context, ErrorKind};
use tokio::time::{Instant, sleep, timeout};

use crate::net::Net;
use crate::{LIMIT, Tell, hears, waits};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_only_the_service_sends_lives_on() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let ticks = async |_: Context, upto: u32, numbers: Sender<u32>| {
        for number in 1..=upto {
            sleep(10 * SECOND).await;
            numbers.send(&number).await?;
        }
        Ok(())
    };
    let service = services.service("s").stream_handler("S.Tick", stream::server_streaming(ticks));
    let running = service.build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let mut ticking: Receiver<u32> =
        client.stream("s", "S.Tick").server_streaming(&30u32).await.unwrap();
    for number in 1..=30 {
        assert_eq!(ticking.recv().await.unwrap(), Some(number));
    }
    assert_eq!(ticking.recv().await.unwrap(), None);
    // The service hears of its caller so often that it does not forget it.
    let times: Vec<Instant> = callers.sent().into_iter().map(|(at, _)| at).collect();
    let longest = times.windows(2).map(|two| two[1] - two[0]).max().unwrap();
    assert!(longest <= 26 * SECOND, "the caller was silent for {longest:?}");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_kept_alive_every_25_seconds() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = waits(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let mut open = client.stream("s", "S.Wait").bidirectional::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    let begun = Instant::now();
    assert!(timeout(260 * SECOND, open.recv()).await.is_err(), "it ended by itself");
    let kept: Vec<u64> = (callers.sent().into_iter())
        .filter(|(at, header)| *at > begun && header.get("Micro-Endpoint") == Some("Micro.Probe"))
        .map(|(at, _)| (at - begun).as_secs())
        .collect();
    assert_eq!(kept.len(), 10, "{kept:?}");
    assert!(kept.windows(2).all(|two| two[1] - two[0] == 25), "{kept:?}");
    open.send(&1).await.unwrap();
    drop(open);
    hears(&mut said, "gone").await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_whose_caller_falls_silent_stops_within_the_minute() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = waits(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let open = client.stream("s", "S.Wait").bidirectional::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    sleep(100 * SECOND).await;
    let begun = Instant::now();
    // As when its machine loses its power: nothing comes any more, not even that it is gone.
    callers.takes(false);
    let heard = timeout(100 * SECOND, said.recv()).await.expect("the handler runs for ever");
    assert_eq!(heard.as_deref(), Some("gone"));
    let took = begun.elapsed();
    assert!(took >= 35 * SECOND && took <= 66 * SECOND, "{took:?}");
    drop(open);
    callers.takes(true);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_send_waits_for_the_network_and_no_longer_than_it_may_and_the_stream_goes_on() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = crate::sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default().with_connect_wait(3 * SECOND));
    let sum = client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    callers.takes(false);
    let begun = Instant::now();
    // So many have room on this side.
    let mut sent = 0;
    let error = loop {
        match sum.send(&1).await {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.request(), Some(micro::RequestState::NotSent));
    assert_eq!(begun.elapsed().as_secs(), 3);
    assert!(sent > 10, "{sent}");
    // Somebody who waits is woken when there is room again.
    let waiting = async {
        let begun = Instant::now();
        sum.send(&1).await.unwrap();
        begun.elapsed()
    };
    let back = async {
        sleep(SECOND).await;
        callers.takes(true);
    };
    let (waited, ()) = tokio::join!(waiting, back);
    assert_eq!(waited.as_secs(), 1);
    assert_eq!(timeout(LIMIT, sum.finish()).await.unwrap().unwrap(), sent + 1);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn times_without_end_are_no_flaw() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let mut options = micro::ServerOptions::default().with_stream_idle(Duration::MAX);
    options.stream_grace = Duration::MAX;
    let service = services.service("s").server_options(options);
    let running = waits(service, &tell).build().unwrap().start().await.unwrap();
    let mut options = ClientOptions::default()
        .with_connect_wait(Duration::MAX)
        .with_request_timeout(Duration::MAX)
        .with_stream_idle(Duration::MAX);
    // Past what the setter allows.
    options.stream_keepalive = Duration::MAX;
    let client = callers.client(options);
    let open = client.stream("s", "S.Wait").timeout(Duration::MAX).idle(Duration::MAX);
    let mut open = open.bidirectional::<u32, u32>().await.unwrap();
    hears(&mut said, "begun").await;
    open.send(&1).await.unwrap();
    assert!(timeout(1000 * SECOND, open.recv()).await.is_err(), "it ended by itself");
    drop(open);
    hears(&mut said, "gone").await;
    running.stop().await.unwrap();
}
