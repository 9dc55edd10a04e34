//! A handler that calls on.

use std::collections::BTreeMap;

/// Of what a Go handler sees in its context: what is of the wire and not of this very call. The id under the spelling
/// of the other generation, which a Go handler passes on, is among the things that may be there.
fn left_over(header: &BTreeMap<String, String>) -> Vec<&str> {
    let known = ["Micro-Id", "Micro-ID", "Micro-Service", "Micro-Method", "Micro-Endpoint"];
    let wire = header
        .keys()
        .filter(|key| key.starts_with("Micro-") || key.starts_with("X-") || *key == "Connection");
    wire.map(String::as_str).filter(|key| !known.contains(key)).collect()
}

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Helper, Relayed, Rsp, World};
    use tokio::task::JoinSet;

    use super::left_over;
    use crate::call::metadata::{arrived, odd};

    /// Go calls Rust, whose handler calls Go.
    pub(crate) async fn a_nested_call_keeps_metadata_and_loses_the_rest(generation: Generation) {
        let world = World::start().await;
        let _rust = Helper::start(&world, "rust").await;
        let _go = world.go(generation, "go").await;
        let client = world.go_client(generation).await;
        let relay = |endpoint: &str, times: usize| {
            let relayed = Relayed::new("go", endpoint, times);
            Command::call("rust", "Peer.Relay").with("type", "json").body(&relayed).metadata(&odd())
        };
        let replies: Vec<Rsp> = client.ask(relay("Echo.Meta", 3)).await.unwrap();
        assert_eq!(replies.len(), 3);
        for reply in replies {
            assert_eq!(reply.meta, arrived(generation));
        }
        let replies: Vec<Rsp> = client.ask(relay("Peer.Header", 1)).await.unwrap();
        let header = &replies[0].meta;
        assert_eq!(header["Micro-Service"], "go", "{header:?}");
        assert_eq!(header["Micro-Endpoint"], "Peer.Header", "{header:?}");
        assert!(left_over(header).is_empty(), "{header:?}");
    }

    pub(crate) async fn nested_calls_at_once_do_not_mix(generation: Generation) {
        let world = World::start().await;
        let _rust = Helper::start(&world, "rust").await;
        let _go = world.go(generation, "go").await;
        let client = std::sync::Arc::new(world.go_client(generation).await);
        let mut calls = JoinSet::new();
        for number in 0..64 {
            let client = client.clone();
            calls.spawn(async move {
                let number = number.to_string();
                let relayed = Relayed::new("go", "Echo.Meta", 2);
                let call = Command::call("rust", "Peer.Relay").with("type", "json").body(&relayed);
                let replies: Vec<Rsp> =
                    client.ask(call.metadata(&[("Number", &number)])).await.unwrap();
                assert!(replies.iter().all(|reply| reply.meta["Number"] == number), "{replies:?}");
                replies.len()
            });
        }
        assert_eq!(calls.join_all().await.iter().sum::<usize>(), 128);
    }
}

pub(crate) mod rust_calls_go {
    use micro::Context;
    use micro_interop::{Command, Generation, Helper, Relayed, Req, Rsp, World, limited};
    use tokio::task::JoinSet;

    use crate::call::metadata::{arrived, odd};

    /// Rust calls Go, whose handler calls Rust.
    pub(crate) async fn a_nested_call_keeps_metadata_and_loses_the_rest(generation: Generation) {
        let world = World::start().await;
        let _rust = Helper::start(&world, "rust").await;
        let _go = world.go(generation, "go").await;
        let client = world.client();
        let mut call = client.call("go", "Peer.Relay", &Relayed::new("rust", "Echo.Meta", 3));
        for (key, value) in odd() {
            call = call.metadata(key, value);
        }
        let replies: Vec<Rsp> = call.await.unwrap();
        assert_eq!(replies.len(), 3);
        for reply in replies {
            assert_eq!(reply.meta, arrived(generation));
        }
    }

    pub(crate) async fn nested_calls_at_once_do_not_mix(generation: Generation) {
        let world = World::start().await;
        let _rust = Helper::start(&world, "rust").await;
        let _go = world.go(generation, "go").await;
        let client = world.client();
        let mut calls = JoinSet::new();
        for number in 0..64 {
            let number = number.to_string();
            let relayed = Relayed::new("rust", "Echo.Meta", 2);
            let call = client.call("go", "Peer.Relay", &relayed).metadata("Number", &number);
            calls.spawn(async move {
                let replies: Vec<Rsp> = call.await.unwrap();
                assert!(replies.iter().all(|reply| reply.meta["Number"] == number), "{replies:?}");
                replies.len()
            });
        }
        assert_eq!(calls.join_all().await.iter().sum::<usize>(), 128);
    }

    /// Were the event's `Micro-Topic` passed on, go-micro would take the call for an event, run nothing and answer with
    /// an empty success (v6: server/rpc_server.go:166).
    pub(crate) async fn a_handler_of_an_event_that_calls_go_is_answered_by_the_handler(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _go = world.go(generation, "go").await;
        let (tell, mut told) = tokio::sync::mpsc::channel(1);
        let service = world.service("rust").subscriber("news", move |context: Context, _: Req| {
            let tell = tell.clone();
            async move {
                let reply =
                    context.client().call::<_, Rsp>("go", "Echo.Meta", &Req::default()).await;
                tell.send(reply).await.map_err(|error| micro::Error::internal(error.to_string()))
            }
        });
        let _rust = service.build().unwrap().start().await.unwrap();
        let client = world.go_client(generation).await;
        let news =
            Command::new("publish").with("topic", "news").body(&Req::default()).metadata(&odd());
        client.execute(news).await.result.unwrap();
        let reply = limited("the reply", told.recv()).await.unwrap();
        assert_eq!(reply.unwrap().meta, arrived(generation));
    }
}
