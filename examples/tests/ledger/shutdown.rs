//! Nodes are asked to end.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::load::{Kind, LIMIT, Load, was_the_truth};
use crate::nodes::{World, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_call() {
    no_call_fails(World::over_nats().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_server_a_rolling_restart_under_load_fails_no_call() {
    no_call_fails(World::without_a_server()).await;
}

async fn no_call_fails(world: World) {
    let client = world.client();
    let mut nodes = [(); 3].map(|()| world.node("ledger"));
    // The first calls find somebody.
    world.is_found(&client, "ledger").await;
    let load = Load::start(&client, &[(32, Kind::Plain)], &[0, 5, 20, 400]);
    let restarts = number("MICRO_RESTARTS", 6);
    for restart in 0..restarts {
        let node = &mut nodes[restart as usize % 3];
        load.answered_by(node.pid).await;
        node.program.signal("-TERM");
        let next = world.node("ledger");
        let old = std::mem::replace(node, next);
        let (success, _, err) = old.program.end().await;
        assert!(success, "{err:#?}");
    }
    for node in &nodes {
        load.answered_by(node.pid).await;
    }
    let told = load.end().await;
    let failed: Vec<_> = told.iter().filter_map(|told| told.error.as_ref()).collect();
    eprintln!("{restarts} restarts, {} calls, {} failed", told.len(), failed.len());
    assert!(failed.is_empty(), "{failed:#?}");
    was_the_truth(&told, &world.written());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_at_once_also_what_hangs() {
    for second in ["-TERM", "-INT"] {
        let world = World::over_nats().await;
        let client = world.client();
        let mut node = world.node("ledger");
        node.program.says("serving").await;
        let request = json!({ "entry": "hour", "work_ms": 3_600_000 });
        let call = client.call::<_, u32>("ledger", "Ledger.Write", &request).retries(0);
        let call = tokio::spawn(call.timeout(LIMIT).into_future());
        world.is_written("hour").await;

        node.program.signal("-TERM");
        node.program.says("stopping").await;
        let since = Instant::now();
        node.program.signal(second);
        let (success, _, err) = node.program.end().await;
        let took = since.elapsed();
        assert!(!success, "{err:#?}");
        assert!(err.iter().any(|line| line.contains("second signal")), "{err:#?}");
        // It would wait for the handler for 30 s.
        assert!(took < Duration::from_secs(10), "it took {took:?}");
        eprintln!("a second signal ended it after {took:.0?}");
        // And whoever called knows that it does not know.
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.request(), Some(micro::RequestState::Unknown), "{error:?}");
    }
}
