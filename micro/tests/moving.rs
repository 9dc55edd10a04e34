//! A service whose address changes while it runs, over memory and on a clock of its own.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::memory::Memory;
use micro::registry::{Change, Registry, Service as Record, WatchOptions, Watcher};
use micro::transport::{Bind, Capabilities, Incoming, Peer, Port, Transport};
use micro::{Context, Error, Result, Service, ServiceBuilder};
use micro_core::async_trait;
use tokio::time::{Instant, sleep, timeout};

const INTERVAL: Duration = Duration::from_secs(30);
/// On the paused clock.
const LIMIT: Duration = Duration::from_secs(300);

/// A transport whose ports are reached at another address whenever the test says so.
#[derive(Clone)]
struct Laptop {
    memory: Memory,
    /// `None`: nobody can say where.
    place: Arc<Mutex<Option<String>>>,
    asked: Arc<AtomicUsize>,
}

struct LaptopPort {
    inner: Arc<dyn Port>,
    laptop: Laptop,
}

impl Laptop {
    fn at(place: &str) -> Self {
        let place = Arc::new(Mutex::new(Some(place.to_owned())));
        Self { memory: Memory::new(), place, asked: Arc::default() }
    }

    fn moves_to<'a>(&self, place: impl Into<Option<&'a str>>) {
        *self.place.lock().unwrap() = place.into().map(str::to_owned);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A service that says where it is.
    fn service(&self, at: &'static str) -> ServiceBuilder {
        Service::builder("laptop")
            .id("one")
            .address(at)
            .handler("Laptop.Where", move |_: Context, (): ()| async move { Ok(at) })
            .register_interval(INTERVAL)
            .registry(self.memory.registry())
            .broker(self.memory.broker())
    }

    /// What is told from now on.
    async fn watched(&self) -> Watcher {
        let mut watched = self.memory.registry().watch(WatchOptions::default()).await.unwrap();
        assert_eq!(told(&mut watched).await, "synced");
        watched
    }
}

#[async_trait]
impl Transport for Laptop {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        let (inner, incoming) = self.memory.transport().open(bind).await?;
        Ok((Arc::new(LaptopPort { inner, laptop: self.clone() }), incoming))
    }

    fn capabilities(&self) -> Capabilities {
        self.memory.transport().capabilities()
    }
}

#[async_trait]
impl Port for LaptopPort {
    fn local(&self) -> Option<&str> {
        self.inner.local()
    }

    fn advertise(&self, address: &str) -> Result<String> {
        self.laptop.asked.fetch_add(1, Ordering::SeqCst);
        if Some(address) != self.local() {
            return self.inner.advertise(address);
        }
        let place = self.laptop.place.lock().unwrap().clone();
        place.ok_or_else(|| Error::unavailable("nobody knows, as the test wants it"))
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        self.inner.dial(address)
    }

    async fn stop_listening(&self) -> Result<()> {
        self.inner.stop_listening().await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }
}

/// What a watcher is told next, in words.
async fn told(watched: &mut Watcher) -> String {
    let node = |service: &Record| {
        let nodes = service.nodes.iter().map(|node| format!("{} at {}", node.id, node.address));
        nodes.collect::<Vec<_>>().join(", ")
    };
    match timeout(LIMIT, watched.next()).await.expect("nothing is told").unwrap() {
        Change::Added(service) => format!("added {}", node(&service)),
        Change::Updated(service) => format!("updated {}", node(&service)),
        Change::Removed(service) => format!("removed {}", service.name),
        Change::Synced => "synced".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_that_moves_is_the_same_node_at_another_address_and_its_callers_follow() {
    let laptop = Laptop::at("home");
    // What is reached at the other place, which the same server would be over a real network.
    let cafe = Service::builder("stand-in").transport(laptop.memory.transport());
    let cafe = cafe.registry(Memory::new().registry()).broker(laptop.memory.broker());
    let cafe = cafe.address("cafe").handler("Laptop.Where", async |_: Context, (): ()| Ok("cafe"));
    let cafe = cafe.build().unwrap().start().await.unwrap();
    let mut watched = laptop.watched().await;
    let service = laptop.service("home").transport(laptop.clone());
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    let whereabouts = || client.call::<_, String>("laptop", "Laptop.Where", &());
    assert_eq!(told(&mut watched).await, "added laptop-one at home");
    assert_eq!(whereabouts().await.unwrap(), "home");

    let moved = Instant::now();
    laptop.moves_to("cafe");
    assert_eq!(told(&mut watched).await, "updated laptop-one at cafe");
    assert!(moved.elapsed() <= INTERVAL, "{:?}", moved.elapsed());
    assert_eq!(running.node().address, "cafe");
    let follows = async { while whereabouts().await.unwrap() != "cafe" {} };
    timeout(LIMIT, follows).await.expect("its caller does not follow");

    running.stop().await.unwrap();
    assert_eq!(told(&mut watched).await, "removed laptop");
    drop(cafe);
}

#[tokio::test(start_paused = true)]
async fn a_port_is_asked_once_for_each_renewal_and_nothing_is_told_that_has_not_changed() {
    let laptop = Laptop::at("home");
    let mut watched = laptop.watched().await;
    let service = laptop.service("home").transport(laptop.clone());
    let running = service.build().unwrap().start().await.unwrap();
    assert_eq!(laptop.asked(), 0, "it has just said its address");
    assert_eq!(told(&mut watched).await, "added laptop-one at home");
    let more = timeout(INTERVAL * 3 + INTERVAL / 2, watched.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(laptop.asked(), 3);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_address_that_was_given_stays_wherever_the_service_is() {
    let laptop = Laptop::at("home");
    let service = laptop.service("home").transport(laptop.clone()).advertise("greeter.example");
    let running = service.build().unwrap().start().await.unwrap();
    laptop.moves_to("cafe");
    let asked = laptop.asked();
    sleep(INTERVAL * 2).await;
    assert!(laptop.asked() > asked);
    assert_eq!(running.node().address, "greeter.example");
    let found = laptop.memory.registry().get(&"laptop".parse().unwrap()).await.unwrap();
    assert_eq!(found[0].nodes, [running.node()]);
}

#[tokio::test(start_paused = true)]
async fn an_address_stays_while_nobody_can_say_where_it_is() {
    let laptop = Laptop::at("home");
    let mut watched = laptop.watched().await;
    let service = laptop.service("home").transport(laptop.clone());
    let _running = service.build().unwrap().start().await.unwrap();
    assert_eq!(told(&mut watched).await, "added laptop-one at home");
    laptop.moves_to(None);
    // Longer than a registration lives that is not renewed.
    let more = timeout(INTERVAL * 5 + INTERVAL / 2, watched.next()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!(laptop.asked(), 5);
    laptop.moves_to("cafe");
    assert_eq!(told(&mut watched).await, "updated laptop-one at cafe");
}
