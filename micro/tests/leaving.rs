//! A service that stops over TCP, where callers stay connected: whatever it did not hear is known not
//! to have run.
#![cfg(all(feature = "memory", feature = "transport-tcp"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use micro::memory::Memory;
use micro::tcp::TcpTransport;
use micro::{Client, Context, RequestState, Running, Service};
use tokio::task::JoinSet;

const CALLERS: usize = 32;

async fn service(ran: &Arc<AtomicU64>) -> Running {
    let ran = ran.clone();
    Service::builder("work")
        .registry(Memory::new().registry())
        .transport(TcpTransport::new(["127.0.0.1"]).unwrap())
        .handler("Work.Now", move |_: Context, (): ()| {
            ran.fetch_add(1, Ordering::SeqCst);
            async { Ok(()) }
        })
        .build()
        .unwrap()
        .start()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_unknown_when_a_service_stops_under_load() {
    for _ in 0..3 {
        let ran = Arc::new(AtomicU64::new(0));
        let running = service(&ran).await;
        let client = Client::builder()
            .registry(Memory::new().registry())
            .transport(TcpTransport::new(["127.0.0.1"]).unwrap())
            .build()
            .unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            let (client, over) = (client.clone(), over.clone());
            let address = running.node().address.clone();
            callers.spawn(async move {
                let mut answered = 0;
                while !over.load(Ordering::Acquire) {
                    // Nobody told the caller that the node leaves.
                    let call = client.call::<_, ()>("work", "Work.Now", &()).address(&address);
                    match call.retries(0).timeout(Duration::from_secs(20)).await {
                        Ok(()) => answered += 1,
                        Err(error) => {
                            assert_eq!(error.request(), Some(RequestState::NotSent), "{error:?}");
                            tokio::time::sleep(Duration::from_millis(1)).await;
                        }
                    }
                }
                answered
            });
        }
        while ran.load(Ordering::SeqCst) < 1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        running.stop().await.unwrap();
        over.store(true, Ordering::Release);
        let answered: u64 = callers.join_all().await.into_iter().sum();
        assert_eq!(answered, ran.load(Ordering::SeqCst), "what ran was answered, and nothing else");
    }
}
