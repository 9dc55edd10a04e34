//! Which node a call goes to, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro::client::{Filter, Strategy};
use micro::memory::Memory;
use micro::registry::{RegisterOptions, Registry, Service as Record, ServiceName};
use micro::registry::{WatchOptions, Watcher};
use micro::{
    Client, ClientOptions, Context, ErrorKind, RequestState, Result, Running, Service,
    ServiceBuilder,
};
use micro_core::async_trait;

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

/// A node that answers with its id.
async fn node(
    memory: &Memory,
    id: &'static str,
    say: impl Fn(ServiceBuilder) -> ServiceBuilder,
) -> Running {
    let service = over(memory, "g")
        .id(id)
        .handler("G.Who", move |_: Context, (): ()| async move { Ok(id) })
        .handler("G.Never", async |_: Context, (): ()| std::future::pending::<Result<()>>().await);
    say(service).build().unwrap().start().await.unwrap()
}

async fn who(client: &Client) -> String {
    client.call("g", "G.Who", &()).await.unwrap()
}

/// All that answer to many calls.
async fn answering(client: &Client, filter: Option<Filter>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let call = client.call::<_, String>("g", "G.Who", &());
        let call = match &filter {
            Some(filter) => call.filter(filter.clone()),
            None => call,
        };
        seen.insert(call.await.unwrap());
    }
    seen
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(str::to_owned).into()
}

#[tokio::test]
async fn the_less_loaded_of_two_nodes_is_called() {
    let memory = Memory::new();
    let mut nodes = vec![node(&memory, "a", |s| s).await];
    let client = client(&memory, ClientOptions::default());
    assert_eq!(ClientOptions::default().strategy, Strategy::LeastLoaded);
    // With one node alone, that is where this call hangs.
    let hanging = tokio::spawn(client.call::<_, ()>("g", "G.Never", &()).into_future());
    assert_eq!(who(&client).await, "a");
    nodes.push(node(&memory, "b", |s| s).await);
    let found = async { while who(&client).await != "b" {} };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("b is never called");
    assert_eq!(answering(&client, None).await, set(["b"]));
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());
    // A call that was given up is no load.
    assert_eq!(answering(&client, None).await, set(["a", "b"]));
}

#[tokio::test]
async fn the_turns_of_a_node_that_is_avoided_go_to_all_others_alike() {
    let memory = Memory::new();
    let mut nodes = Vec::new();
    for id in ["a", "b", "c", "d"] {
        nodes.push(node(&memory, id, |s| s).await);
    }
    let options = ClientOptions::default().with_strategy(Strategy::RoundRobin);
    let client = client(&memory, options);
    who(&client).await;
    // It dies without a word.
    drop(nodes.remove(0));
    let mut turns = BTreeMap::<_, usize>::new();
    for _ in 0..120 {
        *turns.entry(who(&client).await).or_default() += 1;
    }
    assert_eq!(turns.len(), 3);
    assert!(turns.values().all(|turns| (38..=42).contains(turns)), "{turns:?}");
}

#[tokio::test]
async fn a_node_whose_address_is_none_costs_no_call() {
    let memory = Memory::new();
    let good = node(&memory, "good", |s| s).await;
    let bad = node(&memory, "bad", |s| s.advertise("no address")).await;
    let client = client(&memory, ClientOptions::default());
    assert_eq!(answering(&client, None).await, set(["good"]));
    let all = || client.call::<_, String>("g", "G.Who", &());
    // Whoever names such an address himself is told what is wrong with it.
    let error = all().address("no address").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    drop(good);
    let error = all().retries(0).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.request()),
        (ErrorKind::Unavailable, Some(RequestState::NotSent))
    );
    drop(bad);
}

#[tokio::test]
async fn nodes_of_the_callers_zone_come_first_and_others_when_there_are_none() {
    let memory = Memory::new();
    let near = node(&memory, "near", |s| s.metadata("zone", "a")).await;
    let far = node(&memory, "far", |s| s.metadata("zone", "b")).await;
    let nowhere = node(&memory, "nowhere", |s| s).await;
    for strategy in [Strategy::LeastLoaded, Strategy::Random, Strategy::RoundRobin] {
        let options = ClientOptions::default().with_strategy(strategy);
        let all = client(&memory, options.clone());
        assert_eq!(answering(&all, None).await, set(["near", "far", "nowhere"]), "{strategy:?}");
        let lonely = client(&memory, options.clone().with_zone("c"));
        assert_eq!(answering(&lonely, None).await, set(["near", "far", "nowhere"]));
        let zoned = client(&memory, options.with_zone("a"));
        assert_eq!(answering(&zoned, None).await, set(["near"]), "{strategy:?}");
    }
    let zoned = client(&memory, ClientOptions::default().with_zone("a"));
    assert_eq!(who(&zoned).await, "near");
    // It dies without a word: calls go on at once, in the other zone.
    drop(near);
    assert_eq!(answering(&zoned, None).await, set(["far", "nowhere"]));
    drop((far, nowhere));
}

#[tokio::test]
async fn a_service_calls_nodes_of_its_own_zone() {
    let memory = Memory::new();
    let nodes = [
        node(&memory, "a", |s| s.metadata("zone", "a")).await,
        node(&memory, "b", |s| s.metadata("zone", "b")).await,
    ];
    let caller = over(&memory, "caller").metadata("zone", "b").build().unwrap();
    assert_eq!(answering(&caller.client(), None).await, set(["b"]));
    drop(nodes);
}

#[tokio::test]
async fn filters_choose_by_version_metadata_and_endpoint_and_add_up() {
    let memory = Memory::new();
    let nodes = [
        node(&memory, "1-eu", |s| s.version("1").metadata("region", "eu")).await,
        node(&memory, "2-eu", |s| s.version("2").metadata("region", "eu")).await,
        node(&memory, "2-us", |s| {
            let more = s.version("2").metadata("region", "us");
            more.handler("G.New", async |_: Context, (): ()| Ok(()))
        })
        .await,
    ];
    let open = client(&memory, ClientOptions::default());
    let by = async |filter| answering(&open, Some(filter)).await;
    assert_eq!(by(Filter::version("1")).await, set(["1-eu"]));
    assert_eq!(by(Filter::metadata("region", "eu")).await, set(["1-eu", "2-eu"]));
    let own = Filter::new(|_, node| node.id.ends_with("us"));
    assert_eq!(by(own).await, set(["2-us"]));
    assert_eq!(by(Filter::version("2").and(Filter::metadata("region", "eu"))).await, set(["2-eu"]));
    let new = Filter::version("3");
    let strict = client(&memory, ClientOptions::default().with_filter(Filter::version("2")));
    let both = answering(&strict, Some(Filter::metadata("region", "eu"))).await;
    assert_eq!(both, set(["2-eu"]), "the client's filter holds too");
    let error = open.call::<_, String>("g", "G.Who", &()).filter(new).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("filter"), "{error}");
    drop(nodes);
}

#[tokio::test]
async fn a_filter_by_endpoint_finds_the_version_that_has_it() {
    let memory = Memory::new();
    let old = node(&memory, "old", |s| s.version("1")).await;
    let new = node(&memory, "new", |s| {
        s.version("2").handler("G.New", async |_: Context, (): ()| Ok(()))
    })
    .await;
    let client = client(&memory, ClientOptions::default());
    let filter = Filter::endpoint("G.New");
    assert_eq!(answering(&client, Some(filter)).await, set(["new"]));
    drop((old, new));
}

/// Counts what it is asked.
#[derive(Clone)]
struct Counting {
    memory: Memory,
    asked: Arc<AtomicUsize>,
}

#[async_trait]
impl Registry for Counting {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn register(&self, service: &Record, options: RegisterOptions) -> Result<()> {
        self.memory.registry().register(service, options).await
    }

    async fn deregister(&self, service: &Record) -> Result<()> {
        self.memory.registry().deregister(service).await
    }

    async fn get(&self, name: &ServiceName) -> Result<Vec<Record>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Everybody who will ask has asked by then.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        self.memory.registry().get(name).await
    }

    async fn list(&self) -> Result<Vec<Record>> {
        self.memory.registry().list().await
    }

    async fn close(&self) -> Result<()> {
        self.memory.registry().close().await
    }

    async fn watch(&self, options: WatchOptions) -> Result<Watcher> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.memory.registry().watch(options).await
    }
}

#[tokio::test]
async fn many_callers_of_an_unknown_name_make_one_query_and_a_known_one_none() {
    let memory = Memory::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let registry = Counting { memory: memory.clone(), asked: asked.clone() };
    let client = Client::builder()
        .registry(registry)
        .transport(memory.transport())
        .broker(memory.broker())
        .build()
        .unwrap();
    let callers = (0..100).map(|_| {
        let call = client.call::<_, String>("g", "G.Who", &());
        tokio::spawn(call.into_future())
    });
    for caller in callers.collect::<Vec<_>>() {
        assert_eq!(caller.await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "one watch and one query");
    assert!(!client.is_known("g"));
    let running = node(&memory, "a", |s| s).await;
    let told = async {
        while !client.is_known("g") {
            tokio::task::yield_now().await
        }
    };
    tokio::time::timeout(Duration::from_secs(20), told).await.expect("the watch tells of it");
    for _ in 0..100 {
        who(&client).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "a known answer costs no query");
    drop(running);
}

#[tokio::test]
async fn a_zone_of_many_nodes_that_is_gone_costs_no_call_while_another_lives() {
    let memory = Memory::new();
    let far = node(&memory, "far", |s| s.metadata("zone", "b")).await;
    let mut near = Vec::new();
    for id in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        near.push(node(&memory, id, |s| s.metadata("zone", "a")).await);
    }
    let client = client(&memory, ClientOptions::default().with_zone("a"));
    assert_ne!(who(&client).await, "far");
    // All at once, and without a word.
    drop(near);
    assert_eq!(who(&client).await, "far");
    let error = client.call::<_, String>("g", "G.Who", &()).filter(Filter::metadata("zone", "a"));
    let error = error.retries(0).await.unwrap_err();
    assert_eq!(error.request(), Some(RequestState::NotSent), "without retries one attempt is all");
    drop(far);
}
