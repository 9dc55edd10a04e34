//! Streams over a real nats-server: outages, ends without a word, sizes, crowds.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use micro::nats::async_nats;
use micro::stream::{self, Bidirectional, Receiver, Sender};
use micro::{
    Client, ClientOptions, Context, Error, ErrorKind, Header, PluginConfig, Plugins, RequestState,
    Result, Running, Service, ServiceBuilder,
};
use micro_testkit::server::{NatsCluster, NatsServer};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

/// For what must come sooner or later.
const LIMIT: Duration = Duration::from_secs(30);

/// Within this who has lost something knows it; usually in a second, this is for a busy machine.
const SOON: Duration = Duration::from_secs(12);

/// What handlers say, and that they are gone, however they went.
#[derive(Clone)]
struct Tell(mpsc::Sender<String>);

impl Tell {
    fn new() -> (Self, mpsc::Receiver<String>) {
        let (tell, said) = mpsc::channel(100_000);
        (Self(tell), said)
    }

    fn say(&self, what: impl Into<String>) {
        let _ = self.0.try_send(what.into());
    }
}

struct Gone(Tell);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.say("gone");
    }
}

async fn hears(said: &mut mpsc::Receiver<String>, what: &str) {
    let next = timeout(LIMIT, said.recv()).await.expect("nothing was heard in time");
    assert_eq!(next.as_deref(), Some(what));
}

/// A connection of its own to this address.
fn config(address: &str) -> (Plugins, PluginConfig) {
    (Plugins::new(), PluginConfig::default().with_addresses([address.to_owned()]))
}

fn client_at(address: &str, options: ClientOptions) -> Client {
    let (plugins, config) = config(address);
    Client::builder()
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
        .options(options)
        .build()
        .unwrap()
}

/// `S.Echo` sends back what comes, `S.Sum` adds it up, `S.Count` counts up, `S.Wait` waits, `S.One`
/// answers.
fn service_at(address: &str, tell: &Tell) -> ServiceBuilder {
    let (plugins, config) = config(address);
    let service = Service::builder("s")
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap());
    let (echoes, sums, waits) = (tell.clone(), tell.clone(), tell.clone());
    let echo = move |_: Context, mut texts: Receiver<String>, sender: Sender<String>| {
        let gone = Gone(echoes.clone());
        async move {
            let gone = gone;
            loop {
                match texts.recv().await {
                    Ok(Some(text)) => sender.send(&text).await?,
                    Ok(None) => return Ok(()),
                    Err(error) => {
                        gone.0.say(format!("{:?}", error.kind()));
                        return Err(error);
                    }
                }
            }
        }
    };
    let sum = move |_: Context, mut numbers: Receiver<u64>| {
        let gone = Gone(sums.clone());
        async move {
            let gone = gone;
            let mut sum = 0;
            while let Some(number) = numbers.recv().await? {
                sum += number;
            }
            gone.0.say(format!("sum {sum}"));
            Ok(sum)
        }
    };
    let count = async |_: Context, upto: u64, numbers: Sender<u64>| {
        for number in 1..=upto {
            numbers.send(&number).await?;
        }
        Ok(())
    };
    let wait = move |_: Context, _: u64, numbers: Sender<u64>| {
        let gone = Gone(waits.clone());
        async move {
            gone.0.say("begun");
            let _held = (gone, numbers);
            pending::<Result<()>>().await
        }
    };
    service
        .handler("S.One", async |_: Context, (): ()| Ok(1))
        .stream_handler("S.Echo", stream::bidirectional(echo))
        .stream_handler("S.Sum", stream::client_streaming(sum))
        .stream_handler("S.Count", stream::server_streaming(count))
        .stream_handler("S.Wait", stream::server_streaming(wait))
}

async fn start(address: &str, tell: &Tell) -> Running {
    service_at(address, tell).build().unwrap().start().await.unwrap()
}

async fn echo(client: &Client) -> Bidirectional<str, String> {
    client.stream("s", "S.Echo").bidirectional().await.unwrap()
}

/// Calls until it is served again.
async fn served(client: &Client) {
    let calling = async { while client.call::<_, u32>("s", "S.One", &()).await.is_err() {} };
    timeout(LIMIT, calling).await.expect("it is not served again");
}

#[tokio::test]
async fn a_nats_server_that_is_killed_ends_every_stream_on_both_sides_and_calls_go_on() {
    let mut nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let running = start(&nats.address(), &tell).await;
    let client = client_at(&nats.address(), ClientOptions::default());
    let mut streams = Vec::new();
    for at in 0..10 {
        let mut open = echo(&client).await;
        open.send(&at.to_string()).await.unwrap();
        assert_eq!(open.recv().await.unwrap(), Some(at.to_string()));
        streams.push(open);
    }
    let mut waits: Receiver<u64> = client.stream("s", "S.Wait").server_streaming(&0).await.unwrap();
    hears(&mut said, "begun").await;
    nats.kill().await;
    nats.restart().await;
    served(&client).await;
    for mut open in streams {
        let error = timeout(LIMIT, open.recv()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("may be missing"), "{error}");
        let error = open.send("more").await.unwrap_err();
        assert_eq!(error.request(), Some(RequestState::NotSent), "{error}");
    }
    let error = timeout(LIMIT, waits.recv()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    // All handlers are gone, those that wait for nothing too.
    let mut gone = 0;
    while gone < 11 {
        let next = timeout(LIMIT, said.recv()).await.expect("a handler runs on").unwrap();
        match &*next {
            "gone" => gone += 1,
            other => assert_eq!(other, "Unavailable"),
        }
    }
    let mut again = echo(&client).await;
    again.send("again").await.unwrap();
    assert_eq!(again.recv().await.unwrap().as_deref(), Some("again"));
    running.stop().await.unwrap();
}

/// Streams that are flooded while the nats-server is killed, over and over.
#[tokio::test]
async fn no_gap_is_silent_however_often_nats_is_killed() {
    let mut nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let running = start(&nats.address(), &tell).await;
    let client = client_at(&nats.address(), ClientOptions::default());
    for _ in 0..5 {
        served(&client).await;
        let begun = Arc::new(AtomicBool::new(false));
        let counting = {
            let (client, begun) = (client.clone(), begun.clone());
            tokio::spawn(async move {
                let count = client.stream("s", "S.Count").server_streaming(&u64::MAX);
                let mut count: Receiver<u64> = count.await?;
                let mut last = 0;
                loop {
                    match count.recv().await {
                        Ok(Some(number)) => assert_eq!(number, last + 1, "a silent gap"),
                        Ok(None) => panic!("it ended well after {last}"),
                        Err(error) => return Err::<(), Error>(error),
                    }
                    last += 1;
                    begun.store(true, Ordering::SeqCst);
                }
            })
        };
        let summing = {
            let client = client.clone();
            tokio::spawn(async move {
                let sum = client.stream("s", "S.Sum").client_streaming::<u64, u64>().await?;
                loop {
                    sum.send(&1).await?;
                    tokio::task::yield_now().await;
                }
                #[allow(unreachable_code, reason = "it says what the block gives")]
                Ok::<u64, Error>(0)
            })
        };
        while !begun.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        nats.kill().await;
        nats.restart().await;
        let back = Instant::now();
        let error =
            timeout(LIMIT, counting).await.expect("it waits for ever").unwrap().unwrap_err();
        // Who cannot keep up is told so, which may come first.
        let expected = [ErrorKind::Unavailable, ErrorKind::Overloaded];
        assert!(expected.contains(&error.kind()), "{error}");
        let error = timeout(LIMIT, summing).await.expect("it sends for ever").unwrap().unwrap_err();
        assert!(expected.contains(&error.kind()), "{error}");
        assert!(back.elapsed() < SOON, "they knew of it only after {:?}", back.elapsed());
        // No sum was told.
        hears(&mut said, "gone").await;
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_service_whose_own_connection_broke_ends_its_streams() {
    let mut cluster = NatsCluster::start(2).await;
    let addresses = cluster.addresses();
    let (tell, mut said) = Tell::new();
    let running = start(&addresses[0], &tell).await;
    let client = client_at(&addresses[1], ClientOptions::default());
    served(&client).await;
    let mut open = echo(&client).await;
    open.send("1").await.unwrap();
    assert_eq!(open.recv().await.unwrap().as_deref(), Some("1"));
    cluster.server(0).kill().await;
    // This reaches nobody, and who sent it does not know.
    let sent = open.send("2").await;
    cluster.server(0).restart().await;
    let error = match sent {
        Ok(()) => timeout(LIMIT, open.recv()).await.unwrap().unwrap_err(),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    loop {
        let next = timeout(LIMIT, said.recv()).await.expect("the handler runs on").unwrap();
        if next == "gone" {
            break;
        }
        assert_eq!(next, "Unavailable");
    }
    served(&client).await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_stops_at_its_next_send_when_its_callers_connection_is_gone() {
    let nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let flag = Arc::new(tokio::sync::Notify::new());
    let waits = flag.clone();
    let handler = move |_: Context, _: u64, numbers: Sender<u64>| {
        let (gone, waits) = (Gone(tell.clone()), waits.clone());
        async move {
            gone.0.say("begun");
            waits.notified().await;
            let begun = Instant::now();
            loop {
                if let Err(error) = numbers.send(&1).await {
                    gone.0.say(format!("{:?}", error.kind()));
                    return Err(error);
                }
                assert!(begun.elapsed() < LIMIT, "nobody told it");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    let (unused, _) = Tell::new();
    let service = service_at(&nats.address(), &unused)
        .stream_handler("S.Later", stream::server_streaming(handler));
    let running = service.build().unwrap().start().await.unwrap();
    // By hand, so that nothing is said when the connection goes.
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let inbox = raw.subscribe("_INBOX.raw").await.unwrap();
    let header: Header = [
        ("Micro-ID", "0"),
        ("Micro-Stream", "0"),
        ("Micro-Endpoint", "S.Later"),
        ("Content-Type", "application/json"),
    ]
    .into_iter()
    .collect();
    for body in ["{}", "1"] {
        let packet = micro_core::wire::envelope::encode(&header, body.as_bytes());
        let to = running.node().address.clone();
        raw.publish_with_reply(to, "_INBOX.raw", packet).await.unwrap();
    }
    raw.flush().await.unwrap();
    hears(&mut said, "begun").await;
    drop(inbox);
    raw.drain().await.unwrap();
    while nats.monitor("/connz").await["num_connections"].as_u64() != Some(1) {}
    flag.notify_one();
    let next = timeout(LIMIT, said.recv()).await.expect("the handler runs on").unwrap();
    assert!(["Unavailable", "gone"].contains(&&*next), "{next}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_has_nothing_more_to_send_learns_of_a_dead_service_by_its_keepalive() {
    let nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let running = start(&nats.address(), &tell).await;
    let options = ClientOptions::default().with_stream_keepalive(Duration::from_millis(300));
    let client = client_at(&nats.address(), options);
    let mut waits: Receiver<u64> = client.stream("s", "S.Wait").server_streaming(&0).await.unwrap();
    hears(&mut said, "begun").await;
    let mut half_closed = echo(&client).await;
    half_closed.send("1").await.unwrap();
    assert_eq!(half_closed.recv().await.unwrap().as_deref(), Some("1"));
    // Without a word.
    drop(running);
    let error = timeout(LIMIT, waits.recv()).await.expect("it waits for ever").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.request(), Some(RequestState::Unknown), "{error}");
    let error = timeout(LIMIT, half_closed.recv()).await.expect("it waits for ever").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_thousand_streams_at_once_each_get_their_own_and_leave_nothing() {
    const STREAMS: usize = 1_000;
    let nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let running = start(&nats.address(), &tell).await;
    let client = client_at(&nats.address(), ClientOptions::default());
    let mut opening = tokio::task::JoinSet::new();
    let done = Arc::new(AtomicUsize::new(0));
    for at in 0..STREAMS {
        let (client, done) = (client.clone(), done.clone());
        opening.spawn(async move {
            let mut open = echo(&client).await;
            for turn in 0..3 {
                let text = format!("{at} {turn}");
                open.send(&text).await.unwrap();
                assert_eq!(open.recv().await.unwrap(), Some(text));
            }
            // All are open at once.
            done.fetch_add(1, Ordering::SeqCst);
            while done.load(Ordering::SeqCst) < STREAMS {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            open.finish().unwrap();
            assert_eq!(open.recv().await.unwrap(), None);
        });
    }
    let all = async {
        while let Some(one) = opening.join_next().await {
            one.unwrap()
        }
    };
    timeout(LIMIT * 2, all).await.expect("not all of them came to their end");
    for _ in 0..STREAMS {
        hears(&mut said, "gone").await;
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn messages_go_up_to_the_largest_and_one_byte_more_is_refused_and_the_stream_goes_on() {
    let nats = NatsServer::start_configured("max_payload: 65536").await;
    let (tell, _said) = Tell::new();
    let handler = async |_: Context, mut texts: Receiver<String>| {
        let mut lengths = Vec::new();
        while let Some(text) = texts.recv().await? {
            lengths.push(text.len());
        }
        Ok(lengths)
    };
    let service = service_at(&nats.address(), &tell)
        .stream_handler("S.Lengths", stream::client_streaming(handler));
    let running = service.build().unwrap().start().await.unwrap();
    let client = client_at(&nats.address(), ClientOptions::default());
    let lengths = client.stream("s", "S.Lengths").client_streaming::<str, Vec<usize>>();
    let lengths = lengths.await.unwrap();
    // An envelope takes four bytes for three, and its header nobody promises how many.
    let (mut fits, mut exceeds, mut sent) = (40_000_usize, 60_000, Vec::new());
    while fits + 1 < exceeds {
        let size = fits.midpoint(exceeds);
        match lengths.send(&"x".repeat(size)).await {
            Ok(()) => {
                fits = size;
                sent.push(size);
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
                assert_eq!(error.request(), Some(RequestState::NotSent));
                assert!(error.detail().contains("65536"), "{error}");
                exceeds = size;
            }
        }
    }
    assert!(fits > 45_000, "{fits}");
    assert_eq!(lengths.finish().await.unwrap(), sent);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_keeps_an_idle_stream_alive_is_seen_on_the_wire() {
    let nats = NatsServer::start().await;
    let (tell, mut said) = Tell::new();
    let running = start(&nats.address(), &tell).await;
    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut tap = raw.subscribe(running.node().address.clone()).await.unwrap();
    raw.flush().await.unwrap();
    let options = ClientOptions::default().with_stream_keepalive(Duration::from_millis(200));
    let client = client_at(&nats.address(), options);
    let _waits: Receiver<u64> = client.stream("s", "S.Wait").server_streaming(&0).await.unwrap();
    hears(&mut said, "begun").await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let message = timeout(LIMIT, tap.next()).await.expect("nothing keeps it alive").unwrap();
        let (header, _) = micro_core::wire::envelope::decode(&message.payload).unwrap();
        if header.get("Micro-Endpoint") == Some("Micro.Probe") {
            assert_eq!(header.get("Micro-Stream"), None, "it would be a message");
            seen.push(Instant::now());
        }
    }
    // The first one is said with the opening.
    assert!(seen[3] - seen[1] >= Duration::from_millis(390), "{:?}", seen[3] - seen[1]);
    running.stop().await.unwrap();
}
