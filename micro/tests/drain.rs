//! A node that stops listens no more, and answers what it has accepted.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::Duration;

use micro::{Client, Context, ErrorKind, PluginConfig, Plugins, RequestState, Running, Service};
use micro_testkit::server::NatsServer;
use tokio::sync::{Notify, mpsc};
use tokio::time::{sleep, timeout};

const LIMIT: Duration = Duration::from_secs(20);

/// Whoever works tells so, and is done when it is let go.
async fn worker(nats: &NatsServer) -> (Running, mpsc::Receiver<()>, Arc<Notify>) {
    let (tell, told) = mpsc::channel(10);
    let done = Arc::new(Notify::new());
    let (plugins, config) = over(nats);
    let service = Service::builder("work")
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
        .handler("Work.Now", async |_: Context, (): ()| Ok("now"))
        .handler("Work.Long", {
            let done = done.clone();
            move |_: Context, (): ()| {
                let (tell, done) = (tell.clone(), done.clone());
                async move {
                    tell.send(()).await.unwrap();
                    done.notified().await;
                    Ok("done")
                }
            }
        });
    (service.build().unwrap().start().await.unwrap(), told, done)
}

fn client(nats: &NatsServer) -> Client {
    let (plugins, config) = over(nats);
    Client::builder()
        .registry(plugins.registry("nats", &config).unwrap())
        .transport(plugins.transport("nats", &config).unwrap())
        .broker(plugins.broker("nats", &config).unwrap())
        .build()
        .unwrap()
}

/// With a connection of its own.
fn over(nats: &NatsServer) -> (Plugins, PluginConfig) {
    (Plugins::new(), PluginConfig::default().with_addresses([nats.address()]))
}

#[tokio::test]
async fn a_call_in_flight_to_a_node_that_stops_listening_is_answered() {
    let nats = NatsServer::start().await;
    // A node that was heard before, and one whose first call this is.
    for heard_before in [true, false] {
        let (running, mut told, done) = worker(&nats).await;
        let client = client(&nats);
        let address = running.node().address.clone();
        let now = async || {
            let call = client.call::<_, String>("work", "Work.Now", &()).address(&address);
            call.retries(0).timeout(LIMIT).await
        };
        if heard_before {
            now().await.unwrap();
        }
        let long = client.call::<_, String>("work", "Work.Long", &()).address(&address);
        let long = tokio::spawn(long.timeout(LIMIT).into_future());
        timeout(LIMIT, told.recv()).await.unwrap().unwrap();

        let stopping = tokio::spawn(running.stop());
        let refused = async {
            loop {
                if let Err(error) = now().await {
                    return error;
                }
            }
        };
        let error = timeout(LIMIT, refused).await.expect("it listens on");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert_eq!(error.request(), Some(RequestState::NotSent), "{error:?}");
        // Long enough for several probes that nobody answers: no reason to give the call up.
        sleep(Duration::from_secs(1)).await;
        assert!(!long.is_finished(), "{:?}", long.await);
        done.notify_one();
        assert_eq!(long.await.unwrap().unwrap(), "done");
        stopping.await.unwrap().unwrap();
    }
}
