//! What must hold when somebody goes too far, too fast, or away.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use micro::client::Strategy;
use micro::memory::{Memory, MemoryOptions};
use micro::transport::{Arrival, Bind, Capabilities, Incoming, Peer, Port, Transport, recv};
use micro::{
    Bytes, Client, ClientOptions, Context, Error, ErrorKind, Header, Plugins, RequestState, Result,
    Running, ServerOptions, Service, ServiceBuilder,
};
use micro_core::async_trait;
use micro_core::wire::{Limits, Outgoing, Session};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

fn over(memory: &Memory, name: &str) -> ServiceBuilder {
    Service::builder(name)
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
}

async fn start(service: ServiceBuilder) -> Running {
    service.build().unwrap().start().await.unwrap()
}

/// Answers at once.
async fn now() -> (Memory, Running) {
    let memory = Memory::new();
    let service = over(&memory, "s").handler("S.Now", async |_: Context, (): ()| Ok("now"));
    let running = start(service).await;
    (memory, running)
}

/// A call as a packet.
fn packet(endpoint: &str) -> Bytes {
    let mut session = Session::client(Limits::default());
    let outgoing = Outgoing {
        service: "s",
        endpoint,
        content_type: "application/json",
        timeout: None,
        metadata: &Header::new(),
        body: b"null",
    };
    session.call(&outgoing).unwrap();
    session.next_packet(1 << 20, &mut Vec::new()).unwrap()
}

#[tokio::test]
async fn calls_that_keep_coming_do_not_keep_others_from_being_sent() {
    let ran = Arc::new(AtomicUsize::new(0));
    let memory = Memory::new();
    let service = over(&memory, "s")
        .handler("S.Never", async |_: Context, (): ()| pending::<Result<()>>().await)
        .handler("S.Now", {
            let ran = ran.clone();
            move |_: Context, (): ()| {
                ran.fetch_add(1, Ordering::Relaxed);
                async { Ok(()) }
            }
        });
    let running = start(service).await;
    let client = running.client();
    // From here on a call is always in flight, so the flusher sends for all.
    let never = tokio::spawn(client.call::<_, ()>("s", "S.Never", &()).into_future());
    let sent = async {
        let mut held = Vec::new();
        while ran.load(Ordering::Relaxed) == 0 {
            let mut call = client.call::<_, ()>("s", "S.Now", &()).into_future();
            let _ = futures_util::poll!(&mut call);
            held.push(call);
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, sent).await.expect("as long as calls came none was sent");
    never.abort();
}

type Last = Arc<Mutex<Option<Box<dyn FnOnce(&str) + Send>>>>;

/// Lets something happen at the moment at which listening ends, or the port be over.
#[derive(Clone)]
struct Edge {
    memory: Memory,
    last: Last,
    over: Arc<AtomicBool>,
}

struct EdgePort(Arc<dyn Port>, Last);
struct EdgeIncoming(Box<dyn Incoming>, Arc<AtomicBool>);

impl Edge {
    fn new(memory: &Memory) -> Self {
        Self { memory: memory.clone(), last: Arc::default(), over: Arc::default() }
    }
}

#[async_trait]
impl Transport for Edge {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let (port, incoming) = self.memory.transport().open(bind).await?;
        let incoming = EdgeIncoming(incoming, self.over.clone());
        Ok((Arc::new(EdgePort(port, self.last.clone())), Box::new(incoming)))
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.transport().capabilities()
    }
}

#[async_trait]
impl Port for EdgePort {
    fn local(&self) -> Option<&str> {
        self.0.local()
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        self.0.dial(address)
    }

    async fn stop_listening(&self) -> Result<()> {
        let last = self.1.lock().unwrap().take();
        if let Some(last) = last {
            last(self.0.local().unwrap());
        }
        self.0.stop_listening().await
    }

    async fn flush(&self) -> Result<()> {
        self.0.flush().await
    }
}

impl Incoming for EdgeIncoming {
    fn poll_recv(&mut self, cx: &mut TaskContext<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        if self.1.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Error::unavailable("over, as the test wants it")));
        }
        self.0.poll_recv(cx, out)
    }
}

#[tokio::test]
async fn a_request_that_came_just_before_listening_ended_is_answered() {
    let memory = Memory::new();
    let edge = Edge::new(&memory);
    let service = over(&memory, "s").transport(edge.clone());
    let running = start(service.handler("S.Now", async |_: Context, (): ()| Ok("now"))).await;
    let (port, mut incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
    let (keep, kept) = std::sync::mpsc::sync_channel(1);
    *edge.last.lock().unwrap() = Some(Box::new(move |address: &str| {
        let peer = port.dial(address).unwrap();
        peer.try_send(packet("S.Now")).unwrap();
        keep.send(peer).unwrap();
    }));
    running.stop().await.unwrap();
    let mut arrivals = Vec::new();
    timeout(LIMIT, recv(&mut *incoming, &mut arrivals)).await.unwrap().unwrap();
    assert!(matches!(arrivals[0], Arrival::Packet { .. }), "{arrivals:?}");
    drop(kept);
}

#[tokio::test]
async fn a_service_whose_port_is_over_deregisters_and_says_why() {
    let memory = Memory::new();
    let edge = Edge::new(&memory);
    let service = over(&memory, "s").transport(edge.clone());
    let running = start(service.handler("S.Now", async |_: Context, (): ()| Ok("now"))).await;
    edge.over.store(true, Ordering::SeqCst);
    // A packet makes the port look.
    let (port, _incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
    let peer = port.dial(&running.node().address).unwrap();
    peer.try_send(packet("S.Now")).unwrap();
    let error = timeout(LIMIT, running.failed()).await.unwrap();
    assert!(error.to_string().contains("as the test wants it"), "{error}");
    let registry = memory.registry();
    let gone = async {
        use micro::registry::Registry;
        while !registry.list().await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, gone).await.expect("it is still registered");
}

#[tokio::test]
async fn calls_fail_when_the_clients_port_is_over_and_the_next_one_opens_another() {
    let memory = Memory::new();
    let service = over(&memory, "s")
        .handler("S.Now", async |_: Context, (): ()| Ok("now"))
        .handler("S.Never", async |_: Context, (): ()| pending::<Result<()>>().await);
    let running = start(service).await;
    let edge = Edge::new(&memory);
    let client = Client::builder().registry(memory.registry()).transport(edge.clone());
    let client = client.broker(memory.broker()).build().unwrap();
    let never = tokio::spawn(client.call::<_, ()>("s", "S.Never", &()).into_future());
    let reply: String = client.call("s", "S.Now", &()).await.unwrap();
    assert_eq!(reply, "now");
    edge.over.store(true, Ordering::SeqCst);
    // Its own answer is what the port would have to read.
    let error = client.call::<_, String>("s", "S.Now", &()).timeout(LIMIT).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    let error = timeout(LIMIT, never).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.request(), Some(RequestState::Unknown));
    edge.over.store(false, Ordering::SeqCst);
    let again: String = client.call("s", "S.Now", &()).await.unwrap();
    assert_eq!(again, "now");
    drop(running);
}

/// A handler that tells when it began and, by `Drop`, when it was ended.
struct Work(mpsc::Sender<&'static str>);

impl Drop for Work {
    fn drop(&mut self) {
        let _ = self.0.try_send("ended");
    }
}

async fn working(stop_timeout: Duration) -> (Running, mpsc::Receiver<&'static str>) {
    let (tell, told) = mpsc::channel(10);
    let events = tell.clone();
    let service = over(&Memory::new(), "s")
        .stop_timeout(stop_timeout)
        .handler("S.Work", move |_: Context, (): ()| {
            let work = Work(tell.clone());
            async move {
                work.0.send("began").await.unwrap();
                pending::<Result<()>>().await
            }
        })
        .subscriber("work", move |_: Context, (): ()| {
            let work = Work(events.clone());
            async move {
                work.0.send("began").await.unwrap();
                pending().await
            }
        });
    (start(service).await, told)
}

async fn next(told: &mut mpsc::Receiver<&'static str>) -> &'static str {
    timeout(LIMIT, told.recv()).await.expect("nothing in time").unwrap()
}

#[tokio::test]
async fn nothing_is_at_work_after_a_service_has_stopped_or_was_dropped() {
    for stop in [true, false] {
        let (running, mut told) = working(Duration::from_millis(200)).await;
        let client = running.client();
        let call = tokio::spawn(client.call::<_, ()>("s", "S.Work", &()).into_future());
        client.publish("work", &()).await.unwrap();
        assert_eq!((next(&mut told).await, next(&mut told).await), ("began", "began"));
        if stop {
            assert_eq!(running.stop().await.unwrap_err().kind(), ErrorKind::Timeout);
        } else {
            drop(running);
        }
        assert_eq!((next(&mut told).await, next(&mut told).await), ("ended", "ended"));
        call.abort();
    }
}

#[tokio::test]
async fn an_event_that_takes_for_ever_costs_no_call_its_answer_when_the_service_stops() {
    let memory = Memory::new();
    let (began, mut told) = mpsc::channel(1);
    let service = over(&memory, "s")
        .stop_timeout(LIMIT)
        .handler("S.Now", async |_: Context, (): ()| Ok("now"))
        .subscriber("work", move |_: Context, (): ()| {
            let began = began.clone();
            async move {
                began.send("began").await.unwrap();
                pending().await
            }
        });
    let running = start(service).await;
    let (client, address) = (running.client(), running.node().address.clone());
    client.publish("work", &()).await.unwrap();
    assert_eq!(next(&mut told).await, "began");
    let stopping = tokio::spawn(running.stop());
    // Whoever dials is answered until nobody listens any more, long before the time is over.
    let refused = async {
        loop {
            let client = Client::new(
                Arc::new(memory.registry()),
                Arc::new(memory.transport()),
                Arc::new(memory.broker()),
            );
            let call = client.call::<_, String>("s", "S.Now", &()).address(&address);
            if let Err(error) = call.retries(0).await {
                return error;
            }
        }
    };
    let refused = timeout(LIMIT / 2, refused).await.expect("it listens on");
    assert_eq!(refused.request(), Some(RequestState::NotSent), "{refused:?}");
    assert!(!stopping.is_finished());
    stopping.abort();
}

#[tokio::test]
async fn extreme_options_are_no_panic() {
    let most = ServerOptions::default().with_max_events(usize::MAX);
    let least = ServerOptions::default().with_caller_idle(Duration::ZERO).with_max_callers(0);
    for options in [most, least] {
        let service = over(&Memory::new(), "s").server_options(options);
        let service = service
            .stop_timeout(Duration::MAX)
            .subscriber("t", async |_: Context, (): ()| Ok(()))
            .handler("S.Now", async |_: Context, (): ()| Ok("now"));
        let running = start(service).await;
        let client = running.client();
        let call = client.call("s", "S.Now", &()).timeout(Duration::MAX).idempotent();
        let reply: String = call.attempt_timeout(Duration::MAX).await.unwrap();
        assert_eq!(reply, "now");
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn garbage_and_calls_of_odd_content_types_take_nobodys_place() {
    let memory = Memory::new();
    let options = ServerOptions::default().with_max_callers(5);
    let service = over(&memory, "s").server_options(options);
    let running = start(service.raw_handler("S.Echo", async |_, body| Ok(body))).await;
    let (port, _incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
    let peers: Vec<Peer> = (0..50)
        .map(|_| {
            let peer = port.dial(&running.node().address).unwrap();
            peer.try_send(Bytes::from_static(b"garbage")).unwrap();
            peer
        })
        .collect();
    for _ in 0..50 {
        let call = running.client().call_raw("s", "S.Echo", "x").content_type("application/x-own");
        assert_eq!(call.await.unwrap(), "x");
    }
    drop(peers);
}

#[tokio::test]
async fn a_caller_in_the_midst_of_a_call_keeps_its_place_and_an_idle_one_gives_it_up() {
    let plugins = Plugins::new();
    let leave = Arc::new(Notify::new());
    let (enter, mut entered) = mpsc::channel(1);
    let service = Service::builder("s")
        .plugins(&plugins)
        .server_options(ServerOptions::default().with_max_callers(1))
        .handler("S.Now", async |_: Context, (): ()| Ok(()))
        .handler("S.Wait", {
            let leave = leave.clone();
            move |_: Context, (): ()| {
                let (enter, leave) = (enter.clone(), leave.clone());
                async move {
                    enter.send(()).await.unwrap();
                    leave.notified().await;
                    Ok(())
                }
            }
        });
    let running = start(service).await;
    let client = || Client::builder().plugins(&plugins).build().unwrap();
    let (first, second) = (client(), client());
    let waiting = tokio::spawn(first.call::<_, ()>("s", "S.Wait", &()).into_future());
    entered.recv().await.unwrap();
    let refused = second.call::<_, ()>("s", "S.Now", &()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Overloaded);
    leave.notify_one();
    waiting.await.unwrap().unwrap();
    second.call::<_, ()>("s", "S.Now", &()).await.unwrap();
    drop(running);
}

#[tokio::test]
async fn too_many_callers_are_refused_as_fast_where_very_many_are_known() {
    const MORE: usize = 1_000;
    let mut took = Vec::new();
    for known in [10, 10_000] {
        let options = MemoryOptions::default().with_port_packets(1 << 20);
        let memory = Memory::with_options(options);
        let options = ServerOptions::default().with_max_callers(known).with_max_calls(known);
        let service = over(&memory, "s").server_options(options);
        let service = service
            .handler("S.Never", async |_: Context, (): ()| pending::<Result<()>>().await)
            .handler("S.Now", async |_: Context, (): ()| Ok("now"));
        let running = start(service).await;
        let (port, mut incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
        let mut peers = Vec::new();
        let mut call = |calls: usize, endpoint| {
            for _ in 0..calls {
                let peer = port.dial(&running.node().address).unwrap();
                peer.try_send(packet(endpoint)).unwrap();
                peers.push(peer);
            }
        };
        let mut answers = async |count| {
            let mut arrivals = Vec::new();
            while arrivals.len() < count {
                timeout(LIMIT, recv(&mut *incoming, &mut arrivals)).await.unwrap().unwrap();
            }
        };
        // All places are taken once one more is refused.
        call(known + 1, "S.Never");
        answers(1).await;
        let begun = Instant::now();
        call(MORE, "S.Now");
        answers(MORE).await;
        took.push(begun.elapsed());
    }
    assert!(took[1] < took[0] * 5, "{took:?}");
}

#[tokio::test]
async fn a_silent_caller_is_forgotten() {
    let memory = Memory::new();
    let options = ServerOptions::default().with_caller_idle(Duration::from_millis(50));
    let service = over(&memory, "s").server_options(options);
    let running = start(service.handler("S.Now", async |_: Context, (): ()| Ok("now"))).await;
    let (port, mut incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
    let peer = port.dial(&running.node().address).unwrap();
    peer.try_send(packet("S.Now")).unwrap();
    let mut arrivals = Vec::new();
    let closed = async {
        while !arrivals.iter().any(|arrival| matches!(arrival, Arrival::Closed { .. })) {
            recv(&mut *incoming, &mut arrivals).await.unwrap();
        }
    };
    timeout(LIMIT, closed).await.expect("it is still remembered");
    assert!(matches!(arrivals[0], Arrival::Packet { .. }), "{arrivals:?}");
}

#[tokio::test]
async fn an_expired_call_is_not_sent() {
    let (_memory, running) = now().await;
    let client = running.client();
    client.call::<_, String>("s", "S.Now", &()).await.unwrap();
    let error =
        client.call::<_, String>("s", "S.Now", &()).timeout(Duration::ZERO).await.unwrap_err();
    assert_eq!((error.kind(), error.request()), (ErrorKind::Timeout, Some(RequestState::NotSent)));
}

#[tokio::test]
async fn an_idempotent_call_may_take_all_of_its_time() {
    let memory = Memory::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let service = over(&memory, "s").handler("S.Slow", {
        let runs = runs.clone();
        move |_: Context, (): ()| {
            let run = runs.fetch_add(1, Ordering::Relaxed);
            async move {
                // The first runs are slower than an attempt, as every run of a slow handler is.
                if run < 2 { pending().await } else { Ok(run) }
            }
        }
    });
    let running = start(service).await;
    let call = running.client().call::<_, usize>("s", "S.Slow", &()).idempotent().retries(2);
    let run = call.attempt_timeout(Duration::from_millis(50)).timeout(LIMIT).await.unwrap();
    assert_eq!(run, 2, "the last of three attempts");
}

#[tokio::test]
async fn a_node_that_failed_is_avoided_also_by_calls_that_are_not_tried_again() {
    let plugins = Plugins::new();
    let node = async |id: &'static str| {
        let service = Service::builder("g").plugins(&plugins).id(id);
        start(service.handler("G.Who", move |_: Context, (): ()| async move { Ok(id) })).await
    };
    let (stays, goes) = (node("stays").await, node("goes").await);
    let client = Client::builder().plugins(&plugins).build().unwrap();
    client.call::<_, String>("g", "G.Who", &()).await.unwrap();
    drop(goes);
    let mut failed = 0;
    for _ in 0..50 {
        let call = client.call::<_, String>("g", "G.Who", &()).retries(0);
        failed += usize::from(call.await.is_err());
    }
    assert!(failed <= 1, "{failed} of 50 calls went to the dead node");
    drop(stays);
}

#[tokio::test]
async fn each_service_has_its_own_turns() {
    let plugins = Plugins::new();
    let mut nodes = Vec::new();
    for (service, id) in [("a", "1"), ("a", "2"), ("b", "1"), ("b", "2")] {
        let service = Service::builder(service).plugins(&plugins).id(id);
        let who = move |_: Context, (): ()| async move { Ok(id) };
        nodes.push(start(service.handler("G.Who", who)).await);
    }
    let options = ClientOptions::default().with_strategy(Strategy::RoundRobin);
    let client = Client::builder().plugins(&plugins).options(options).build().unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        for service in ["a", "b"] {
            let id: String = client.call(service, "G.Who", &()).await.unwrap();
            seen.insert(format!("{service}{id}"));
        }
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[tokio::test]
async fn an_error_larger_than_any_packet_is_an_answer() {
    let options = MemoryOptions::default().with_max_packet(10_000);
    let memory = Memory::with_options(options);
    let service = over(&memory, "s").handler("S.Fail", async |_: Context, (): ()| -> Result<()> {
        Err(Error::internal("x".repeat(20_000)))
    });
    let running = start(service).await;
    let error = running.client().call::<_, ()>("s", "S.Fail", &()).timeout(LIMIT).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.request(), Some(RequestState::Executed));
}

/// A port whose opening never ends.
struct Stuck;

#[async_trait]
impl Transport for Stuck {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, _: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        pending().await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn health(&self) -> Result<()> {
        Err(Error::unavailable("stuck, as the test wants it"))
    }
}

#[tokio::test]
async fn a_call_ends_in_its_time_also_while_the_port_opens() {
    let memory = Memory::new();
    let client = Client::builder().registry(memory.registry()).transport(Stuck);
    let client = client.broker(memory.broker()).build().unwrap();
    let call = client.call_raw("s", "S.X", "x").address("here").timeout(Duration::from_millis(50));
    let error = timeout(LIMIT, call.into_future()).await.unwrap().unwrap_err();
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("as the test wants it"), "{error}");
}

#[tokio::test]
async fn debug_shows_no_metadata_and_no_body() {
    let (_memory, running) = now().await;
    let client = running.client();
    let call = client.call::<_, String>("s", "S.Now", "secret").metadata("Authorization", "secret");
    let publish = client.publish("t", "secret").metadata("Authorization", "secret");
    let shown = format!("{call:?} {publish:?} {client:?} {running:?}");
    assert!(shown.contains("Authorization") && !shown.contains("secret"), "{shown}");
}
