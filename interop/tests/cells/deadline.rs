//! How long a caller waits, and who is told.

cell! { deadline {
    go_calls_rust: [
        the_limit_of_the_caller_reaches_the_handler,
        a_handler_that_is_too_slow_yields_408_and_is_told_to_stop,
    ]
    rust_calls_go: [
        the_limit_of_the_caller_reaches_the_handler,
        a_handler_that_is_too_slow_yields_408,
        a_nested_call_has_no_more_time_than_is_left,
    ]
} }

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Helper, Req, Rsp, World, eventually, named};

    pub(crate) async fn the_limit_of_the_caller_reaches_the_handler(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let slow = Command::call("echo", "Echo.Slow").body(&Req::default());
        // Discovery is part of a call's time, so it is done before.
        go.ask::<Rsp>(slow.clone()).await.unwrap();
        let reply: Rsp = go.ask(slow.clone().millis(3_000)).await.unwrap();
        assert!((2_000..=3_000).contains(&reply.left), "{reply:?}");

        // In v6 it is the connection timeout that is sent, 5 s unless it is set; in the others the request's.
        let reply: Rsp = go.ask(slow.millis(60_000).with("attempt", -1)).await.unwrap();
        let expected = if generation == Generation::V6 { 4_000..=5_000 } else { 59_000..=60_000 };
        assert!(expected.contains(&reply.left), "{reply:?}");
    }

    pub(crate) async fn a_handler_that_is_too_slow_yields_408_and_is_told_to_stop(
        generation: Generation,
    ) {
        let world = World::start().await;
        let helper = Helper::start(&world, "helper").await;
        let go = world.go_client(generation).await;
        let slow = Req { millis: 30_000, ..named("slow") };
        let outcome = go.execute(Command::call("helper", "Peer.Run").body(&slow).millis(700)).await;
        let error = outcome.result.unwrap_err();
        assert_eq!((error.code, &*error.status), (408, "Request Timeout"), "{error:?}");
        assert!(outcome.millis < 5_000, "{} ms", outcome.millis);
        eventually("the end of the handler", async || (helper.gauge.stopped() == 1).then_some(()))
            .await;
        assert_eq!(helper.gauge.runs("slow"), 1);
        let fast = Command::call("helper", "Peer.Run").body(&named("fast"));
        let reply: Rsp = go.ask(fast).await.unwrap();
        assert_eq!(reply.greeting, "ran fast");
    }
}

pub(crate) mod rust_calls_go {
    use std::time::{Duration, Instant};

    use micro::{ErrorKind, RequestState};
    use micro_interop::{Generation, Helper, Relayed, Req, Rsp, World, named};

    pub(crate) async fn the_limit_of_the_caller_reaches_the_handler(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        for seconds in [3, 60] {
            let call = client.call::<_, Rsp>("echo", "Echo.Slow", &Req::default());
            let left = call.timeout(Duration::from_secs(seconds)).await.unwrap().left;
            let limit = i32::try_from(seconds * 1_000).unwrap();
            assert!((limit - 1_000..=limit).contains(&left), "{left} of {limit}");
        }
    }

    pub(crate) async fn a_handler_that_is_too_slow_yields_408(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let began = Instant::now();
        let slow = Req { millis: 3_000, ..named("slow") };
        let call =
            client.call::<_, Rsp>("echo", "Peer.Run", &slow).timeout(Duration::from_millis(700));
        let error = call.await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Timeout, 408), "{error:?}");
        assert_eq!(error.request(), Some(RequestState::Unknown), "{error:?}");
        assert!(began.elapsed() < Duration::from_millis(2_500), "{:?}", began.elapsed());
        let reply: Rsp = client.call("echo", "Peer.Run", &named("fast")).await.unwrap();
        assert_eq!(reply.greeting, "ran fast");
        // What nobody waits for any more is not tried again.
        let runs: Rsp = client.call("echo", "Peer.Runs", &named("slow")).await.unwrap();
        assert_eq!(runs.value, 1);
    }

    /// Rust calls Rust, whose handler calls Go.
    pub(crate) async fn a_nested_call_has_no_more_time_than_is_left(generation: Generation) {
        let world = World::start().await;
        let _rust = Helper::start(&world, "rust").await;
        let _go = world.go(generation, "go").await;
        let client = world.client();
        let call =
            client.call::<_, Vec<Rsp>>("rust", "Peer.Relay", &Relayed::new("go", "Echo.Slow", 1));
        let left = call.timeout(Duration::from_secs(5)).await.unwrap()[0].left;
        assert!((3_000..=5_000).contains(&left), "{left}");
    }
}
