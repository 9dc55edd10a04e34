//! While NATS is away, and after it.

use std::time::Duration;

use micro_core::registry::{Change, RegisterOptions, WatchOptions};
use micro_core::{ErrorKind, Registry};
use micro_registry_nats::micro_nats::{Addresses, Nats, NatsOptions};
use micro_registry_nats::{NatsRegistry, Options};
use micro_testkit::server::NatsServer;

use crate::go::{GoPeer, v3, v6};
use crate::{Watch, find, greeter, plain, register, registry, service, within};

#[tokio::test]
async fn after_a_restart_of_nats_all_is_as_before() {
    let mut server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&ours, &service("1", "a")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["a"]).await;
    for round in 0..3 {
        server.restart().await;
        find(&sees, &["a"]).await;
        // A Go client that is new finds us, and what is new is seen by who watched before.
        let peer = GoPeer::registered(&server, v6().with_id("greeter-1")).await;
        watch.until(&["a", "greeter-1"]).await;
        assert!(!peer.ask(&peer.spoken.get).await.is_empty(), "round {round}");
        peer.say_goodbye().await;
        watch.until(&["a"]).await;
    }
}

#[tokio::test]
async fn nobody_is_gone_only_because_nats_is_away() {
    let lease = Duration::from_millis(300);
    let mut server = NatsServer::start().await;
    let options = || {
        let patient = Options::default().with_query_limit(Duration::from_secs(10));
        patient.with_lease(lease).with_unleased(lease)
    };
    let (ours, sees) = (registry(&server, options()), registry(&server, options()));
    register(&ours, &service("1", "a")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["a"]).await;
    server.kill().await;
    assert!(!watch.changes_within(lease * 4).await, "{:?}", watch.ids());
    server.restart().await;
    find(&sees, &["a"]).await;
    assert!(!watch.changes_within(lease * 2).await, "{:?}", watch.ids());
}

#[tokio::test]
async fn others_have_the_time_of_a_lease_to_come_back_after_nats() {
    let second = Duration::from_secs(1);
    let mut server = NatsServer::start().await;
    let options = Options::default().with_unleased(second).with_lease(2 * second);
    let sees = registry(&server, options);
    let mut watch = Watch::synced(&sees).await;
    let peer = GoPeer::new(&server, v6()).await;
    peer.announce().await;
    watch.until(&[&peer.spoken.id()]).await;
    server.kill().await;
    assert!(!watch.changes_within(second + second / 5).await);
    server.restart().await;
    within("the connection", sees.nats().connected()).await.unwrap();
    assert!(!watch.changes_within(second / 2).await);
    watch.until(&[]).await;
}

#[tokio::test]
async fn who_went_while_nats_was_away_is_gone_after_it() {
    let lease = Duration::from_millis(300);
    let mut server = NatsServer::start().await;
    let options = || Options::default().with_lease(lease);
    let (ours, sees) = (registry(&server, options()), registry(&server, options()));
    register(&ours, &service("1", "dies")).await;
    register(&ours, &service("1", "leaves")).await;
    register(&sees, &service("1", "stays")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["dies", "leaves", "stays"]).await;
    server.kill().await;
    within("deregister", ours.deregister(&service("1", "leaves"))).await.unwrap();
    server.restart().await;
    watch.until(&["dies", "stays"]).await;
    server.kill().await;
    drop(ours);
    server.restart().await;
    watch.until(&["stays"]).await;
}

#[tokio::test]
async fn what_is_registered_and_watched_before_nats_is_there_is_seen_when_it_is() {
    let mut server = NatsServer::stopped(&[]);
    let (ours, sees) = (plain(&server), plain(&server));
    within("register", register(&ours, &service("1", "a"))).await;
    let mut watch = within("watch", Watch::new(&sees)).await;
    assert!(!watch.changes_within(Duration::from_millis(50)).await);
    server.restart().await;
    watch.until(&["a"]).await;
    find(&sees, &["a"]).await;
    let peer = GoPeer::new(&server, v3()).await;
    assert_eq!(peer.ask(&peer.spoken.get).await.len(), 1);
}

#[tokio::test]
async fn what_is_deregistered_and_registered_while_nats_is_away_is_there_after_it() {
    let mut server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&ours, &service("1", "a")).await;
    let mut watch = Watch::synced(&sees).await;
    watch.until(&["a"]).await;
    server.kill().await;
    within("deregister", ours.deregister(&service("1", "a"))).await.unwrap();
    within("register", register(&ours, &service("1", "a"))).await;
    within("register", register(&ours, &service("2", "b"))).await;
    server.restart().await;
    watch.until(&["a", "b"]).await;
    find(&sees, &["a", "b"]).await;
}

#[tokio::test]
async fn a_registration_that_is_not_renewed_ends_while_nats_is_away() {
    let mut server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&sees, &service("1", "stays")).await;
    let mut watch = Watch::synced(&sees).await;
    server.kill().await;
    let ttl = RegisterOptions::default().with_ttl(Duration::from_millis(100));
    within("register", ours.register(&service("1", "ends"), ttl)).await.unwrap();
    // It takes longer to come back than the registration lasts.
    assert!(!watch.changes_within(Duration::from_millis(500)).await || watch.ids() == ["stays"]);
    server.restart().await;
    find(&sees, &["stays"]).await;
    find(&ours, &["stays"]).await;
}

#[tokio::test]
async fn without_nats_lookups_fail_in_time_and_name_where_it_should_be() {
    let server = NatsServer::stopped(&[]);
    let wait = Duration::from_millis(300);
    let options = NatsOptions::default()
        .with_addresses(Addresses::parse([server.address()]).unwrap())
        .with_connect_wait(wait);
    let registry = NatsRegistry::with(&Nats::with_options(options).unwrap());
    let get = within("get", registry.get(&greeter())).await.unwrap_err();
    let list = within("list", registry.list()).await.unwrap_err();
    for error in [get, list, registry.health().unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.detail().contains(&server.address()), "{error}");
    }
}

#[tokio::test]
async fn a_nats_that_hangs_is_unavailable_and_nobody_is_said_to_be_missing() {
    let server = NatsServer::start().await;
    let mut options = NatsOptions::default().with_connect_wait(Duration::from_millis(500));
    options.addresses = server.address().parse::<Addresses>().unwrap();
    let registry = NatsRegistry::with(&Nats::with_options(options).unwrap());
    let error = within("get", registry.get(&greeter())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    server.pause();
    let error = within("get", registry.get(&greeter())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains(&server.address()), "{error}");
    server.resume();
}

#[tokio::test]
async fn lookups_during_restarts_are_answered_or_fail_in_time() {
    let mut server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&ours, &service("1", "a")).await;
    let looking = tokio::spawn(async move {
        let (mut found, mut failed) = (0, 0);
        while found < 200 {
            match within("get", sees.get(&greeter())).await {
                Ok(_) => found += 1,
                // While ours is not back yet, nobody answers.
                Err(error) if error.kind() == ErrorKind::NotFound => failed += 1,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            }
            assert!(failed < 100_000);
        }
    });
    for _ in 0..3 {
        server.restart().await;
    }
    within("200 answers", looking).await.unwrap();
    drop(ours);
}

#[tokio::test]
async fn who_watches_again_at_once_is_told_the_state_before_it_is_called_complete() {
    let server = NatsServer::start().await;
    let (ours, sees) = (plain(&server), plain(&server));
    register(&ours, &service("1", "a")).await;
    let options = || WatchOptions::default().with_name(greeter());
    for round in 0..30 {
        drop(sees.watch(options()).await.unwrap());
        // The first query may be anywhere on its way by now.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        let mut again = sees.watch(options()).await.unwrap();
        let first = within("watch", again.next()).await;
        assert!(matches!(first, Some(Change::Added(_))), "round {round}: {first:?}");
    }
}
