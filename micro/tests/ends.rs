//! Every call ends in its time, and with the truth, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use micro::memory::{Memory, MemoryOptions};
use micro::registry::{RegisterOptions, Registry, Service as Record, ServiceName};
use micro::registry::{WatchOptions, Watcher};
use micro::transport::{Bind, Capabilities, Incoming, Port, Transport, recv};
use micro::{
    Client, ClientOptions, Context, ErrorKind, RequestState, Result, Service, ServiceBuilder,
};
use micro_core::async_trait;
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);

fn over(memory: &Memory, name: &str) -> ServiceBuilder {
    Service::builder(name)
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
}

fn client(memory: &Memory, options: ClientOptions) -> Client {
    Client::builder()
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .options(options)
        .build()
        .unwrap()
}

#[test]
fn a_client_goes_on_when_the_runtime_of_its_first_call_is_gone() {
    let memory = Memory::new();
    let client = client(&memory, ClientOptions::default());
    for address in ["first", "second"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let service = over(&memory, "s")
                .address(address)
                .handler("S.Never", async |_: Context, (): ()| pending::<Result<()>>().await)
                .handler("S.Where", move |_: Context, (): ()| async move { Ok(address) });
            let running = service.build().unwrap().start().await.unwrap();
            let never = client.call::<_, ()>("s", "S.Never", &()).timeout(SHORT).address(address);
            let never = timeout(LIMIT, never.into_future()).await.expect("it never ends");
            assert_eq!(never.unwrap_err().kind(), ErrorKind::Timeout);
            let answer: String = client.call("s", "S.Where", &()).await.unwrap();
            assert_eq!(answer, address);
            running.stop().await.unwrap();
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_whose_time_ends_one_by_one_holds_up_nobody_else() {
    const CROWD: u32 = 50_000;
    const BEGIN: Duration = Duration::from_millis(1_500);
    const SPREAD: Duration = Duration::from_secs(2);
    let memory = Memory::with_options(MemoryOptions::default().with_port_packets(1 << 20));
    let (_port, _incoming) = memory.transport().open(Bind::Address("mute".into())).await.unwrap();
    let service = over(&memory, "s").handler("S.Now", async |_: Context, (): ()| Ok(()));
    let running = service.build().unwrap().start().await.unwrap();
    let client = client(&memory, ClientOptions::default().with_retries(0));
    let start = Instant::now();
    let crowd: Vec<_> = (0..CROWD)
        .map(|at| {
            let end = BEGIN + SPREAD * at / CROWD;
            let call = client.call::<_, ()>("mute", "Mute.Never", &()).address("mute");
            tokio::spawn(call.timeout(end.saturating_sub(start.elapsed())).into_future())
        })
        .collect();
    let mut answered = [0_u32; 2];
    while start.elapsed() < BEGIN + SPREAD {
        client.call::<_, ()>("s", "S.Now", &()).await.unwrap();
        let elapsed = start.elapsed();
        if elapsed > BEGIN / 2 {
            answered[usize::from(elapsed > BEGIN)] += 1;
        }
    }
    for call in crowd {
        let error = timeout(LIMIT, call).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.request(), Some(RequestState::Unknown), "{error:?}");
    }
    let [before, during] = answered;
    // The second number is of a time nearly three times as long.
    assert!(during > before, "{before} answers before, {during} while their time ended");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_of_which_any_attempt_left_is_not_told_as_not_sent() {
    let memory = Memory::new();
    let (port, mut incoming) = memory.transport().open(Bind::Address("x".into())).await.unwrap();
    let client = client(&memory, ClientOptions::default().with_retries(1));
    let call = client.call::<_, ()>("s", "S.Do", &()).address("x");
    let call = tokio::spawn(call.idempotent().into_future());
    let mut arrivals = Vec::new();
    timeout(LIMIT, recv(&mut *incoming, &mut arrivals)).await.unwrap().unwrap();
    // It may have run. When it is tried again, nobody listens there any more.
    drop((arrivals, incoming, port));
    let error = timeout(LIMIT, call).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::Unknown), "{error:?}");
}

/// Takes its time to open a port, and to tell what is registered.
struct Slow(Memory);

const SLOW: Duration = Duration::from_secs(2);

#[async_trait]
impl Transport for Slow {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        sleep(SLOW).await;
        self.0.transport().open(bind).await
    }

    fn capabilities(&self) -> Capabilities {
        self.0.transport().capabilities()
    }
}

#[async_trait]
impl Registry for Slow {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn register(&self, service: &Record, options: RegisterOptions) -> Result<()> {
        self.0.registry().register(service, options).await
    }

    async fn deregister(&self, service: &Record) -> Result<()> {
        self.0.registry().deregister(service).await
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Record>> {
        self.0.registry().get(name).await
    }

    async fn list(&self) -> Result<Vec<Record>> {
        self.0.registry().list().await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
        sleep(SLOW).await;
        self.0.registry().watch(options).await
    }

    async fn close(&self) -> Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_told_the_time_that_is_left_after_the_registry_and_the_network_were_waited_for()
 {
    let memory = Memory::new();
    let service = over(&memory, "s").handler("S.Left", async |context: Context, (): ()| {
        sleep(SHORT).await;
        Ok(context.time_left().map(|left| left.as_millis() as u64))
    });
    let running = service.build().unwrap().start().await.unwrap();
    let slow = || Slow(memory.clone());
    let all_in_memory = || client(&memory, ClientOptions::default());
    let builder = || Client::builder().broker(memory.broker());
    let clients = [
        (builder().registry(memory.registry()).transport(slow()).build().unwrap(), 1),
        (builder().registry(slow()).transport(memory.transport()).build().unwrap(), 1),
        (builder().registry(slow()).transport(slow()).build().unwrap(), 2),
        (all_in_memory(), 0),
    ];
    for (client, waits) in clients {
        let call = client.call::<_, u64>("s", "S.Left", &()).timeout(LIMIT);
        let left = Duration::from_millis(call.await.unwrap());
        let expected = LIMIT - SLOW * waits - SHORT;
        assert!(left <= expected && left + SHORT > expected, "{left:?}, not {expected:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_registry_is_no_attempt() {
    let memory = Memory::new();
    let runs = Arc::new(AtomicUsize::new(0));
    let service = over(&memory, "s").handler("S.Count", {
        let runs = runs.clone();
        move |_: Context, (): ()| {
            let runs = runs.clone();
            async move {
                runs.fetch_add(1, Ordering::SeqCst);
                sleep(SHORT).await;
                Ok(())
            }
        }
    });
    let running = service.build().unwrap().start().await.unwrap();
    let client = Client::builder().broker(memory.broker()).transport(memory.transport());
    let client = client.registry(Slow(memory.clone())).build().unwrap();
    // An attempt of it has one second, less than the registry takes.
    client.call::<_, ()>("s", "S.Count", &()).idempotent().await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    running.stop().await.unwrap();
}
