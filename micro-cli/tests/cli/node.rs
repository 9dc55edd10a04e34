//! A node in a process of its own, which can be stopped in its tracks and killed.

use std::process::Stdio;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::program::LIMIT;
use crate::world::{World, service, start};

/// In the environment of the process that serves: the address of NATS, and the node's id.
const ASKED: &str = "MICRO_CLI_NODE";

/// A node of `echo` in a process of its own; killed when it is dropped.
pub(crate) struct Node {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Node {
    /// Starts it as `echo-<id>`, and waits until it answers.
    pub(crate) async fn start(world: &World, id: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "node::a_process_serves_until_it_is_killed", "--nocapture"])
            .env(ASKED, format!("{} {id}", world.nats.address()))
            // It serves for as long as this is open.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut node = Self { child, lines };
        timeout(LIMIT, node.says_serving()).await.expect("the node does not serve");
        node
    }

    /// Stops it in its tracks: it answers nothing, and says goodbye to nobody.
    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
        let _ = waitpid(Some(self.pid()), WaitOptions::UNTRACED);
    }

    /// Kills it, and waits for its end.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap()
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    async fn says_serving(&mut self) {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if line.contains("serving") {
                return;
            }
        }
        panic!("the node ended without serving");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_serves_until_it_is_killed() {
    if let Ok(asked) = std::env::var(ASKED) {
        return serve(&asked).await;
    }
    let world = World::new().await;
    let node = Node::start(&world, "other").await;
    let who = ["call", "echo", "Echo.Who", "--timeout=30s"];
    assert_eq!(world.prints(&who).await, "{\"greeting\":\"echo-other\"}\n");
    node.kill().await;
    let done = world.micro(&[&who[..4], &["--address=echo.other"]].concat()).run().await;
    assert_eq!(done.failed().0["code"], 503);
}

async fn serve(asked: &str) {
    let (nats, id) = asked.split_once(' ').unwrap();
    let node = std::sync::Arc::new(std::sync::OnceLock::from(format!("echo-{id}")));
    let server = micro_examples::echo::server(node);
    let running = start(service(nats, "echo", id).server(server)).await;
    println!("serving");
    // Its end is the test's, which may have been killed itself.
    let end = || std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    drop(running);
}
