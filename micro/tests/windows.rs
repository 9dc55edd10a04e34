//! Whoever reads slowly holds up who sends, if both are ours; else there is a limit.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use micro::memory::Memory;
use micro::stream::{self, Receiver, Sender, StreamHandler, StreamLimits};
use micro::transport::{Arrival, Bind, Transport, recv};
use micro::{
    Client, ClientOptions, Context, Error, ErrorKind, Header, Running, ServerOptions, Service,
};
use micro_core::wire::{Event, Limits, Outgoing, Session, Window};
use tokio::sync::mpsc;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
const MESSAGES: u32 = 2_000;
const HELD: u32 = 10;

fn held() -> StreamLimits {
    StreamLimits::default().with_messages(HELD as usize)
}

/// A service with this handler of streams, which holds ten messages.
async fn serve(memory: &Memory, handler: StreamHandler) -> Running {
    let service = Service::builder("numbers")
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .server_options(ServerOptions::default().with_stream_limits(held()))
        .stream_handler("Numbers.Stream", handler);
    service.build().unwrap().start().await.unwrap()
}

/// A client that holds ten messages.
fn client(memory: &Memory) -> Client {
    Client::builder()
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .options(ClientOptions::default().with_stream_limits(held()))
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_caller_that_reads_slowly_holds_the_handler_up_and_gets_everything() {
    let (tell, mut told) = mpsc::channel(1);
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
                        tell.send(()).await.unwrap();
                    }
                }
                Ok(())
            }
        }
    };
    let memory = Memory::new();
    let running = serve(&memory, stream::server_streaming(flood)).await;
    let counted = client(&memory).stream("numbers", "Numbers.Stream").server_streaming(&1u32);
    let mut counted: Receiver<u32> = counted.await.unwrap();
    timeout(LIMIT, told.recv()).await.unwrap();
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

#[tokio::test]
async fn a_handler_that_reads_slowly_holds_its_caller_up_and_gets_everything() {
    let sent = Arc::new(AtomicU32::new(0));
    let (go, begin) = tokio::sync::watch::channel(false);
    let sum = {
        let sent = sent.clone();
        move |_: Context, mut numbers: Receiver<u32>| {
            let (sent, mut begin) = (sent.clone(), begin.clone());
            async move {
                begin.wait_for(|begin| *begin).await.unwrap();
                let mut read = 0;
                while let Some(number) = numbers.recv().await? {
                    read += 1;
                    assert_eq!(number, read);
                    let ahead = sent.load(Ordering::SeqCst) - read;
                    assert!(ahead <= HELD, "{ahead} are held");
                }
                Ok(read)
            }
        }
    };
    let memory = Memory::new();
    let running = serve(&memory, stream::client_streaming(sum)).await;
    let client = client(&memory);
    let summed = client.stream("numbers", "Numbers.Stream").client_streaming::<u32, u32>();
    let summed = summed.await.unwrap();
    let send = async {
        for number in 1..=MESSAGES {
            // Before it is sent: it may be read at once.
            sent.store(number, Ordering::SeqCst);
            if number > HELD {
                go.send_replace(true);
            }
            summed.send(&number).await.unwrap();
        }
    };
    timeout(LIMIT, send).await.unwrap();
    assert_eq!(timeout(LIMIT, summed.finish()).await.unwrap().unwrap(), MESSAGES);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_handler_that_reads_no_more_lets_its_caller_send_on() {
    let (go, begin) = tokio::sync::watch::channel(false);
    let handler = move |_: Context, numbers: Receiver<u32>, answers: Sender<u32>| {
        let mut begin = begin.clone();
        async move {
            drop(numbers);
            begin.wait_for(|begin| *begin).await.unwrap();
            answers.send(&1).await
        }
    };
    let memory = Memory::new();
    let running = serve(&memory, stream::bidirectional(handler)).await;
    let client = client(&memory);
    let chat = client.stream("numbers", "Numbers.Stream").bidirectional::<u32, u32>();
    let mut chat = chat.await.unwrap();
    for number in 0..100 * HELD {
        timeout(LIMIT, chat.send(&number)).await.unwrap().unwrap();
    }
    go.send_replace(true);
    assert_eq!(chat.recv().await.unwrap(), Some(1));
    assert_eq!(chat.recv().await.unwrap(), None);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_deadline_ends_the_wait_of_who_is_held_up() {
    let silent = async |_: Context, numbers: Receiver<u32>| {
        let _numbers = numbers;
        pending::<micro::Result<u32>>().await
    };
    let memory = Memory::new();
    let running = serve(&memory, stream::client_streaming(silent)).await;
    let client = client(&memory);
    let summed = client
        .stream("numbers", "Numbers.Stream")
        .timeout(Duration::from_millis(200))
        .client_streaming::<u32, u32>();
    let summed = summed.await.unwrap();
    let flood = async {
        loop {
            if let Err(error) = summed.send(&1).await {
                return error;
            }
        }
    };
    let error = timeout(LIMIT, flood).await.expect("it waits for ever");
    assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
    drop(running);
}

#[tokio::test]
async fn whoever_sends_more_than_a_handler_holds_is_told_so_on_both_sides() {
    /// Says that the handler is gone.
    struct Gone(mpsc::Sender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.try_send(());
        }
    }
    let (tell, mut told) = mpsc::channel(1);
    let silent = move |_: Context, numbers: Receiver<u32>, _: Sender<u32>| {
        let gone = Gone(tell.clone());
        async move {
            let _held = (gone, numbers);
            pending::<micro::Result<()>>().await
        }
    };
    let memory = Memory::new();
    let running = serve(&memory, stream::bidirectional(silent)).await;
    // As go-micro's caller: it does not ask how much is taken.
    let (port, mut incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
    let peer = port.dial(&running.node().address).unwrap();
    let mut session = Session::streaming(Limits::default());
    let none = Header::new();
    let opening = Outgoing {
        service: "numbers",
        endpoint: "Numbers.Stream",
        content_type: "application/json",
        timeout: None,
        metadata: &none,
        body: b"{}",
    };
    let opened = session.open(&opening).unwrap();
    for _ in 0..=HELD {
        session.send(opened, b"1", 1 << 20).unwrap();
    }
    let mut events = Vec::new();
    while let Some(packet) = session.next_packet(1 << 20, &mut events) {
        peer.try_send(packet).unwrap();
        session.taken();
    }
    let broken = async {
        loop {
            let mut arrivals = Vec::new();
            recv(&mut *incoming, &mut arrivals).await.unwrap();
            for arrival in arrivals {
                if let Arrival::Packet { packet, .. } = arrival {
                    session.on_packet(&packet, &mut events);
                }
            }
            if let Some(Event::Broken { error, .. }) = events.pop() {
                return error;
            }
        }
    };
    let error: Error = timeout(LIMIT, broken).await.expect("it is not told");
    assert_eq!(error.kind(), ErrorKind::Overloaded, "{error}");
    timeout(LIMIT, told.recv()).await.expect("the handler lives on");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_no_more_is_asked_ever_more_rarely_and_again_soon_when_it_does() {
    let memory = Memory::new();
    let bind = Bind::Address("numbers".into());
    let (_port, mut incoming) = memory.transport().open(bind).await.unwrap();
    let (take, takes) = tokio::sync::watch::channel(Window::new(2, 100));
    let asked = Arc::new(AtomicU32::new(0));
    let service = {
        let asked = asked.clone();
        async move {
            let mut session = Session::server(Limits::default());
            let (mut events, mut held) = (Vec::new(), None);
            loop {
                let mut arrivals = Vec::new();
                recv(&mut *incoming, &mut arrivals).await.unwrap();
                for arrival in arrivals {
                    let Arrival::Packet { peer, packet } = arrival else { continue };
                    session.on_packet(&packet, &mut events);
                    for event in events.drain(..) {
                        let Event::Request { id, request } = event else { continue };
                        if request.names_stream() {
                            session.accept(id).unwrap();
                        } else {
                            asked.fetch_add(1, Ordering::SeqCst);
                            let none = Error::not_found("no such endpoint");
                            session.answer_probe(id, &none, Some(*takes.borrow()));
                        }
                    }
                    while let Some(packet) = session.next_packet(1 << 20, &mut events) {
                        peer.try_send(packet).unwrap();
                        session.taken();
                    }
                    // Whoever lets go of it closes it.
                    held.get_or_insert(peer);
                }
            }
        }
    };
    let service = tokio::spawn(service);
    let client = client(&memory);
    let chat = client.stream("numbers", "Numbers.Stream").address("numbers");
    let chat = chat.bidirectional::<u32, u32>().await.unwrap();
    chat.send(&1).await.unwrap();
    chat.send(&2).await.unwrap();
    let before = asked.load(Ordering::SeqCst);
    let third = chat.send(&3);
    let mut third = std::pin::pin!(third);
    assert!(timeout(Duration::from_secs(10), &mut third).await.is_err(), "it was not taken");
    let times = asked.load(Ordering::SeqCst) - before;
    assert!((5..=60).contains(&times), "it was asked {times} times in 10 s");
    take.send_replace(Window::new(3, 100));
    timeout(Duration::from_millis(250), third).await.expect("it was not asked again").unwrap();
    service.abort();
}
