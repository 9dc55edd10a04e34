//! Who has gone, and how soon that is known.

cell! { leases {
    go_calls_rust: [
        a_rust_service_that_stops_leaves_at_once,
        a_killed_rust_service_answers_no_query_and_leaves_after_its_lease,
        a_rust_service_that_stops_under_load_loses_no_call,
    ]
    rust_calls_go: [
        a_go_service_that_stops_leaves_at_once,
        a_killed_go_service_leaves_after_its_time,
        a_go_service_that_never_renews_stays_as_long_as_it_answers,
        a_killed_go_service_is_called_no_more_and_what_it_had_is_unknown_soon,
        calls_that_nobody_listens_to_go_to_the_next_node_at_once,
    ]
} }

use std::time::Duration;

use micro::Client;
use micro::registry::{Change, ServiceName, WatchOptions, Watcher};
use micro_interop::{World, limited};

fn echo() -> ServiceName {
    "echo".parse().unwrap()
}

/// A client that believes a node without a lease for so long, and then gives it time to answer, however busy the
/// machine is.
fn believing(world: &World, time: Duration) -> Client {
    let registry = micro::nats::registry::Options::default();
    let registry = registry.with_unleased(time).with_query_limit(Duration::from_secs(1));
    world.client_with(micro::ClientOptions::default(), registry)
}

/// A watch that knows the one service of the name `echo`.
async fn watching(client: &Client) -> Watcher {
    let mut watcher =
        client.registry().watch(WatchOptions::default().with_name(echo())).await.unwrap();
    assert!(matches!(limited("the service", watcher.next()).await, Some(Change::Added(_))));
    assert_eq!(limited("the whole state", watcher.next()).await, Some(Change::Synced));
    watcher
}

async fn removed(watcher: &mut Watcher) {
    limited("the end of the service", async {
        while !matches!(watcher.next().await.expect("the registry is open"), Change::Removed(_)) {}
    })
    .await;
}

pub(crate) mod go_calls_rust {
    use std::time::{Duration, Instant};

    use micro_interop::{Command, Generation, Helper, Rsp, World, eventually, named};
    use serde_json::Value;

    use super::{removed, watching};

    pub(crate) async fn a_rust_service_that_stops_leaves_at_once(generation: Generation) {
        let world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        let run = || Command::call("helper", "Peer.Run").body(&named("Bob"));
        go.ask::<Rsp>(run()).await.unwrap();
        helper.running.stop().await.unwrap();
        let found: Value = go.ask(Command::new("get").with("service", "helper")).await.unwrap();
        assert!(found.is_null(), "{found}");
        // go-micro's own cache has heard the farewell: it asks anew, and finds nobody.
        let error = eventually("that Go finds nobody", async || {
            let error = go.fails(run()).await;
            (error.detail.contains("not found") || error.detail.contains("none available"))
                .then_some(error)
        });
        assert_eq!(error.await.id, "go.micro.client");
    }

    pub(crate) async fn a_killed_rust_service_answers_no_query_and_leaves_after_its_lease(
        generation: Generation,
    ) {
        let world = World::start().await;
        let echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        go.ask::<Rsp>(Command::call("echo", "Echo.Call").body(&named("Bob"))).await.unwrap();
        let client = world.client();
        let mut watcher = watching(&client).await;
        let killed = Instant::now();
        echo.process.kill().await;
        let found: Value = go.ask(Command::new("get").with("service", "echo")).await.unwrap();
        assert!(found.is_null(), "{found}");
        removed(&mut watcher).await;
        // Its lease is 6 s, of which up to 2 s were gone; nothing else has told.
        let gone = killed.elapsed();
        assert!((Duration::from_secs(3)..Duration::from_secs(9)).contains(&gone), "{gone:?}");
    }

    /// Of two nodes one is told to stop while Go calls: what it was sent it answers.
    pub(crate) async fn a_rust_service_that_stops_under_load_loses_no_call(generation: Generation) {
        let world = World::start().await;
        let (stays, stops) = tokio::join!(world.echo("echo"), world.echo("echo"));
        let go = std::sync::Arc::new(world.go_client(generation).await);
        let before: Value = go.ask(Command::load("echo", "Echo.Who", 400, 8)).await.unwrap();
        assert_eq!(before["nodes"].as_object().unwrap().len(), 2, "{before}");
        let load = Command::load("echo", "Echo.Who", 6_000, 8);
        let loading = tokio::spawn({
            let go = go.clone();
            async move { go.ask::<Value>(load).await.unwrap() }
        });
        let requests = world.record(&stops.address).await;
        stops.process.stop().await;
        let tally = loading.await.unwrap();
        assert_eq!(
            (&tally["good"], &tally["failed"]),
            (&6_000.into(), &serde_json::json!({})),
            "{tally}"
        );
        let served = requests.end().await.len();
        assert!(served > 0, "it was stopped before it was called");
        let after: Value = go.ask(Command::load("echo", "Echo.Who", 400, 8)).await.unwrap();
        assert_eq!(after["nodes"][&stays.node], 400, "{after}");
    }
}

pub(crate) mod rust_calls_go {
    use std::collections::BTreeSet;
    use std::time::{Duration, Instant};

    use micro::{Client, ErrorKind, RequestState};
    use micro_interop::{Generation, Req, Rsp, World, eventually, limited, named};
    use tokio::task::JoinSet;

    use super::{believing, echo, removed, watching};

    pub(crate) async fn a_go_service_that_stops_leaves_at_once(generation: Generation) {
        let world = World::start().await;
        let go = world.go(generation, "echo").await;
        let client = world.client();
        let mut watcher = watching(&client).await;
        let began = Instant::now();
        go.process.stop().await;
        removed(&mut watcher).await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        assert_eq!(client.registry().get(&echo()).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    /// 90 s by default; here 2 s, since it is the same code.
    pub(crate) async fn a_killed_go_service_leaves_after_its_time(generation: Generation) {
        let world = World::start().await;
        let go = world.go(generation, "echo").await;
        let client = believing(&world, Duration::from_secs(2));
        let mut watcher = watching(&client).await;
        let killed = Instant::now();
        go.process.kill().await;
        removed(&mut watcher).await;
        let gone = killed.elapsed();
        // It may just have been asked, which lets the next question wait for a second; and that takes another.
        assert!((Duration::from_millis(500)..Duration::from_secs(6)).contains(&gone), "{gone:?}");
    }

    pub(crate) async fn a_go_service_that_never_renews_stays_as_long_as_it_answers(
        generation: Generation,
    ) {
        let world = World::start().await;
        let go = world.go_with(generation, "echo", &["--register-interval", "1h"]).await;
        let client = believing(&world, Duration::from_millis(500));
        let mut watcher = watching(&client).await;
        // Eight times as long as it is believed without being asked.
        let change = tokio::time::timeout(Duration::from_secs(4), watcher.next()).await;
        assert!(change.is_err(), "{change:?}");
        go.process.kill().await;
        removed(&mut watcher).await;
    }

    /// Calls until two nodes have answered.
    async fn both_serve(client: &Client) {
        let mut served = BTreeSet::new();
        limited("the other node", async {
            while served.len() < 2 {
                let reply: Rsp = client.call("echo", "Echo.Who", &Req::default()).await.unwrap();
                served.insert(reply.greeting);
            }
        })
        .await;
    }

    /// "Nobody listens" comes for nothing that was delivered before the end, so the silence is looked into.
    pub(crate) async fn a_killed_go_service_is_called_no_more_and_what_it_had_is_unknown_soon(
        generation: Generation,
    ) {
        let world = World::start().await;
        let (dies, lives) =
            tokio::join!(world.go(generation, "echo"), world.go(generation, "echo"));
        let client = world.client();
        both_serve(&client).await;
        let mut calls = JoinSet::new();
        for _ in 0..32 {
            let req = Req { millis: 3_000, ..named("run") };
            calls.spawn(client.call::<_, Rsp>("echo", "Peer.Run", &req).retries(0).into_future());
        }
        let begun = async |address: &str| {
            let runs = client.call::<_, Rsp>("echo", "Peer.Runs", &named("run")).address(address);
            runs.await.unwrap().value
        };
        limited("the beginning of all", async {
            while begun(&dies.address).await + begun(&lives.address).await < 32 {}
        })
        .await;
        let killed = Instant::now();
        dies.process.kill().await;
        let (mut done, mut unknown) = (0, 0);
        while let Some(call) = calls.join_next().await {
            match call.unwrap() {
                Ok(_) => done += 1,
                Err(error) => {
                    assert_eq!(error.request(), Some(RequestState::Unknown), "{error:?}");
                    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                    // Long before their own limit of 30 s, and before the others are done.
                    assert!(killed.elapsed() < Duration::from_secs(1), "{:?}", killed.elapsed());
                    unknown += 1;
                }
            }
        }
        assert!(done > 0 && unknown > 0 && done + unknown == 32, "{done} done, {unknown} unknown");
        for _ in 0..50 {
            let reply: Rsp = client.call("echo", "Echo.Who", &Req::default()).await.unwrap();
            assert_eq!(reply.greeting, lives.node);
        }
    }

    /// The client knows both, and neither calls nor asks while one of them is killed.
    pub(crate) async fn calls_that_nobody_listens_to_go_to_the_next_node_at_once(
        generation: Generation,
    ) {
        let world = World::start().await;
        let (dies, lives) =
            tokio::join!(world.go(generation, "echo"), world.go(generation, "echo"));
        let client = world.client();
        both_serve(&client).await;
        dies.process.kill().await;
        // What is sent before the server knows that it is gone was delivered, as far as anybody can say.
        eventually("the end of the connection", async || {
            let connections = world.server.monitor("/connz?subs=1").await.to_string();
            (!connections.contains(&dies.address)).then_some(())
        })
        .await;
        for _ in 0..50 {
            let began = Instant::now();
            // It may not run twice, so it is tried again only since nobody got it.
            let reply: Rsp = client.call("echo", "Echo.Who", &Req::default()).await.unwrap();
            assert_eq!(reply.greeting, lives.node);
            assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        }
    }
}
