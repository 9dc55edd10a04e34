//! NATS goes and comes back in every way that it can, under calls, and nothing is restarted.
//!
//! `MICRO_OUTAGE_SECONDS` says how long the long outage is (15), `MICRO_OUTAGES` how often NATS
//! goes for a few seconds (3). `ci/full` has 300 and 20.
#![cfg(feature = "nats")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod callers;
mod world;

use std::time::Duration;

use micro::{ErrorKind, RequestState};
use micro_testkit::server::{NatsCluster, NatsServer};
use tokio::time::{Instant, sleep};

use self::world::{World, client, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_starts_before_nats_is_served_once_nats_is_there() {
    let mut nats = NatsServer::stopped(&[]);
    let at = [nats.address()];
    let world = World::start(&at, &at[0]).await;
    let early = world.client.call::<_, u64>("steady", "Steady.Wait", &0);
    let error = early.timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(error.request(), Some(RequestState::NotSent), "{error}");

    nats.restart().await;
    let since = Instant::now();
    let callers = world.call().await;
    world.is_steady(&at, &callers, since).await;
    callers.were_told_the_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_steady_soon_after_each_time_that_nats_was_away_for_seconds() {
    let mut nats = NatsServer::start().await;
    let at = [nats.address()];
    let world = World::start(&at, &at[0]).await;
    let callers = world.call().await;
    for outage in 0..number("MICRO_OUTAGES", 3) {
        let gone = Instant::now();
        // In order, not in order, and so that every connection stays and nothing moves.
        match outage % 3 {
            0 => nats.stop().await,
            1 => nats.kill().await,
            _ => nats.pause(),
        }
        callers.one_failed_since(gone).await;
        match outage % 3 {
            2 => nats.resume(),
            _ => nats.restart().await,
        }
        world.is_steady(&at, &callers, Instant::now()).await;
    }
    callers.were_told_the_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_is_steady_soon_after_nats_was_away_for_long() {
    let mut nats = NatsServer::start().await;
    let at = [nats.address()];
    let world = World::start(&at, &at[0]).await;
    let callers = world.call().await;
    nats.stop().await;
    sleep(Duration::from_secs(number("MICRO_OUTAGE_SECONDS", 15))).await;
    nats.restart().await;
    world.is_steady(&at, &callers, Instant::now()).await;
    callers.were_told_the_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_nats_server_may_take_the_place_of_one_that_was_killed() {
    let mut nats = NatsServer::start_configured("server_name: first").await;
    let at = [nats.address()];
    let world = World::start(&at, &at[0]).await;
    let callers = world.call().await;
    let body = vec![b'x'; 100_000];
    let echoed = world.client.call_raw("steady", "Steady.Echo", body.clone()).await.unwrap();
    assert!(echoed == body);

    nats.configure("server_name: second\nmax_payload: 65536\nserver_tags: [other]");
    nats.kill().await;
    nats.restart().await;
    world.is_steady(&at, &callers, Instant::now()).await;
    assert_eq!(nats.info().await["server_name"], "second");
    // What the second one says of itself counts, not what the first said.
    let error = world.client.call_raw("steady", "Steady.Echo", body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.detail().contains("65536"), "{error}");
    callers.were_told_the_truth().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_one_of_three_nats_servers_is_killed() {
    let mut cluster = NatsCluster::start(3).await;
    let all = cluster.addresses();
    // Each knows one server and is told of the others.
    for caller in [0, 1, 2] {
        let world = World::start(&all[..2], &all[caller]).await;
        let callers = world.call().await;
        let since = Instant::now();
        cluster.server(0).kill().await;
        world.is_steady(&all[1..], &callers, since).await;
        assert_eq!(callers.were_told_the_truth().await, 0, "idempotent calls failed");
        cluster.server(0).restart().await;
        cluster.joined().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_on_when_a_nats_server_leaves_as_a_lame_duck() {
    let mut cluster = NatsCluster::start_configured(3, "lame_duck_grace_period: 500ms").await;
    let all = cluster.addresses();
    let world = World::start(&all[..2], &all[0]).await;
    let callers = world.call().await;
    let since = Instant::now();
    cluster.server(0).lame_duck();
    cluster.server(0).gone().await;
    eprintln!("the lame duck was gone after {:.0?}", since.elapsed());
    world.is_steady(&all[1..], &callers, Instant::now()).await;
    // Whoever comes now knows of the one that left, and of one that stayed.
    let list = [all[0].clone(), all[2].clone()];
    assert_eq!(client(&list).call::<_, u64>("steady", "Steady.Wait", &7).await.unwrap(), 7);
    assert_eq!(callers.were_told_the_truth().await, 0, "idempotent calls failed");
}
