//! What a handler, or the lack of one, answers.

use micro_interop::{Req, named};

/// A code, and HTTP's text of it.
const CODES: [(i32, &str); 7] = [
    (400, "Bad Request"),
    (404, "Not Found"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (500, "Internal Server Error"),
    (503, "Service Unavailable"),
    (7001, ""),
];

fn failing(code: i32) -> Req {
    Req { code, ..named("Bob") }
}

pub(crate) mod go_calls_rust {
    use std::time::Duration;

    use micro::Context;
    use micro_interop::{Command, Generation, Req, Rsp, World, named};

    use super::{CODES, failing};

    pub(crate) async fn a_typed_error_arrives_as_it_was(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for content in ["application/json", "application/protobuf"] {
            for (code, status) in CODES {
                let call = Command::call("echo", "Echo.Fail").body(&failing(code)).content(content);
                let error = go.fails(call).await;
                assert_eq!((&*error.id, error.code), ("echo.fail", code), "{error:?}");
                assert_eq!(
                    (&*error.detail, &*error.status),
                    ("failed as asked: Bob", status),
                    "{error:?}"
                );
            }
        }
    }

    pub(crate) async fn a_plain_error_arrives_as_its_text(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let error = go.fails(Command::call("echo", "Echo.Plain").body(&named("Bob"))).await;
        assert_eq!(error.text, "plain failure of Bob");
        assert_eq!((error.code, &*error.detail), (0, "plain failure of Bob"));
    }

    pub(crate) async fn an_unknown_endpoint_is_not_found(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for endpoint in ["Echo.Nope", "Nope.Nope", "Nope"] {
            let error = go.fails(Command::call("echo", endpoint).body(&Req::default())).await;
            assert_eq!((error.code, &*error.status), (404, "Not Found"), "{error:?}");
            assert!(error.detail.contains(endpoint), "{error:?}");
        }
    }

    pub(crate) async fn an_unknown_service_is_told_by_go_itself(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let error = go.fails(Command::call("nobody", "Echo.Call").body(&Req::default())).await;
        assert_eq!((&*error.id, error.code), ("go.micro.client", 500), "{error:?}");
        assert_eq!(error.detail, "service nobody: not found");
    }

    pub(crate) async fn a_panicking_handler_answers_500_at_once_and_the_service_lives_on(
        generation: Generation,
    ) {
        let world = World::start().await;
        let mut echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for _ in 0..3 {
            let outcome =
                go.execute(Command::call("echo", "Echo.Panic").body(&Req::default())).await;
            let error = outcome.result.unwrap_err();
            assert_eq!((error.code, &*error.status), (500, "Internal Server Error"), "{error:?}");
            assert!(outcome.millis < 5_000, "{} ms", outcome.millis);
        }
        let reply: Rsp =
            go.ask(Command::call("echo", "Echo.Call").body(&named("Bob"))).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
        assert!(echo.process.is_alive());
    }

    pub(crate) async fn a_service_that_is_too_busy_says_429(generation: Generation) {
        let world = World::start().await;
        let busy = world.service("busy").limit("Busy.Wait", 1).handler(
            "Busy.Wait",
            async |_: Context, req: Req| {
                tokio::time::sleep(Duration::from_millis(req.millis.unsigned_abs().into())).await;
                Ok(Rsp::default())
            },
        );
        let _busy = busy.build().unwrap().start().await.unwrap();
        let go = world.go_client(generation).await;
        let wait = |millis: i32| {
            Command::call("busy", "Busy.Wait").body(&Req { millis, ..Req::default() })
        };
        go.ask::<Rsp>(wait(0)).await.unwrap();
        let (one, other) = tokio::join!(go.execute(wait(1_500)), go.execute(wait(1_500)));
        let (answered, refused): (Vec<_>, Vec<_>) =
            [one.result, other.result].into_iter().partition(Result::is_ok);
        assert_eq!((answered.len(), refused.len()), (1, 1), "{answered:?} {refused:?}");
        let error = refused.into_iter().next().unwrap().unwrap_err();
        assert_eq!((error.code, &*error.status), (429, "Too Many Requests"), "{error:?}");
        // Go's own error has no field for it, and does not mind.
        assert!(error.text.contains("retry_after_ms"), "{error:?}");
    }
}

pub(crate) mod rust_calls_go {
    use std::time::{Duration, Instant};

    use micro::{ErrorKind, RequestState};
    use micro_interop::{Generation, Req, Rsp, World, named};

    use super::{CODES, failing};

    pub(crate) async fn a_typed_error_arrives_as_it_was(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let kinds = [
            ErrorKind::InvalidInput,
            ErrorKind::NotFound,
            ErrorKind::Timeout,
            ErrorKind::Conflict,
            ErrorKind::Internal,
            ErrorKind::Unavailable,
            ErrorKind::Other,
        ];
        for ((code, status), kind) in CODES.into_iter().zip(kinds) {
            let mut errors =
                vec![client.call::<_, Rsp>("echo", "Echo.Fail", &failing(code)).await.unwrap_err()];
            let proto = client.call_proto::<_, Rsp>("echo", "Echo.Fail", &failing(code));
            match generation {
                Generation::V2 => {
                    never_answered(proto.timeout(Duration::from_millis(300)).await.unwrap_err())
                }
                _ => errors.push(proto.await.unwrap_err()),
            }
            for error in errors {
                assert_eq!(
                    (error.kind(), error.id(), error.code()),
                    (kind, "echo.fail", code),
                    "{error:?}"
                );
                assert_eq!(
                    (error.detail(), error.status()),
                    ("failed as asked: Bob", status),
                    "{error:?}"
                );
                assert_eq!(error.request(), Some(RequestState::Executed), "{error:?}");
            }
        }
    }

    /// A v2 service cannot write an error to a request in protobuf: its codec takes no empty body (v2:
    /// codec/proto/proto.go:38, server/rpc_codec.go:320).
    pub(crate) fn never_answered(error: micro::Error) {
        assert_eq!(
            (error.kind(), error.request()),
            (ErrorKind::Timeout, Some(RequestState::Unknown)),
            "{error:?}"
        );
    }

    pub(crate) async fn a_plain_error_arrives_as_its_text(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let error = client.call::<_, Rsp>("echo", "Echo.Plain", &named("Bob")).await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (0, "plain failure of Bob"), "{error:?}");
        assert_eq!(error.request(), Some(RequestState::Executed), "{error:?}");
    }

    pub(crate) async fn an_unknown_endpoint_is_not_found(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let words = [
            ("Echo.Nope", "rpc: can't find method Nope"),
            ("Nope.Nope", "rpc: can't find service Nope"),
        ];
        for (endpoint, words) in words {
            let error = client.call::<_, Rsp>("echo", endpoint, &Req::default()).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::NotFound, 0), "{error:?}");
            assert_eq!(error.detail(), words);
        }
    }

    pub(crate) async fn an_unknown_service_is_not_found_and_not_sent(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let error =
            client.call::<_, Rsp>("nobody", "Echo.Call", &Req::default()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.request()),
            (ErrorKind::NotFound, Some(RequestState::NotSent))
        );
    }

    /// go-micro recovers the panic and sends nothing (v6: server/rpc_server.go:364).
    pub(crate) async fn a_panicking_handler_never_answers_and_the_attempt_limit_holds(
        generation: Generation,
    ) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let began = Instant::now();
        let call = client.call::<_, Rsp>("echo", "Echo.Panic", &Req::default());
        let error = call.timeout(Duration::from_millis(1500)).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.request()),
            (ErrorKind::Timeout, Some(RequestState::Unknown)),
            "{error:?}"
        );
        assert!(began.elapsed() >= Duration::from_millis(1400), "{:?}", began.elapsed());
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
        let reply: Rsp = client.call("echo", "Echo.Call", &named("Bob")).await.unwrap();
        assert_eq!(reply.greeting, "Hello Bob");
    }
}
