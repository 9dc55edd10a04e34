//! What a test needs of a Rust service beside the `echo` example: in its own process, so that it can look inside.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use micro::codec::JsonOrProtobuf;
use micro::server::SubscriberOptions;
use micro::{Context, Running};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use tokio::sync::{Mutex as AsyncMutex, mpsc};

use crate::world::World;
use crate::{Req, Rsp, limited};

/// A Rust service with the endpoints of the Go peer's `Peer`, and `Echo.Meta`.
#[derive(Debug)]
pub struct Helper {
    /// The service.
    pub running: Running,
    /// What its handlers do.
    pub gauge: Gauge,
    events: AsyncMutex<mpsc::Receiver<Event>>,
}

/// An event as a typed subscriber has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The publisher's metadata.
    pub metadata: BTreeMap<String, String>,
    /// Its body.
    pub body: Req,
}

/// How its handlers fare.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    runs: Arc<Mutex<BTreeMap<String, i32>>>,
    open: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
}

/// What a handler calls on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Relayed {
    /// Whom.
    pub service: String,
    /// What.
    pub endpoint: String,
    /// With what.
    pub body: Value,
    /// How often, one after the other.
    #[serde(default)]
    pub times: usize,
}

impl Relayed {
    /// A call with nothing in it, so often.
    pub fn new(service: &str, endpoint: &str, times: usize) -> Self {
        Self {
            service: service.to_owned(),
            endpoint: endpoint.to_owned(),
            body: serde_json::json!({}),
            times,
        }
    }
}

impl Helper {
    /// Starts it under this name; it also subscribes to `helper.events`.
    pub async fn start(world: &World, name: &str) -> Self {
        let gauge = Gauge::default();
        let (ran, slow) = (gauge.clone(), gauge.clone());
        let (tell, events) = mpsc::channel(10_000);
        let service = world
            .service(name)
            .handler("Peer.Relay", relay)
            .handler("Peer.Run", move |_: Context, req: Req| {
                let gauge = ran.clone();
                async move {
                    let count = gauge.ran(&req.name);
                    let mut work = gauge.begin();
                    tokio::time::sleep(Duration::from_millis(req.millis.unsigned_abs().into()))
                        .await;
                    work.done = true;
                    Ok(Rsp {
                        greeting: format!("ran {}", req.name),
                        value: count,
                        ..Rsp::default()
                    })
                }
            })
            .handler("Peer.Runs", move |_: Context, req: Req| {
                let count = slow.runs(&req.name);
                async move { Ok(Rsp { value: count, ..Rsp::default() }) }
            })
            .handler("Echo.Meta", async |context: Context, _: Req| {
                let meta = context
                    .metadata()
                    .iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()));
                Ok(Rsp { meta: meta.collect(), ..Rsp::default() })
            })
            .handler("Peer.Greet", async |_: Context, req: Req| {
                Ok(Rsp { greeting: format!("Hello {}", req.name), ..Rsp::default() })
            })
            .raw_handler("Peer.Raw", async |_: Context, body| Ok(body))
            .subscriber_with::<JsonOrProtobuf, _, _, _>(
                "helper.events",
                SubscriberOptions::default().in_order(),
                move |context: Context, body: Req| {
                    let told = tell.try_send(Event { metadata: metadata(&context), body });
                    async move { told.map_err(|error| micro::Error::internal(error.to_string())) }
                },
            );
        let service = service.build().expect("the service is valid");
        Self {
            running: service.start().await.expect("the service starts"),
            gauge,
            events: events.into(),
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn event(&self) -> Event {
        let mut events = self.events.lock().await;
        limited("an event", events.recv()).await.expect("the service is there")
    }
}

fn metadata(context: &Context) -> BTreeMap<String, String> {
    context.metadata().iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

async fn relay(context: Context, relayed: Relayed) -> micro::Result<Vec<Value>> {
    let mut replies = Vec::new();
    for _ in 0..relayed.times.max(1) {
        let call = context.client().call(&relayed.service, &relayed.endpoint, &relayed.body);
        replies.push(call.retries(0).await?);
    }
    Ok(replies)
}

impl Gauge {
    /// How often `Peer.Run` ran for this name.
    pub fn runs(&self, name: &str) -> i32 {
        self.runs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .copied()
            .unwrap_or_default()
    }

    /// How many handlers of `Peer.Run` are at work.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// How many were told to stop before they were done.
    pub fn stopped(&self) -> usize {
        self.stopped.load(Ordering::SeqCst)
    }

    fn ran(&self, name: &str) -> i32 {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let count = runs.entry(name.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn begin(&self) -> Work {
        self.open.fetch_add(1, Ordering::SeqCst);
        Work { gauge: self.clone(), done: false }
    }
}

/// A handler at work.
struct Work {
    gauge: Gauge,
    done: bool,
}

impl Drop for Work {
    fn drop(&mut self) {
        self.gauge.open.fetch_sub(1, Ordering::SeqCst);
        if !self.done {
            self.gauge.stopped.fetch_add(1, Ordering::SeqCst);
        }
    }
}
