//! Ctrl-C, which is SIGINT, and what ends a process from elsewhere.

use std::time::{Duration, Instant};

use micro::codec::Json;
use micro::stream::{Receiver, Sender, bidirectional_with, server_streaming_with};
use micro::{Context, Server};
use rustix::process::Signal;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::{LIMIT, Program};
use crate::world::World;

/// How long a person waits for the prompt, on a busy machine.
const PROMPT: Duration = Duration::from_secs(5);

/// Endpoints that tell when their callers gave up.
fn watched(ends: mpsc::Sender<&'static str>) -> Server {
    let tell = move |context: &Context, name| {
        let (context, ends) = (context.clone(), ends.clone());
        tokio::spawn(async move {
            context.cancelled().await;
            ends.send(name).await.unwrap();
        });
    };
    let tell_too = tell.clone();
    let listen = bidirectional_with::<Json, Value, Value, _, _>(
        move |context: Context, mut said: Receiver<Value>, answers: Sender<Value>| {
            tell(&context, "listen");
            async move {
                while let Some(value) = said.recv().await? {
                    answers.send(&value).await?;
                }
                Ok(())
            }
        },
    );
    let talk = server_streaming_with::<Json, Value, Value, _, _>(
        move |context: Context, _: Value, answers: Sender<Value>| {
            tell_too(&context, "talk");
            async move {
                for number in 0_u64.. {
                    answers.send(&number.into()).await?;
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

/// Waits until the server is told that a caller gave up, and not that it is gone.
async fn gives_up(wire: &mut Program) {
    loop {
        let packet = wire.json().await;
        let error = packet["header"]["Micro-Error"].as_str().unwrap_or_default();
        if error.contains("499") {
            return;
        }
        // What ends the messages of the caller ends no stream.
        assert!(["", "EOS"].contains(&error), "the stream ended in another way: {error}");
    }
}

#[tokio::test]
async fn it_ends_a_stream_and_the_handler_sees_that_the_caller_gave_up() {
    let world = World::new().await;
    let (tell, mut ends) = mpsc::channel(1);
    let _watched = world.serve("watched", "1", watched(tell)).await;
    let mut wire = world.subscriber(&["watched.1", "--json"]).await;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut listen = world.micro(&["stream", "watched", "Watched.Listen"]).start();
        listen.types("1").await;
        assert_eq!(listen.line().await, "1");
        assert_eq!(interrupted(listen, signal).await, Some(130));
        gives_up(&mut wire).await;
        assert_eq!(timeout(LIMIT, ends.recv()).await.unwrap(), Some("listen"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_ends_a_stream_that_runs_at_full_speed() {
    let world = World::new().await;
    let (tell, mut ends) = mpsc::channel(1);
    let _watched = world.serve("watched", "1", watched(tell)).await;
    let mut wire = world.subscriber(&["watched.1", "--json"]).await;
    let mut talk = world.micro(&["stream", "watched", "Watched.Talk", "{}"]).start();
    for number in 0..1000 {
        assert_eq!(talk.line().await, number.to_string());
    }
    assert_eq!(interrupted(talk, Signal::INT).await, Some(130));
    gives_up(&mut wire).await;
    assert_eq!(timeout(LIMIT, ends.recv()).await.unwrap(), Some("talk"));
}

#[tokio::test]
async fn it_ends_a_call() {
    let (world, _echo) = World::with_echo().await;
    let slow = ["call", "echo", "Echo.Slow", "--count=2", r#"{"millis":300}"#];
    let mut call = world.micro(&slow).start();
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
    let mut as_json = world.micro(&["watch", "--json"]).start();
    as_json.says("watching").await;
    for program in [subscribe, watch, as_json] {
        assert_eq!(interrupted(program, Signal::INT).await, Some(0));
    }
}
