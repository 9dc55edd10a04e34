//! What a call does while its node says nothing. Time is tokio's own here: it goes on when nothing
//! else does, so each moment is exact.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use micro::memory::Memory;
use micro::transport::{Arrival, Bind, Incoming, Peer, Transport, recv};
use micro::{Client, ClientOptions, Error, ErrorKind, RequestState, Result};
use micro_core::wire::{Event, Limits, PROBE_ENDPOINT, RequestId, Session};
use tokio::task::JoinHandle;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// A node that answers only what a test wants it to.
struct Node {
    memory: Memory,
    incoming: Box<dyn Incoming>,
    session: Session,
    peer: Option<Peer>,
    start: Instant,
}

impl Node {
    async fn open() -> Self {
        let memory = Memory::new();
        let bind = Bind::Address("node".to_owned());
        let (_port, incoming) = memory.transport().open(bind).await.unwrap();
        let session = Session::server(Limits::default());
        Self { memory, incoming, session, peer: None, start: Instant::now() }
    }

    fn client(&self) -> Client {
        Client::builder()
            .registry(self.memory.registry())
            .transport(self.memory.transport())
            .broker(self.memory.broker())
            .options(ClientOptions::default())
            .build()
            .unwrap()
    }

    /// The endpoint that the next request asks for, and when it came.
    async fn next(&mut self) -> (String, Duration, RequestId) {
        loop {
            let mut arrivals = Vec::new();
            recv(&mut *self.incoming, &mut arrivals).await.unwrap();
            assert_eq!(arrivals.len(), 1, "{arrivals:?}");
            let Some(Arrival::Packet { peer, packet }) = arrivals.pop() else { continue };
            self.peer = Some(peer);
            let mut events = Vec::new();
            self.session.on_packet(&packet, &mut events);
            let Some(Event::Request { id, request }) = events.pop() else { panic!("{events:?}") };
            return (request.endpoint().to_owned(), self.start.elapsed(), id);
        }
    }

    fn answer(&mut self, request: RequestId, answer: Result<&str, &Error>) {
        let json = |text: &str| format!("\"{text}\"").into_bytes();
        match answer {
            Ok(text) => self.session.reply(request, Ok(("application/json", &json(text)))),
            Err(error) => self.session.reply(request, Err(error)),
        };
        let packet = self.session.next_packet(1 << 20, &mut Vec::new()).unwrap();
        self.peer.as_ref().unwrap().try_send(packet).unwrap();
        self.session.taken();
    }
}

fn call(client: &Client, timeout: Duration) -> JoinHandle<Result<String>> {
    let call = client.call::<_, String>("s", "S.X", &()).address("node").timeout(timeout);
    tokio::spawn(call.into_future())
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_asked_whether_it_lives_and_more_rarely_the_longer_a_call_takes() {
    let mut node = Node::open().await;
    let client = node.client();
    let waiting = call(&client, Duration::from_secs(200));
    let (endpoint, mut last, id) = node.next().await;
    assert_eq!((&*endpoint, last), ("S.X", Duration::ZERO));
    let unknown = Error::not_found("no such endpoint");
    while last < Duration::from_secs(130) {
        let (endpoint, at, probe) = node.next().await;
        assert_eq!(endpoint, PROBE_ENDPOINT);
        // A hundredth of the time that it has taken, at least 100 ms and at most a second.
        let expected = (last / 100).clamp(100 * MS, 1_000 * MS);
        let after = at - last;
        assert!(after.abs_diff(expected) <= 4 * MS, "{after:?} instead of {expected:?} at {at:?}");
        last = at;
        // It lives: the call waits on.
        node.answer(probe, Err(&unknown));
    }
    node.answer(id, Ok("late"));
    assert_eq!(waiting.await.unwrap().unwrap(), "late");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_others_is_not_asked() {
    let mut node = Node::open().await;
    let client = node.client();
    let slow = call(&client, Duration::from_secs(20));
    let (_, _, slow_id) = node.next().await;
    for _ in 0..10 {
        let quick = call(&client, Duration::from_secs(20));
        let (endpoint, _, id) = node.next().await;
        assert_eq!(endpoint, "S.X", "a probe of a node that says something");
        tokio::time::sleep(60 * MS).await;
        node.answer(id, Ok("quick"));
        assert_eq!(quick.await.unwrap().unwrap(), "quick");
    }
    node.answer(slow_id, Ok("slow"));
    assert_eq!(slow.await.unwrap().unwrap(), "slow");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_while_no_call_waits() {
    let mut node = Node::open().await;
    let client = node.client();
    let first = call(&client, Duration::from_secs(20));
    let (_, _, id) = node.next().await;
    node.answer(id, Ok("first"));
    first.await.unwrap().unwrap();
    let silence = tokio::time::timeout(Duration::from_secs(30), node.next()).await;
    assert!(silence.is_err(), "{:?}", silence.map(|(endpoint, ..)| endpoint));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_when_its_time_is_over_and_not_later() {
    let node = Node::open().await;
    let client = node.client();
    let long = call(&client, Duration::from_secs(5));
    let short = call(&client, 37 * MS);
    let error = short.await.unwrap().unwrap_err();
    let took = node.start.elapsed();
    assert!((37 * MS..=39 * MS).contains(&took), "{took:?}");
    assert_eq!((error.kind(), error.request()), (ErrorKind::Timeout, Some(RequestState::Unknown)));
    let error = long.await.unwrap().unwrap_err();
    let took = node.start.elapsed();
    assert!((5000 * MS..=5002 * MS).contains(&took), "{took:?}");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    drop(node);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_has_a_third_of_the_calls_time_and_at_most_a_second() {
    for (timeout, attempt) in [(Duration::from_millis(900), 300), (Duration::from_secs(60), 1000)] {
        let mut node = Node::open().await;
        let client = node.client();
        let call = client.call::<_, String>("s", "S.X", &()).address("node").timeout(timeout);
        let waiting = tokio::spawn(call.idempotent().into_future());
        let (_, at, _) = node.next().await;
        assert_eq!(at, Duration::ZERO);
        let second = loop {
            let (endpoint, at, id) = node.next().await;
            if endpoint == "S.X" {
                node.answer(id, Ok("second"));
                break at;
            }
        };
        // After the attempt, a pause of at most 50 ms: there is no other node.
        let allowed = attempt * MS..=(attempt + 53) * MS;
        assert!(allowed.contains(&second), "{second:?} not in {allowed:?}");
        assert_eq!(waiting.await.unwrap().unwrap(), "second");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_at_one_node_grow_with_full_jitter() {
    // Nobody listens there: each attempt fails at once, so only the pauses take time.
    let mut took = Vec::new();
    for _ in 0..40 {
        let memory = Memory::new();
        let client = Client::builder()
            .registry(memory.registry())
            .transport(memory.transport())
            .broker(memory.broker())
            .build()
            .unwrap();
        let start = Instant::now();
        let call = client.call::<_, String>("s", "S.X", &()).address("nobody").retries(6);
        call.await.unwrap_err();
        took.push(start.elapsed());
    }
    // 50 + 100 + 200 + 400 + 800 + 1000 ms at most, on average half of it.
    let (least, most) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    assert!(
        *most <= 2_560 * MS && *least < 1_275 * MS && *most > 1_275 * MS,
        "{least:?} … {most:?}"
    );
    took.sort();
    took.dedup();
    assert!(took.len() > 20, "the pauses are alike: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_went_after_it_took_the_call_leaves_it_unknown_and_it_is_not_run_again() {
    let mut node = Node::open().await;
    let client = node.client();
    let waiting = call(&client, Duration::from_secs(20));
    node.next().await;
    let start = node.start;
    drop(node);
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (error.kind(), error.request()),
        (ErrorKind::Unavailable, Some(RequestState::Unknown))
    );
    assert!(start.elapsed() < 115 * MS, "{:?}", start.elapsed());
}
