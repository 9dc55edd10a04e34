#![allow(clippy::unwrap_used, missing_docs, unused)]
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::task::Poll;

use micro::client::Strategy;
use micro::memory::{Memory, MemoryOptions};
use micro::transport::*;
use micro::*;
use micro_core::async_trait;
use micro_core::wire::{Event, Limits, Outgoing, Session};

fn ms(n: u64) -> Duration { Duration::from_millis(n) }

// ---- a port that gets one more packet at the moment it is told to stop listening
#[derive(Clone)]
struct Late { inner: Arc<dyn Transport>, last: Arc<std::sync::Mutex<Option<Box<dyn FnOnce(&str) + Send>>>> }
struct LatePort { inner: Arc<dyn Port>, last: Arc<std::sync::Mutex<Option<Box<dyn FnOnce(&str) + Send>>>> }
#[async_trait]
impl Transport for Late {
    fn name(&self) -> &'static str { "memory" }
    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let (port, incoming) = self.inner.open(bind).await?;
        Ok((Arc::new(LatePort { inner: port, last: self.last.clone() }), incoming))
    }
    fn capabilities(&self) -> transport::Capabilities { self.inner.capabilities() }
}
#[async_trait]
impl Port for LatePort {
    fn local(&self) -> Option<&str> { self.inner.local() }
    fn dial(&self, a: &str) -> Result<Peer> { self.inner.dial(a) }
    async fn stop_listening(&self) -> Result<()> {
        if let Some(last) = self.last.lock().unwrap().take() { last(self.inner.local().unwrap()); }
        self.inner.stop_listening().await
    }
    async fn flush(&self) -> Result<()> { self.inner.flush().await }
}

fn packet(endpoint: &str, body: &[u8]) -> (Session, Bytes) {
    let mut session = Session::client(Limits::default());
    session.call(&Outgoing { service: "s", endpoint, content_type: "application/json", timeout: None, metadata: &Header::new(), body }).unwrap();
    let p = session.next_packet(1 << 20, &mut Vec::new()).unwrap();
    session.taken();
    (session, p)
}

#[tokio::test]
async fn t01_a_request_taken_before_listening_ended_is_answered() {
    let memory = Memory::new();
    let plain: Arc<dyn Transport> = Arc::new(memory.transport());
    let (client_port, mut client_in) = plain.open(Bind::ClientOnly).await.unwrap();
    let last: Arc<std::sync::Mutex<Option<Box<dyn FnOnce(&str) + Send>>>> = Arc::default();
    let late = Late { inner: plain, last: last.clone() };
    let running = Service::builder("s").registry(memory.registry()).transport(late).broker(memory.broker())
        .handler("S.Now", async |_: Context, (): ()| Ok("now")).build().unwrap().start().await.unwrap();
    let peer: Arc<std::sync::Mutex<Option<Peer>>> = Arc::default();
    let keep = peer.clone();
    *last.lock().unwrap() = Some(Box::new(move |address: &str| {
        let p = client_port.dial(address).unwrap();
        p.try_send(packet("S.Now", b"null").1).unwrap();
        *keep.lock().unwrap() = Some(p);
    }));
    running.stop().await.unwrap();
    let mut out = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(2), transport::recv(&mut *client_in, &mut out)).await;
    eprintln!("{out:?}");
    assert!(matches!(out.first(), Some(Arrival::Packet { .. })), "no answer: {out:?}");
}

#[tokio::test]
async fn t02_dropping_running_ends_its_handlers() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let entered = Arc::new(tokio::sync::Notify::new());
    let e2 = entered.clone();
    let running = Service::builder("s").handler("S.Slow", move |_: Context, (): ()| {
        let (tell, e) = (tell.clone(), e2.clone());
        async move { e.notify_one(); tokio::time::sleep(ms(300)).await; tell.send(()).await.unwrap(); Ok(()) }
    }).build().unwrap().start().await.unwrap();
    let client = running.client();
    let call = tokio::spawn(client.call::<_, ()>("s", "S.Slow", &()).into_future());
    entered.notified().await;
    drop(running);
    let ran = tokio::time::timeout(ms(1500), told.recv()).await;
    assert!(!matches!(ran, Ok(Some(()))), "the handler went on after the service was dropped");
}

#[tokio::test]
async fn t02b_stop_timeout_ends_handlers() {
    let count = Arc::new(AtomicUsize::new(0));
    let c = count.clone();
    let entered = Arc::new(tokio::sync::Notify::new());
    let e2 = entered.clone();
    let running = Service::builder("s").stop_timeout(ms(300)).handler("S.Slow", move |_: Context, (): ()| {
        let (c, e) = (c.clone(), e2.clone());
        async move { e.notify_one(); loop { tokio::time::sleep(ms(10)).await; c.fetch_add(1, Ordering::SeqCst); } ; #[allow(unreachable_code)] Ok(()) }
    }).build().unwrap().start().await.unwrap();
    let client = running.client();
    let call = tokio::spawn(client.call::<_, ()>("s", "S.Slow", &()).into_future());
    entered.notified().await;
    let error = running.stop().await.unwrap_err();
    eprintln!("{error}");
    tokio::time::sleep(ms(50)).await;
    let before = count.load(Ordering::SeqCst);
    tokio::time::sleep(ms(300)).await;
    assert_eq!(before, count.load(Ordering::SeqCst), "work after shutdown");
}

#[tokio::test]
async fn t03_caller_idle_zero_serves() {
    let running = Service::builder("s").server_options(ServerOptions::default().with_caller_idle(Duration::ZERO))
        .handler("S.Now", async |_: Context, (): ()| Ok("now")).build().unwrap().start().await.unwrap();
    let r: Result<String> = running.client().call("s", "S.Now", &()).timeout(ms(1000)).await;
    r.unwrap();
}

#[tokio::test]
async fn t04_a_timeout_without_end_is_no_panic() {
    let running = Service::builder("s").handler("S.Now", async |_: Context, (): ()| Ok("now")).build().unwrap().start().await.unwrap();
    let r: Result<String> = running.client().call("s", "S.Now", &()).timeout(Duration::MAX).await;
    r.unwrap();
}

#[tokio::test]
async fn t05_calls_of_an_own_content_type_are_not_limited_by_the_number_of_callers() {
    let running = Service::builder("s").server_options(ServerOptions::default().with_max_callers(20))
        .raw_handler("S.Now", async |_: Context, b| Ok(b)).build().unwrap().start().await.unwrap();
    for n in 0..40 {
        let r = running.client().call_raw("s", "S.Now", "x").content_type("application/x-own").await;
        if let Err(e) = &r { panic!("call {n}: {e:?}"); }
    }
}

#[tokio::test]
async fn t06_garbage_from_many_addresses_locks_nobody_out() {
    let memory = Memory::new();
    let plain: Arc<dyn Transport> = Arc::new(memory.transport());
    let (port, mut _in) = plain.open(Bind::ClientOnly).await.unwrap();
    let running = Service::builder("s").registry(memory.registry()).transport(memory.transport()).broker(memory.broker())
        .server_options(ServerOptions::default().with_max_callers(20))
        .handler("S.Now", async |_: Context, (): ()| Ok("now")).build().unwrap().start().await.unwrap();
    let peers: Vec<Peer> = (0..20).map(|_| { let p = port.dial(&running.node().address).unwrap(); p.try_send(Bytes::from_static(b"garbage")).unwrap(); p }).collect();
    tokio::time::sleep(ms(50)).await;
    let r: Result<String> = running.client().call("s", "S.Now", &()).timeout(ms(2000)).await;
    r.unwrap();
}

#[tokio::test]
async fn t07_a_node_that_failed_is_avoided_without_retries_too() {
    let plugins = Plugins::new();
    let node = async |id: &'static str| Service::builder("g").plugins(&plugins).id(id)
        .handler("G.Who", move |_: Context, (): ()| async move { Ok(id) }).build().unwrap().start().await.unwrap();
    let (stays, goes) = (node("stays").await, node("goes").await);
    let client = Client::builder().plugins(&plugins).build().unwrap();
    client.call::<_, String>("g", "G.Who", &()).await.unwrap();
    drop(goes);
    let mut failed = 0;
    for _ in 0..50 {
        if client.call::<_, String>("g", "G.Who", &()).retries(0).await.is_err() { failed += 1; }
    }
    assert!(failed <= 1, "{failed} of 50 calls went to the dead node");
}

#[test]
fn t08_a_plugin_may_be_made_of_another_one() {
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let base = Plugins::new();
        let inner = base.clone();
        let plugins = base.with_registry("wrapped", Arc::new(move |c| inner.registry("memory", c)));
        plugins.registry("wrapped", &PluginConfig::default()).unwrap();
        done.send(()).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(5)).expect("deadlock");
}

#[test]
fn t09_a_replaced_plugin_is_used() {
    let base = Plugins::new();
    let c = PluginConfig::default();
    let old = base.registry("memory", &c).unwrap();
    let other: Arc<dyn micro_core::Registry> = Arc::new(Memory::new().registry());
    let o2 = other.clone();
    let plugins = base.with_registry("memory", Arc::new(move |_| Ok(o2.clone())));
    let got = plugins.registry("memory", &c).unwrap();
    assert!(Arc::ptr_eq(&got, &other), "the old one came back");
}

#[test]
fn t10_no_secret_in_debug() {
    use clap::Parser;
    #[derive(Parser)] struct O { #[command(flatten)] micro: Flags }
    let flags = O::parse_from(["t", "--registry_address=nats://user:secret@host:4222"]).micro;
    assert!(!format!("{flags:?}").contains("secret"), "{flags:?}");
}
#[test]
fn t10b_no_secret_in_debug_config() {
    let c = PluginConfig::default().with_addresses(["nats://user:secret@host:4222"]);
    assert!(!format!("{c:?}").contains("secret"), "{c:?}");
}

#[tokio::test]
async fn t11_an_error_too_large_for_a_packet_is_an_answer() {
    let running = Service::builder("s").handler("S.Fail", async |_: Context, (): ()| -> Result<()> {
        Err(Error::internal("x".repeat(100 << 20))) }).build().unwrap().start().await.unwrap();
    eprintln!("max {:?}", micro::Service::builder("x").build().unwrap().backends().transport.capabilities());
    let r: Result<()> = running.client().call("s", "S.Fail", &()).timeout(Duration::from_secs(8)).await;
    let e = r.unwrap_err();
    assert_eq!(e.request(), Some(RequestState::Executed), "{:?} {:.200}", e.kind(), e.to_string());
}

#[tokio::test]
async fn t14_an_expired_call_is_not_sent() {
    let n = Arc::new(AtomicUsize::new(0));
    let m = n.clone();
    let running = Service::builder("s").handler("S.Now", move |_: Context, (): ()| { m.fetch_add(1, Ordering::SeqCst); async { Ok("now") } }).build().unwrap().start().await.unwrap();
    let c = running.client();
    let _: String = c.call("s", "S.Now", &()).await.unwrap();
    let r: Result<String> = c.call("s", "S.Now", &()).timeout(Duration::ZERO).await;
    tokio::time::sleep(ms(100)).await;
    eprintln!("{r:?}");
    assert_eq!(n.load(Ordering::SeqCst), 1, "it ran");
}

#[tokio::test]
async fn t15_any_number_of_events() {
    let running = Service::builder("s").server_options(ServerOptions::default().with_max_events(usize::MAX))
        .subscriber("t", async |_: Context, (): ()| Ok(())).build().unwrap().start().await;
}

#[tokio::test]
async fn t16_idempotent_calls_may_take_their_time() {
    let running = Service::builder("s").handler("S.Slow", async |_: Context, (): ()| { tokio::time::sleep(ms(1500)).await; Ok("done") }).build().unwrap().start().await.unwrap();
    let r: Result<String> = running.client().call("s", "S.Slow", &()).idempotent().await;
    r.unwrap();
}

// ---- starvation of the flusher
#[tokio::test]
async fn t17_calls_that_keep_coming_do_not_keep_others_from_being_sent() {
    let running = Service::builder("s").handler("S.Now", async |_: Context, (): ()| Ok(())).build().unwrap().start().await.unwrap();
    let client = running.client();
    client.call::<_, ()>("s", "S.Now", &()).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    for issued in 0..20_000 {
        let (call, d) = (client.call::<_, ()>("s", "S.Now", &()).into_future(), done.clone());
        tokio::spawn(async move { call.await.unwrap(); d.fetch_add(1, Ordering::SeqCst); });
        tokio::task::yield_now().await;
        if issued == 19_999 { eprintln!("issued {issued}, done {}", done.load(Ordering::SeqCst)); assert!(done.load(Ordering::SeqCst) > 0, "none of {issued} calls was sent"); }
    }
}

// ---- open that takes long
#[derive(Clone)]
struct SlowOpen(Arc<dyn Transport>);
#[async_trait]
impl Transport for SlowOpen {
    fn name(&self) -> &'static str { "memory" }
    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        if bind == Bind::ClientOnly { tokio::time::sleep(Duration::from_secs(5)).await; }
        self.0.open(bind).await
    }
    fn capabilities(&self) -> transport::Capabilities { self.0.capabilities() }
}
#[tokio::test]
async fn t18_a_call_ends_at_its_deadline_also_while_the_port_opens() {
    let memory = Memory::new();
    let client = Client::builder().registry(memory.registry()).transport(SlowOpen(Arc::new(memory.transport()))).broker(memory.broker()).build().unwrap();
    let begun = Instant::now();
    let r = client.call_raw("s", "S.X", "x").address("here").timeout(ms(200)).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}
