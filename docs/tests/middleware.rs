//! Layers of `tower` do around calls what they do elsewhere.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro::{Context, ErrorKind, Running, Service, ServiceBuilder};
use tower::limit::ConcurrencyLimitLayer;
use tower::timeout::TimeoutLayer;

const CALLS: usize = 20;

/// Makes calls at once; how many handlers ran at once at most.
async fn most_at_once(add_layer: impl FnOnce(ServiceBuilder) -> ServiceBuilder) -> usize {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let service = Service::builder("s").handler("S.Work", {
        let most = most.clone();
        move |_: Context, (): ()| {
            let (running, most) = (running.clone(), most.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            }
        }
    });
    let service = start(add_layer(service)).await;
    let calls = (0..CALLS).map(|_| {
        let call = service.client().call::<_, ()>("s", "S.Work", &());
        tokio::spawn(call.timeout(Duration::from_secs(20)).into_future())
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap().unwrap();
    }
    most.load(Ordering::SeqCst)
}

async fn start(service: ServiceBuilder) -> Running {
    service.build().unwrap().start().await.unwrap()
}

#[tokio::test]
async fn a_limit_of_concurrency_holds_on_both_sides_and_every_call_gets_its_turn() {
    assert!(most_at_once(|service| service).await > 2);
    let layer = ConcurrencyLimitLayer::new(2);
    assert_eq!(most_at_once(|service| service.call_layer(layer.clone())).await, 2);
    assert_eq!(most_at_once(|service| service.serve_layer(layer)).await, 2);
}

#[tokio::test]
async fn a_timeout_ends_what_it_is_around_on_both_sides_as_an_internal_error() {
    let timeout = TimeoutLayer::new(Duration::from_millis(20));
    let never = || {
        let handler =
            async |_: Context, (): ()| -> micro::Result<()> { std::future::pending().await };
        Service::builder("s").handler("S.Never", handler)
    };
    for service in [never().call_layer(timeout.clone()), never().serve_layer(timeout)] {
        let running = start(service).await;
        let error = running.client().call::<_, ()>("s", "S.Never", &()).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Internal, 500));
        assert_eq!(error.detail(), "request timed out");
    }
}
