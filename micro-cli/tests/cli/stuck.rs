//! What takes nothing and what gives nothing: a pipe that nobody reads, and one that nobody writes to.

use std::io::ErrorKind;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use micro::codec::Raw;
use micro::stream::{Sender, server_streaming_with};
use micro::{Bytes, Context, Server};
use rustix::process::{Signal, kill_process};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::process::ChildStdout;
use tokio::time::{sleep, timeout};

use crate::program::{Done, LIMIT, Program};
use crate::world::World;

/// Far more than a pipe and the buffers at its ends hold.
const LARGE: usize = 500_000;

/// What ends a process that is asked to end.
const SIGNALS: [Signal; 3] = [Signal::INT, Signal::TERM, Signal::HUP];

/// A registry that has to be asked may answer too late beside so much that is sent.
const AT: &str = "--address=large.1";
const STREAM: [&str; 5] = ["stream", "large", "Large.Stream", "{}", AT];
const CALL: [&str; 4] = ["call", "large", "Large.Reply", AT];

/// How long a command has for its last words; a second Ctrl-C ends it sooner.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a command is tried before it is called slow.
const TRIES: usize = 4;

/// Endpoints whose messages are large.
fn large() -> Server {
    let message = Bytes::from(format!("\"{}\"", "x".repeat(LARGE)));
    let reply = message.clone();
    let stream = server_streaming_with::<Raw, Bytes, Bytes, _, _>(
        move |_: Context, _: Bytes, messages: Sender<Bytes>| {
            let message = message.clone();
            async move {
                loop {
                    messages.send(&message).await?;
                }
            }
        },
    );
    let reply = move |_: Context, _| {
        let reply = reply.clone();
        async move { Ok(reply) }
    };
    Server::new().raw_handler("Large.Reply", reply).stream_handler("Large.Stream", stream)
}

/// A command in the middle of a message that it prints, and its pipe, from which nobody reads the rest.
async fn stuck(world: &World, words: &[&str]) -> (Program, BufReader<ChildStdout>) {
    let mut program = world.micro(words).start();
    let mut stdout = program.take_stdout();
    if timeout(LIMIT, stdout.read_u8()).await.expect("it prints nothing").is_err() {
        panic!("{words:?}: {:?}", program.end().await);
    }
    (program, stdout)
}

#[track_caller]
fn is_interrupted(done: &Done) {
    assert_eq!((done.code(), done.stderr.as_str()), (Some(130), ""), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_that_nobody_reads_holds_up_no_interrupt() {
    let world = World::new().await;
    let _large = world.serve("large", "1", large()).await;
    let world = &world;
    for words in [&STREAM[..], &CALL, &[&CALL[..], &["--raw"]].concat()] {
        // They have time for last words, which nobody takes: all have it at once.
        let ended = |signal| async move {
            let (program, _unread) = stuck(world, words).await;
            program.signal(signal);
            is_interrupted(&program.end().await);
        };
        stream::iter(SIGNALS).for_each_concurrent(SIGNALS.len(), ended).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_interrupt_ends_it_at_once() {
    let world = World::new().await;
    let _large = world.serve("large", "1", large()).await;
    for words in [&STREAM[..], &CALL] {
        let mut quickest = Duration::MAX;
        for _ in 0..TRIES {
            let (program, _unread) = stuck(&world, words).await;
            let (pid, since) = (program.pid(), Instant::now());
            // Two that come together are one to a process.
            let pressing = async {
                loop {
                    kill_process(pid, Signal::INT).unwrap();
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let done = tokio::select! {
                biased;
                done = program.end() => done,
                () = pressing => unreachable!("it has no end"),
            };
            is_interrupted(&done);
            quickest = quickest.min(since.elapsed());
        }
        assert!(quickest < PATIENCE, "{words:?}: {quickest:?}");
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_writes_to_holds_up_no_interrupt() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for signal in SIGNALS {
        let call = world.micro(&["call", "echo", "Echo.Call", "@fifo"]).folder(folder.path());
        let call = call.start();
        // It has been opened for reading as soon as it can be opened for writing.
        let opened = async {
            loop {
                match pipe::OpenOptions::new().open_sender(&fifo) {
                    Ok(sender) => return sender,
                    Err(error) => assert_ne!(error.kind(), ErrorKind::NotFound, "{error}"),
                }
                sleep(Duration::from_millis(5)).await;
            }
        };
        let _silent = timeout(LIMIT, opened).await.expect("it does not open the pipe");
        call.signal(signal);
        is_interrupted(&call.end().await);
    }
}

#[tokio::test]
async fn a_pipe_that_nobody_opens_holds_up_no_interrupt() {
    let (world, _echo) = World::with_echo().await;
    let folder = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(folder.path().join("fifo")).status().unwrap().success());
    // Whenever it comes: before the command listens for it, it ends as any process does.
    let call = world.micro(&["call", "echo", "Echo.Call", "@fifo"]).folder(folder.path());
    let call = call.start();
    let pid = call.pid();
    let pressing = async {
        loop {
            sleep(Duration::from_millis(300)).await;
            kill_process(pid, Signal::INT).unwrap();
        }
    };
    let done = tokio::select! {
        biased;
        done = call.end() => done,
        () = pressing => unreachable!("it has no end"),
    };
    assert_eq!(done.stderr, "", "{done:?}");
}
