//! What a caller is told, and what it leaves behind.

use std::time::Duration;

use micro::memory::Memory;
use micro::stream::{self, Receiver, Sender, StreamLimits};
use micro::transport::{Arrival, Bind, Transport, recv};
use micro::{ClientOptions, Context, Error, ErrorKind, RequestState, Result};
use micro_core::wire::{Event, Limits, Session};
use tokio::time::timeout;

use crate::net::Net;
use crate::{LIMIT, Tell, hears, sums, waits};

#[tokio::test]
async fn an_opening_that_nobody_answers_is_a_timeout_also_where_the_stream_has_a_limit() {
    let memory = Memory::new();
    let net = Net::new(&memory);
    // It listens, and says nothing.
    let (_port, _incoming) = memory.transport().open(Bind::Address("mute".into())).await.unwrap();
    let client = net.client(ClientOptions::default());
    let short = Duration::from_millis(50);
    for limited in ["timeout", "idle"] {
        let open = client.stream("s", "S.Wait").address("mute");
        let open = match limited {
            "timeout" => open.timeout(short),
            _ => open.idle(short),
        };
        let error = timeout(LIMIT, open.bidirectional::<u32, u32>()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{limited}: {error}");
        assert_eq!(error.request(), Some(RequestState::Unknown), "{limited}: {error}");
    }
}

#[tokio::test]
async fn a_stream_needs_nobody_to_hold_its_client() {
    let memory = Memory::new();
    let (tell, mut said) = Tell::new();
    let services = Net::new(&memory);
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let sum = async {
        let client = Net::new(&memory).client(ClientOptions::default());
        client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap()
    };
    let sum = sum.await;
    hears(&mut said, "begun").await;
    sum.send(&1).await.unwrap();
    hears(&mut said, "1").await;
    assert_eq!(sum.finish().await.unwrap(), 1);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_gives_up_after_the_end_that_the_network_has_not_taken_yet_has_no_sum() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let sum = client.stream("s", "S.Sum").client_streaming::<u32, u32>().await.unwrap();
    sum.send(&1).await.unwrap();
    hears(&mut said, "begun").await;
    hears(&mut said, "1").await;
    callers.takes(false);
    sum.send(&2).await.unwrap();
    assert!(timeout(Duration::from_millis(100), sum.finish()).await.is_err());
    callers.takes(true);
    hears(&mut said, "gone").await;
    running.stop().await.unwrap();
}

#[tokio::test]
async fn an_opening_that_is_dropped_stops_its_handler() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let (tell, mut said) = Tell::new();
    let running = waits(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    // The handler begins, and its caller hears nothing of it.
    services.takes(false);
    let open = client.stream("s", "S.Wait").bidirectional::<u32, u32>();
    let begun = async { hears(&mut said, "begun").await };
    tokio::select! {
        _ = open => panic!("it cannot be open"),
        () = begun => {}
    }
    hears(&mut said, "gone").await;
    services.takes(true);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_handlers_own_text_is_never_taken_for_a_good_end() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let fails = async |_: Context, numbers: Receiver<u32>| -> Result<u32> {
        drop(numbers);
        Err(Error::from_wire("EOS"))
    };
    let counts = async |_: Context, _: u32, numbers: Sender<u32>| -> Result<()> {
        numbers.send(&1).await?;
        Err(Error::from_wire("EOS"))
    };
    let service = (services.service("s"))
        .stream_handler("S.Fail", stream::client_streaming(fails))
        .stream_handler("S.Count", stream::server_streaming(counts));
    let running = service.build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    let failing = client.stream("s", "S.Fail").client_streaming::<u32, u32>().await.unwrap();
    let error = failing.finish().await.unwrap_err();
    assert!(error.detail().contains("EOS"), "{error}");
    let mut counting: Receiver<u32> =
        client.stream("s", "S.Count").server_streaming(&0u32).await.unwrap();
    assert_eq!(counting.recv().await.unwrap(), Some(1));
    assert!(counting.recv().await.is_err(), "it failed, and looks complete");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn whoever_reads_too_little_of_a_service_that_sends_on_is_told_what_is_known_of_the_request()
{
    let memory = Memory::new();
    let callers = Net::new(&memory);
    // As go-micro's: it sends whatever its caller says that it takes.
    let bind = Bind::Address("flood".into());
    let (_port, mut incoming) = memory.transport().open(bind).await.unwrap();
    let flood = tokio::spawn(async move {
        let mut session = Session::server(Limits::default());
        let mut events = Vec::new();
        loop {
            let mut arrivals = Vec::new();
            recv(&mut *incoming, &mut arrivals).await.unwrap();
            for arrival in arrivals {
                let Arrival::Packet { peer, packet } = arrival else { continue };
                session.on_packet(&packet, &mut events);
                for event in events.drain(..) {
                    let Event::Request { id, request } = event else { continue };
                    if let Some(stream) = request.names_stream().then(|| session.accept(id)) {
                        for number in ["1", "2", "3"] {
                            session.send(stream.unwrap(), number.as_bytes(), 1 << 20).unwrap();
                        }
                    }
                }
                while let Some(packet) = session.next_packet(1 << 20, &mut events) {
                    peer.try_send(packet).unwrap();
                    session.taken();
                }
            }
        }
    });
    let limits = StreamLimits::default().with_messages(2);
    let client = callers.client(ClientOptions::default().with_stream_limits(limits));
    let opening = client.stream("s", "S.Flood").address("flood");
    let opened = opening.server_streaming::<_, u32>(&0u32).await;
    // The flood may come before the stream is open.
    let error = match opened {
        Err(error) => error,
        Ok(mut numbers) => loop {
            match numbers.recv().await {
                Ok(number) => assert!(number.is_some(), "messages were lost in silence"),
                Err(error) => break error,
            }
            // Until it is too much.
            timeout(LIMIT, running_out(&callers)).await.unwrap();
        },
    };
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    assert_eq!(error.request(), Some(RequestState::Unknown), "{error:?}");
    flood.abort();
}

/// Returns when the caller has given its stream up.
async fn running_out(callers: &Net) {
    while !callers.sent().iter().any(|(_, header)| header.get("Micro-Error").is_some()) {
        tokio::task::yield_now().await;
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("as asked");
    }
}

#[tokio::test]
async fn a_handler_that_panics_while_it_is_dropped_is_an_error_of_the_stream() {
    let memory = Memory::new();
    let (callers, services) = (Net::new(&memory), Net::new(&memory));
    let explodes = |_: Context, _: u32, numbers: Sender<u32>| {
        let bomb = Bomb;
        std::future::poll_fn(move |_| {
            // It goes when the future does, and not when that is ready.
            let _held = (&bomb, &numbers);
            std::task::Poll::Ready(Ok(()))
        })
    };
    let options = micro::ServerOptions::default().with_max_streams(1);
    let service = services.service("s").server_options(options);
    let service = service.stream_handler("S.Bomb", stream::server_streaming(explodes));
    let running = service.build().unwrap().start().await.unwrap();
    let client = callers.client(ClientOptions::default());
    for _ in 0..3 {
        let opened = client.stream("s", "S.Bomb").server_streaming::<_, u32>(&0u32).await;
        let error = timeout(LIMIT, opened.unwrap().recv()).await.expect("it hangs").unwrap_err();
        assert_eq!(error.code(), 500, "{error}");
    }
    running.stop().await.unwrap();
}
