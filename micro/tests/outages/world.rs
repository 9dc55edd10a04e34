//! A service, those who call it all the time, and what must hold for them after an outage.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use micro::{Client, Context, PluginConfig, Plugins, Running, Service};
use tokio::time::{Instant, timeout};

use crate::callers::Callers;

/// For what must come sooner or later.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// Within this all is as before; usually it is less than a second, this is for a busy machine.
const SOON: Duration = Duration::from_secs(10);

const SERVICE: &str = "steady";

/// A service on a connection of its own, and callers on another.
pub(crate) struct World {
    service: Running,
    events: Arc<AtomicU64>,
    pub(crate) client: Client,
}

impl World {
    /// The service is given these addresses of NATS, and its callers those; neither needs to be
    /// there.
    pub(crate) async fn start(service: &[String], callers: &[String]) -> Self {
        let events = Arc::new(AtomicU64::new(0));
        let seen = events.clone();
        let (plugins, config) = over(service);
        let service = Service::builder(SERVICE)
            .registry(plugins.registry("nats", &config).unwrap())
            .transport(plugins.transport("nats", &config).unwrap())
            .broker(plugins.broker("nats", &config).unwrap())
            .handler("Steady.Wait", async |_: Context, millis: u64| {
                if millis > 0 {
                    tokio::time::sleep(Duration::from_millis(millis)).await;
                }
                Ok(millis)
            })
            .raw_handler("Steady.Echo", async |_: Context, body| Ok(body))
            .subscriber("steady.event", move |_: Context, (): ()| {
                seen.fetch_add(1, Ordering::Relaxed);
                async { Ok(()) }
            });
        let starting = service.build().unwrap().start();
        let service = timeout(LIMIT, starting).await.expect("it waits for NATS").unwrap();
        Self { service, events, client: client(callers) }
    }

    /// Begins to call, and returns when all who call were answered.
    pub(crate) async fn call(&self) -> Callers {
        let callers = Callers::start(&self.client);
        callers.all_answered_since(Instant::now()).await;
        callers
    }

    /// All is as it was: a new client at these addresses finds the service, its events arrive, and
    /// whoever called before is served. Nothing was restarted. Returns how long after
    /// `since` the last call began that failed.
    pub(crate) async fn is_steady(
        &self,
        at: &[String],
        callers: &Callers,
        since: Instant,
    ) -> Duration {
        let fresh = client(at);
        let served = async {
            while fresh.call::<_, u64>(SERVICE, "Steady.Wait", &0).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            since.elapsed()
        };
        let served = timeout(LIMIT, served).await.expect("a new client is not served");
        let found = fresh.registry().get(&SERVICE.parse().unwrap()).await.unwrap();
        let node = self.service.node();
        assert!(found.iter().flat_map(|service| &service.nodes).any(|n| n == node), "{found:?}");

        let before = self.events.load(Ordering::Relaxed);
        let arrived = async {
            while self.events.load(Ordering::Relaxed) == before {
                fresh.publish("steady.event", &()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            since.elapsed()
        };
        let heard = timeout(LIMIT, arrived).await.expect("no event arrives");

        callers.all_answered_since(Instant::now()).await;
        let last_failure = callers.last_failure_after(since);
        assert!(self.service.failed().now_or_never().is_none());
        eprintln!(
            "a new client was served after {served:.0?}, an event came after {heard:.0?}, the last \
             of {} failed calls began after {last_failure:.0?}",
            callers.failures(),
        );
        for took in [served, heard, last_failure] {
            assert!(took < SOON, "steady only after {took:?}");
        }
        last_failure
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
