//! What is large and what is long is written as it comes: memory stays flat.

use std::fs;
use std::io;
use std::time::Duration;

use micro::stream::{Sender, server_streaming_with};
use micro::{Bytes, Context, Server, codec};
use micro_testkit::server::NatsServer;
use rustix::process::Pid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio::time::{sleep, timeout};

use crate::world::World;

const MIB: usize = 1 << 20;
/// The most that nats-server can be told to carry in a message.
const MAX_PAYLOAD: usize = 64 * MIB;

/// How long the largest things may take, in a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(300);

/// How many messages a long stream has: `MICRO_CLI_MESSAGES`.
fn messages() -> u64 {
    match std::env::var("MICRO_CLI_MESSAGES") {
        Ok(number) => number.parse().expect("MICRO_CLI_MESSAGES is a number"),
        Err(_) => 100_000,
    }
}

/// The most memory that a process has had so far, in bytes.
fn peak(pid: Pid) -> Option<usize> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero())).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// Answers with a stream of numbers, as fast as it can.
fn numbers() -> Server {
    let count = server_streaming_with::<codec::Json, u64, u64, _, _>(
        async |_: Context, most: u64, values: Sender<u64>| {
            for value in 1..=most {
                values.send(&value).await?;
            }
            Ok(())
        },
    );
    Server::new().stream_handler("Large.Count", count)
}

/// Its peak, once it is idle.
async fn of_nothing(world: &World) -> usize {
    let program = world.subscriber(&["nothing"]).await;
    peak(program.pid()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_as_large_as_nats_can_carry_is_held_once_or_twice() {
    // Whoever may send so much must be let fall behind by more.
    let nats = NatsServer::start_configured("max_payload: 64MB, max_pending: 256MB").await;
    let world = World { nats };
    // In base64 it is four thirds as large, and the header needs some room.
    let body = Bytes::from(vec![b'x'; MAX_PAYLOAD / 4 * 3 - 4096]);
    let text = [&b"\""[..], &body[2..], b"\""].concat();
    let (size, text) = (body.len(), Bytes::from(text));
    let server = Server::new().raw_handler("Large.Reply", move |_: Context, _| {
        let text = text.clone();
        async move { Ok(text) }
    });
    let _large = world.serve("large", "1", server).await;
    let nothing = of_nothing(&world).await;
    for more in [&[][..], &["--raw"]] {
        let call = [&["call", "large", "Large.Reply", "--timeout=5m"], more].concat();
        let mut call = world.micro(&call).start();
        let pid = call.pid();
        let mut stdout = call.take_stdout();
        let (mut read, mut highest) = (0, 0);
        let mut bytes = vec![0; 64 << 10];
        let reads = async {
            loop {
                highest = peak(pid).unwrap_or_default().max(highest);
                match stdout.read(&mut bytes).await.unwrap() {
                    0 => return,
                    count => read += count,
                }
            }
        };
        timeout(LIMIT, reads).await.unwrap();
        assert_eq!(call.end().await.fine(), "");
        assert_eq!(read, size + usize::from(more.is_empty()), "{more:?}");
        let held = highest - nothing;
        eprintln!("a reply of {} MiB {more:?}: {} MiB held", size / MIB, held / MIB);
        // As it came it is 64 MiB, and what its base64 stands for 48; the rest is room for buffers.
        assert!(held < 144 * MIB, "{more:?}: {} MiB", held / MIB);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_stream_is_written_as_it_comes() {
    all_come_in_order_and_few_are_held(messages(), 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_waits_for_a_slow_reader() {
    all_come_in_order_and_few_are_held(100_000, 20_000).await;
}

/// Reads a stream of so many messages, the first of them so slowly that it takes two seconds.
async fn all_come_in_order_and_few_are_held(most: u64, slowly: u64) {
    let world = World::new().await;
    let _large = world.serve("large", "1", numbers()).await;
    let nothing = of_nothing(&world).await;
    let mut stream = world.micro(&["stream", "large", "Large.Count", &most.to_string()]).start();
    let pid = stream.pid();
    let mut stdout = stream.take_stdout();
    let (mut line, mut highest) = (String::new(), 0);
    let reads = async {
        for value in 1..=most {
            line.clear();
            if stdout.read_line(&mut line).await? == 0 {
                return Err(io::Error::other("it ended before its time"));
            }
            assert_eq!(line, format!("{value}\n"));
            if value < slowly && value % 100 == 0 {
                // It is not waited for anything: this is how slow the reader is.
                sleep(Duration::from_secs(2) / u32::try_from(slowly / 100).unwrap()).await;
            }
            if value % 1000 == 0 || value == most {
                highest = peak(pid).unwrap_or_default().max(highest);
            }
        }
        stdout.read_line(&mut line).await
    };
    let rest = timeout(LIMIT, reads).await.unwrap();
    let done = stream.end().await;
    assert_eq!(rest.ok(), Some(0), "{done:?}");
    assert_eq!(done.fine(), "");
    let held = highest - nothing;
    eprintln!("a stream of {most} messages, {slowly} of them slowly: {} KiB held", held >> 10);
    // What the server may send before the command has taken it, and buffers; not the stream.
    assert!(held < 8 * MIB, "{} MiB", held / MIB);
}
