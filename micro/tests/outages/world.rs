//! A service, those who call it all the time, and what must hold for them after an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use micro::client::Filter;
use micro::{Client, Context, PluginConfig, Plugins, Running, Service};
use tokio::time::{Instant, sleep, timeout};

use crate::callers::Callers;

/// For what must come sooner or later.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// Within this all is as before; usually it is less than a second, this is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

const SERVICE: &str = "steady";

/// A service, each node of which has a connection of its own, and callers on another.
pub(crate) struct World {
    nodes: Vec<Node>,
    pub(crate) client: Client,
}

struct Node {
    running: Running,
    events: Arc<AtomicU64>,
}

impl World {
    /// Each node is given one of these addresses of NATS, and the callers that one; nobody needs to
    /// be there.
    pub(crate) async fn start(nodes: &[String], callers: &str) -> Self {
        let mut started = Vec::new();
        for address in nodes {
            let starting = timeout(LIMIT, Node::start(address));
            started.push(starting.await.expect("a node waits for NATS"));
        }
        Self { nodes: started, client: client(&[callers.to_owned()]) }
    }

    /// Begins to call, and returns when all who call were answered.
    pub(crate) async fn call(&self) -> Callers {
        let callers = Callers::start(&self.client);
        callers.all_answered_since(Instant::now()).await;
        callers
    }

    /// All is as it was: a new client at these addresses finds every node and is served by it, events
    /// arrive at each, and whoever called before is served. Nothing was restarted. Measured from
    /// `since` on.
    pub(crate) async fn is_steady(&self, at: &[String], callers: &Callers, since: Instant) {
        let fresh = client(at);
        let served = async {
            for node in &self.nodes {
                node.serves(&fresh).await;
            }
            since.elapsed()
        };
        let served = timeout(LIMIT, served).await.expect("a new client is not served");
        let found = fresh.registry().get(&SERVICE.parse().unwrap()).await.unwrap();
        let found: Vec<_> = found.iter().flat_map(|service| &service.nodes).cloned().collect();
        assert!(self.nodes.iter().all(|node| found.contains(&node.running.node())), "{found:?}");

        let before: Vec<u64> = self.nodes.iter().map(Node::events).collect();
        let arrived = async {
            while self.nodes.iter().zip(&before).any(|(node, before)| node.events() == *before) {
                fresh.publish("steady.event", &()).await.unwrap();
                sleep(Duration::from_millis(10)).await;
            }
            since.elapsed()
        };
        let heard = timeout(LIMIT, arrived).await.expect("no event arrives");

        callers.all_answered_since(Instant::now()).await;
        let last_failure = callers.last_failure_after(since);
        assert!(self.nodes.iter().all(|node| node.running.failed().now_or_never().is_none()));
        eprintln!(
            "a new client was served after {served:.0?}, an event came after {heard:.0?}, the last \
             of {} failed calls began after {last_failure:.0?}",
            callers.failures(),
        );
        for took in [served, heard, last_failure] {
            assert!(took < SOON, "steady only after {took:?}");
        }
    }
}

impl Node {
    async fn start(address: &str) -> Self {
        let events = Arc::new(AtomicU64::new(0));
        let seen = events.clone();
        let (plugins, config) = over(&[address.to_owned()]);
        let service = Service::builder(SERVICE)
            .registry(plugins.registry("nats", &config).unwrap())
            .transport(plugins.transport("nats", &config).unwrap())
            .broker(plugins.broker("nats", &config).unwrap())
            .handler("Steady.Wait", async |_: Context, millis: u64| {
                if millis > 0 {
                    sleep(Duration::from_millis(millis)).await;
                }
                Ok(millis)
            })
            .raw_handler("Steady.Echo", async |_: Context, body| Ok(body))
            .subscriber("steady.event", move |_: Context, (): ()| {
                seen.fetch_add(1, Ordering::Relaxed);
                async { Ok(()) }
            });
        Self { running: service.build().unwrap().start().await.unwrap(), events }
    }

    fn events(&self) -> u64 {
        self.events.load(Ordering::Relaxed)
    }

    /// Returns when it is found and has answered.
    async fn serves(&self, client: &Client) {
        let id = self.running.node().id.clone();
        let it = Filter::new(move |_, node| node.id == id);
        let call = || client.call::<_, u64>(SERVICE, "Steady.Wait", &0).filter(it.clone());
        while call().await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn client(addresses: &[String]) -> Client {
    let (plugins, config) = over(addresses);
    Client::builder()
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
        .build()
        .unwrap()
}

/// With a connection of its own.
fn over(addresses: &[String]) -> (Plugins, PluginConfig) {
    (Plugins::new(), PluginConfig::default().with_addresses(addresses.iter().cloned()))
}

/// A number from the environment: how long or how often a test does what it does.
pub(crate) fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(number) => number.parse().unwrap_or_else(|_| panic!("{variable}={number:?}")),
        Err(_) => default,
    }
}
