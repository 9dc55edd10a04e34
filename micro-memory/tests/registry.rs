//! What the memory registry does beyond the contract, and its capacities.

#![allow(clippy::unwrap_used, reason = "the helpers are part of the tests")]

use std::time::Duration;

use micro_core::registry::{
    Change, Node, RegisterOptions, Service, ServiceName, WatchOptions, Watcher,
};
use micro_core::{ErrorKind, Registry};
use micro_memory::{Memory, MemoryOptions, MemoryRegistry};
use tokio::time::{Instant, advance, timeout};

const NONE: [&str; 0] = [];

fn greeter(id: &str) -> Service {
    Service::new("greeter", "1").with_node(Node::new(id, "here"))
}

fn name() -> ServiceName {
    "greeter".parse().unwrap()
}

fn lease(millis: u64) -> RegisterOptions {
    RegisterOptions::default().with_ttl(Duration::from_millis(millis))
}

/// The next change that is no `Synced`, and when it came.
async fn next(watcher: &mut Watcher) -> (Change, Instant) {
    loop {
        let change = timeout(Duration::from_secs(60), watcher.next()).await.unwrap().unwrap();
        if change != Change::Synced {
            return (change, Instant::now());
        }
    }
}

#[tokio::test]
async fn not_found_says_how_far_it_reaches_and_which_flags_reach_further() {
    let error = MemoryRegistry::default().get(&name()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    for part in
        ["greeter", "this process alone", "--registry=mdns --transport=tcp or --profile=nats"]
    {
        assert!(error.detail().contains(part), "{part:?} is not in {:?}", error.detail());
    }
}

#[tokio::test]
async fn worlds_do_not_see_each_other() {
    let (one, other) = (Memory::new(), Memory::new());
    one.registry().register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    assert_eq!(one.clone().registry().get(&name()).await.unwrap(), [greeter("a")]);
    assert_eq!(other.registry().list().await.unwrap(), []);
    let alone = MemoryRegistry::new(["127.0.0.1:4222", "ignored"]).unwrap();
    assert_eq!(alone.list().await.unwrap(), []);
    assert_eq!(MemoryRegistry::new(NONE).unwrap().list().await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_lease_ends_to_the_millisecond_and_a_watcher_wakes_for_it() {
    let memory = Memory::new();
    let mut watcher = memory.registry().watch(WatchOptions::default()).await.unwrap();
    let registered = Instant::now();
    memory.registry().register(&greeter("long"), lease(5_000)).await.unwrap();
    memory.registry().register(&greeter("short"), lease(1_000)).await.unwrap();
    assert!(matches!(next(&mut watcher).await.0, Change::Added(_)));

    let (change, at) = next(&mut watcher).await;
    assert_eq!(change, Change::Updated(greeter("long").into()));
    assert!((1_000..=1_002).contains(&(at - registered).as_millis()), "{:?}", at - registered);

    let (change, at) = next(&mut watcher).await;
    assert_eq!(change, Change::Removed(greeter("long").into()));
    assert!((5_000..=5_002).contains(&(at - registered).as_millis()), "{:?}", at - registered);
}

#[tokio::test]
async fn the_lease_of_a_node_is_that_of_its_registration() {
    let memory = Memory::new();
    let (registry, looks) = (memory.registry(), memory.registry());
    registry.register(&greeter("a"), lease(60_000)).await.unwrap();
    registry.register(&greeter("b"), RegisterOptions::default()).await.unwrap();
    let expected = [Some(Duration::from_secs(60)), None];
    let leases = |service: &Service| [service.nodes[0].lease, service.nodes[1].lease];
    assert_eq!(leases(&looks.get(&name()).await.unwrap()[0]), expected);
    assert_eq!(leases(&looks.list().await.unwrap()[0]), expected);
    let mut watcher = looks.watch(WatchOptions::default()).await.unwrap();
    let (Change::Added(told), _) = next(&mut watcher).await else { panic!("not added") };
    assert_eq!(leases(&told), expected);
    registry.register(&greeter("a"), lease(90_000)).await.unwrap();
    let renewed = looks.get(&name()).await.unwrap();
    assert_eq!(renewed[0].nodes[0].lease, Some(Duration::from_secs(90)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_made_shorter_ends_sooner() {
    let memory = Memory::new();
    let mut watcher = memory.registry().watch(WatchOptions::default()).await.unwrap();
    let registered = Instant::now();
    memory.registry().register(&greeter("a"), lease(60_000)).await.unwrap();
    next(&mut watcher).await;
    // It waits for the long one now; nothing but the lease changes.
    let waiting = tokio::spawn(async move { next(&mut watcher).await });
    tokio::task::yield_now().await;
    memory.registry().register(&greeter("a"), lease(100)).await.unwrap();
    let (change, at) = waiting.await.unwrap();
    assert_eq!(change, Change::Removed(greeter("a").into()));
    assert!(at - registered < Duration::from_secs(1), "{:?}", at - registered);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_ends_later_for_those_who_wait_already() {
    let memory = Memory::new();
    let mut watcher = memory.registry().watch(WatchOptions::default()).await.unwrap();
    memory.registry().register(&greeter("a"), lease(1_000)).await.unwrap();
    next(&mut watcher).await;
    let waiting = tokio::spawn(async move { next(&mut watcher).await });
    for _ in 0..10 {
        advance(Duration::from_millis(900)).await;
        memory.registry().register(&greeter("a"), lease(1_000)).await.unwrap();
    }
    let renewed = Instant::now();
    let (change, at) = waiting.await.unwrap();
    assert!(matches!(change, Change::Removed(_)));
    assert!(at - renewed >= Duration::from_secs(1), "{:?}", at - renewed);
}

#[tokio::test(start_paused = true)]
async fn lookups_end_leases_without_any_watcher() {
    let registry = MemoryRegistry::default();
    registry.register(&greeter("a"), lease(1_000)).await.unwrap();
    advance(Duration::from_millis(999)).await;
    assert_eq!(registry.list().await.unwrap().len(), 1);
    advance(Duration::from_millis(1)).await;
    assert_eq!(registry.list().await.unwrap(), []);
    assert_eq!(registry.get(&name()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_lease_beyond_all_time_never_ends() {
    let registry = MemoryRegistry::default();
    let options = RegisterOptions::default().with_ttl(Duration::MAX);
    registry.register(&greeter("a"), options).await.unwrap();
    advance(Duration::from_secs(1_000_000)).await;
    assert_eq!(registry.get(&name()).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_has_no_lease_outlives_its_handle() {
    let memory = Memory::new();
    let registry = memory.registry();
    registry.register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    drop(registry);
    assert_eq!(memory.registry().get(&name()).await.unwrap(), [greeter("a")]);
}

#[tokio::test]
async fn a_closed_registry_takes_nothing_and_can_still_be_asked() {
    let memory = Memory::new();
    let (closed, other) = (memory.registry(), memory.registry());
    other.register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    closed.close().await.unwrap();
    let again = closed.register(&greeter("b"), RegisterOptions::default()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Unavailable);
    assert_eq!(closed.clone().get(&name()).await.unwrap(), [greeter("a")]);
    // A watch of what is closed is over at once.
    assert!(closed.watch(WatchOptions::default()).await.unwrap().next().await.is_none());
}

#[tokio::test]
async fn closing_leaves_what_another_handle_has_registered_since() {
    let memory = Memory::new();
    let (first, second) = (memory.registry(), memory.registry());
    first.register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    second.register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    first.close().await.unwrap();
    assert_eq!(second.get(&name()).await.unwrap(), [greeter("a")]);
    second.close().await.unwrap();
    assert_eq!(memory.registry().list().await.unwrap(), []);
}

#[tokio::test]
async fn a_full_registry_says_so_and_keeps_what_it_has() {
    let memory = Memory::with_options(MemoryOptions::default().with_max_nodes(2));
    let registry = memory.registry();
    let three = greeter("a").with_node(Node::new("b", "")).with_node(Node::new("c", ""));
    let error = registry.register(&three, RegisterOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert_eq!(registry.get(&name()).await.unwrap()[0].nodes.len(), 2);
    // A renewal needs no room, and what leaves makes some.
    registry.register(&greeter("a"), RegisterOptions::default()).await.unwrap();
    registry.deregister(&greeter("a")).await.unwrap();
    registry.register(&greeter("d"), RegisterOptions::default()).await.unwrap();
    registry.close().await.unwrap();
    assert_eq!(memory.registry().list().await.unwrap(), []);
}
