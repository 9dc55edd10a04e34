//! Ctrl-C, which is SIGINT.

use std::sync::Arc;
use std::time::{Duration, Instant};

use micro::stream::{Receiver, Sender, bidirectional_with, server_streaming_with};
use micro::{Context, Error, Server};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::{LIMIT, Program};
use crate::world::World;

/// How long a person waits for the prompt.
const PROMPT: Duration = Duration::from_secs(1);

/// Endpoints that say how their streams ended.
fn watched(ends: mpsc::Sender<Error>) -> Server {
    let ends = Arc::new(ends);
    let hears = ends.clone();
    let listen = bidirectional_with::<micro::codec::Json, Value, Value, _, _>(
        move |_: Context, mut said: Receiver<Value>, answers: Sender<Value>| {
            let ends = hears.clone();
            async move {
                loop {
                    match said.recv().await {
                        Ok(Some(value)) => answers.send(&value).await?,
                        Ok(None) => return Ok(()),
                        Err(error) => {
                            ends.send(error).await.unwrap();
                            return Ok(());
                        }
                    }
                }
            }
        },
    );
    let talk = server_streaming_with::<micro::codec::Json, Value, Value, _, _>(
        move |_: Context, _: Value, answers: Sender<Value>| {
            let ends = ends.clone();
            async move {
                for number in 0_u64.. {
                    if let Err(error) = answers.send(&number.into()).await {
                        ends.send(error).await.unwrap();
                        break;
                    }
                }
                Ok(())
            }
        },
    );
    Server::new().stream_handler("Watched.Listen", listen).stream_handler("Watched.Talk", talk)
}

/// Interrupts it, and gives its exit code once it has ended in time.
async fn interrupted(program: Program, signal: Signal) -> Option<i32> {
    program.signal(signal);
    let since = Instant::now();
    let done = program.end().await;
    assert!(since.elapsed() < PROMPT, "it took {:?}", since.elapsed());
    assert_eq!(done.stderr, "");
    done.code()
}

#[tokio::test]
async fn it_ends_a_stream_and_the_handler_sees_that_the_caller_gave_up() {
    let world = World::new().await;
    let (tell, mut ends) = mpsc::channel(1);
    let _watched = world.serve("watched", "1", watched(tell)).await;
    for signal in [Signal::INT, Signal::TERM] {
        let mut listen = world.micro(&["stream", "watched", "Watched.Listen"]).start();
        listen.types("1").await;
        assert_eq!(listen.line().await, "1");
        assert_eq!(interrupted(listen, signal).await, Some(130));
        let end = timeout(LIMIT, ends.recv()).await.unwrap().unwrap();
        assert_eq!(end.code(), 499, "{end:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_a_stream_that_runs_at_full_speed() {
    let world = World::new().await;
    let (tell, mut ends) = mpsc::channel(1);
    let _watched = world.serve("watched", "1", watched(tell)).await;
    let mut talk = world.micro(&["stream", "watched", "Watched.Talk", "{}"]).start();
    for number in 0..1000 {
        assert_eq!(talk.line().await, number.to_string());
    }
    assert_eq!(interrupted(talk, Signal::INT).await, Some(130));
    let end = timeout(LIMIT, ends.recv()).await.unwrap().unwrap();
    assert_eq!(end.code(), 499, "{end:?}");
}

#[tokio::test]
async fn it_ends_a_call() {
    let (world, _echo) = World::with_echo().await;
    let mut call = world.micro(&["call", "echo", "Echo.Slow", "--count=2", r#"{"millis":300}"#]).start();
    // From here on it is in the middle of the second.
    call.line().await;
    assert_eq!(interrupted(call, Signal::INT).await, Some(130));
}

#[tokio::test]
async fn it_is_the_good_end_of_what_has_no_other() {
    let (world, _echo) = World::with_echo().await;
    let subscribe = world.subscriber(&["events"]).await;
    let mut watch = world.micro(&["watch"]).start();
    watch.says("watching").await;
    let mut busy = world.micro(&["watch", "--json"]).start();
    busy.line().await;
    busy.says("watching").await;
    for program in [subscribe, watch, busy] {
        assert_eq!(interrupted(program, Signal::INT).await, Some(0));
    }
}
