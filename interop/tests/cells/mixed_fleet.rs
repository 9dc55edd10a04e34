//! One service, of Go and of Rust, of the old and of the new generation.

cell! { mixed_fleet {
    go_calls_rust: [ten_thousand_calls_are_answered_by_each_node_that_go_can_reach]
    rust_calls_go: [ten_thousand_calls_are_answered_by_every_node, a_go_service_over_http_is_never_called]
} }

use std::collections::BTreeSet;

use micro_interop::{Echo, Generation, GoService, World};

const CALLS: usize = 10_000;

struct Fleet {
    world: World,
    go: GoService,
    other: GoService,
    rust: [Echo; 2],
}

impl Fleet {
    async fn start(generation: Generation) -> Self {
        let world = World::start().await;
        let (go, other, one, two) = tokio::join!(
            world.go(generation, "echo"),
            world.go(generation.other(), "echo"),
            world.echo("echo"),
            world.echo("echo"),
        );
        Self { world, go, other, rust: [one, two] }
    }

    fn of_rust(&self) -> BTreeSet<String> {
        self.rust.iter().map(|echo| echo.node.clone()).collect()
    }
}

pub(crate) mod go_calls_rust {
    use std::collections::{BTreeMap, BTreeSet};

    use micro_interop::{Command, Generation, Req, Rsp, eventually};
    use serde_json::{Value, json};

    use super::{CALLS, Fleet};

    pub(crate) async fn ten_thousand_calls_are_answered_by_each_node_that_go_can_reach(
        generation: Generation,
    ) {
        let fleet = Fleet::start(generation).await;
        let client = fleet.world.go_client(generation).await;
        // Its first lookup waits for 100 ms, which a busy machine may need itself.
        let who = Command::call("echo", "Echo.Who").body(&Req::default());
        eventually("a first answer", async || client.ask::<Rsp>(who.clone()).await.ok()).await;
        let tally: Value = client.ask(Command::load("echo", "Echo.Who", CALLS, 32)).await.unwrap();
        assert_eq!((&tally["good"], &tally["failed"]), (&CALLS.into(), &json!({})), "{tally}");
        let served: BTreeMap<String, usize> =
            serde_json::from_value(tally["nodes"].clone()).unwrap();
        let nodes: BTreeSet<String> = served.keys().cloned().collect();
        let mut expected = fleet.of_rust();
        expected.insert(fleet.go.node.clone());
        // The other generation is there, and go-micro cannot see it.
        assert_eq!(nodes, expected, "beside {}", fleet.other.node);
        assert!(served.values().all(|&calls| calls > CALLS / 30), "{served:?}");
    }
}

pub(crate) mod rust_calls_go {
    use std::collections::{BTreeMap, BTreeSet};

    use micro_interop::{Generation, Req, Rsp, World};
    use tokio::task::JoinSet;

    use super::{CALLS, Fleet};

    const AT_ONCE: usize = 32;

    pub(crate) async fn ten_thousand_calls_are_answered_by_every_node(generation: Generation) {
        let fleet = Fleet::start(generation).await;
        let client = fleet.world.client();
        let mut workers = JoinSet::new();
        for worker in 0..AT_ONCE {
            let client = client.clone();
            workers.spawn(async move {
                let mut served = BTreeMap::<String, usize>::new();
                for _ in (worker..CALLS).step_by(AT_ONCE) {
                    let reply: Rsp =
                        client.call("echo", "Echo.Who", &Req::default()).await.unwrap();
                    *served.entry(reply.greeting).or_default() += 1;
                }
                served
            });
        }
        let mut served = BTreeMap::<String, usize>::new();
        for (node, calls) in workers.join_all().await.into_iter().flatten() {
            *served.entry(node).or_default() += calls;
        }
        assert_eq!(served.values().sum::<usize>(), CALLS);
        let mut expected = fleet.of_rust();
        expected.extend([fleet.go.node.clone(), fleet.other.node.clone()]);
        assert_eq!(served.keys().cloned().collect::<BTreeSet<_>>(), expected);
        assert!(served.values().all(|&calls| calls > CALLS / 40), "{served:?}");
    }

    pub(crate) async fn a_go_service_over_http_is_never_called(generation: Generation) {
        let world = World::start().await;
        let over_http = world.go_with(generation, "echo", &["--transport", "http"]).await;
        let client = world.client();
        // It is seen, and there is nobody else.
        let seen = client.registry().get(&"echo".parse().unwrap()).await.unwrap();
        assert_eq!(seen[0].nodes[0].id, over_http.node);
        assert_eq!(seen[0].nodes[0].metadata["transport"], "http");
        let error = client.call::<_, Rsp>("echo", "Echo.Who", &Req::default()).await.unwrap_err();
        assert_eq!(error.request(), Some(micro::RequestState::NotSent), "{error:?}");
        let over_nats = world.go(generation, "echo").await;
        for _ in 0..200 {
            let reply: Rsp = client.call("echo", "Echo.Who", &Req::default()).await.unwrap();
            assert_eq!(reply.greeting, over_nats.node);
        }
    }
}
