//! Without NATS, and when it goes away.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use micro::{Context, Server};
use micro_testkit::server::NatsServer;
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::program::{Done, Micro};
use crate::world::World;

/// Somebody who types a command is told within so long.
const TOLD: Duration = Duration::from_secs(2);

/// How often a command is tried before it is called slow: one run says as much of the machine as of the command.
const TRIES: usize = 4;

#[tokio::test]
async fn without_nats_each_verb_says_so_in_one_line_within_two_seconds() {
    let nats = NatsServer::stopped(&[]);
    let lines: [&[&str]; 9] = [
        &["services"],
        &["describe", "echo"],
        &["watch"],
        &["call", "echo", "Echo.Call", "{\"name\":\"Bob\"}"],
        &["call", "echo", "Echo.Call", "--address=echo.1"],
        &["stream", "echo", "Echo.Count", "{\"count\":1}"],
        &["publish", "events", "{}"],
        &["subscribe", "events"],
        &["health", "echo"],
    ];
    // All at once: they do nothing but wait.
    let told = lines.map(|words| says_so(&nats, words));
    let told: Vec<Duration> = stream::iter(told).buffered(lines.len()).collect().await;
    assert!(told.iter().all(|took| *took < TOLD), "{told:?}");
}

/// Checks what it says, and gives how long the quickest of a few tries took.
async fn says_so(nats: &NatsServer, words: &[&str]) -> Duration {
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        let done = Micro::new(words).env("MICRO_NATS_ADDRESS", &nats.address()).run().await;
        is_told(&done, &nats.address());
        quickest = quickest.min(done.took);
        if quickest < TOLD {
            break;
        }
    }
    quickest
}

fn is_told(done: &Done, address: &str) {
    let (error, hints) = done.failed();
    assert_eq!((&error["code"], &error["id"]), (&json!(503), &json!("micro")), "{done:?}");
    assert!(error["detail"].as_str().unwrap().contains(address), "{done:?}");
    assert!(hints.is_empty(), "{done:?}");
}

#[tokio::test]
async fn a_server_that_is_not_nats_is_told_as_soon() {
    let deaf = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let mut quickest = Duration::MAX;
    for _ in 0..TRIES {
        let done = Micro::new(&["services"]).env("MICRO_NATS_ADDRESS", &address).run().await;
        is_told(&done, &address);
        quickest = quickest.min(done.took);
    }
    assert!(quickest < TOLD, "{quickest:?}");
}

#[tokio::test]
async fn a_password_of_the_address_is_not_told() {
    let nats = NatsServer::stopped(&[]);
    let secret = format!("nats://user:secret@{}", nats.address());
    let done = Micro::new(&["services"]).env("MICRO_NATS_ADDRESS", &secret).run().await;
    is_told(&done, &nats.address());
    assert!(!done.stderr.contains("secret"), "{done:?}");
}

#[tokio::test]
async fn a_wrong_password_is_told() {
    let nats = NatsServer::start_with(&["--user", "u", "--pass", "p"]).await;
    let wrong = format!("nats://u:wrong@{}", nats.address());
    let done = Micro::new(&["services"]).env("MICRO_NATS_ADDRESS", &wrong).run().await;
    let (error, _) = done.failed();
    let detail = error["detail"].as_str().unwrap();
    assert!(detail.contains("authorization"), "{detail}");
    assert!(!done.stderr.contains("wrong"), "{done:?}");
    let right = format!("nats://u:p@{}", nats.address());
    let done = Micro::new(&["services"]).env("MICRO_NATS_ADDRESS", &right).run().await;
    assert_eq!((done.code(), done.stderr.as_str()), (Some(0), "no services\n"));
}

#[tokio::test]
async fn what_listens_goes_on_when_nats_is_back() {
    let mut world = World::new().await;
    let mut subscribe = world.subscriber(&["events"]).await;
    let mut watch = world.micro(&["watch"]).start();
    watch.says("watching").await;
    world.nats.kill().await;
    for program in [&mut subscribe, &mut watch] {
        let said = program.says("waiting for it").await;
        assert!(said.contains(&world.nats.address()), "{said}");
    }
    world.nats.restart().await;
    for program in [&mut subscribe, &mut watch] {
        program.says("it is back").await;
    }
    let _echo = world.echo("1").await;
    assert!(watch.line().await.ends_with("+ echo latest echo-1 at echo.1"));
    world.prints(&["publish", "events", "1"]).await;
    assert_eq!(subscribe.line().await, "1");
    for program in [subscribe, watch] {
        program.signal(Signal::INT);
        assert_eq!(program.end().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_stream_that_may_have_lost_messages_ends_with_an_error_that_says_so() {
    let (mut world, _echo) = World::with_echo().await;
    let slow = ["stream", "echo", "Echo.Count", r#"{"count":2,"millis":600000}"#];
    let mut stream = world.micro(&slow).start();
    assert_eq!(stream.json().await, json!({ "value": 1 }));
    world.nats.kill().await;
    world.nats.restart().await;
    // Whether it sees that NATS is away before it is back is up to the machine.
    let done = stream.end().await;
    assert_eq!(done.stdout, "");
    let at = done.stderr.find('{').unwrap_or_default();
    let (error, hints) = done.failed_after(&done.stderr[..at]);
    assert_eq!(error["code"], 503, "{error}");
    assert!(
        error["detail"].as_str().unwrap().contains("messages of this stream may be missing"),
        "{error}"
    );
    assert_eq!(hints, ["hint: whether it ran is not known"]);
}

#[tokio::test]
async fn a_stream_says_first_that_nats_is_away_and_fails_when_it_is_back() {
    let (mut world, _echo) = World::with_echo().await;
    let slow = ["stream", "echo", "Echo.Count", r#"{"count":2,"millis":600000}"#];
    let mut stream = world.micro(&slow).start();
    assert_eq!(stream.json().await, json!({ "value": 1 }));
    world.nats.kill().await;
    let first = stream.says("").await;
    assert!(first.contains(&world.nats.address()), "{first}");
    assert!(first.ends_with("waiting for it"), "{first}");
    world.nats.restart().await;
    let done = stream.end().await;
    // It may see that NATS is back before it knows what that means for the stream.
    let back = done.stderr.strip_prefix("it is back\n").map_or("", |_| "it is back\n");
    let (error, _) = done.failed_after(back);
    assert_eq!(error["code"], 503, "{error}");
    assert_eq!(done.stdout, "");
}

#[tokio::test]
async fn a_call_in_flight_is_unknown_and_has_its_time() {
    let mut world = World::new().await;
    let (tell, mut runs) = mpsc::channel(1);
    let server = Server::new().handler("Deep.Sleep", move |_: Context, _: Value| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.unwrap();
            std::future::pending::<micro::Result<Value>>().await
        }
    });
    let _deep = world.serve("deep", "1", server).await;
    let call = world.micro(&["call", "deep", "Deep.Sleep", "--timeout=3s"]).start();
    runs.recv().await.unwrap();
    world.nats.kill().await;
    let done = call.end().await;
    let (error, hints) = done.failed();
    assert!([408, 503].contains(&error["code"].as_i64().unwrap()), "{error}");
    assert_eq!(hints, ["hint: whether it ran is not known"], "{error}");
}

#[tokio::test]
async fn a_broker_that_is_away_is_nothing_to_who_does_not_need_it() {
    let (world, _echo) = World::with_echo().await;
    let nowhere = NatsServer::stopped(&[]);
    let broker = format!("--broker_address={}", nowhere.address());
    let lines: [(&[&str], &str); 2] =
        [(&["services"], "echo\n"), (&["call", "echo", "Echo.Who"], "{\"greeting\":\"echo-1\"}\n")];
    for (words, printed) in lines {
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            let done = world.micro(&[&[&*broker], words].concat()).run().await;
            quickest = quickest.min(done.took);
            assert_eq!(done.fine(), printed);
        }
        // It waits for nothing that is not there, not even when it says goodbye.
        assert!(quickest < Duration::from_secs(1), "{words:?}: {quickest:?}");
    }
}
