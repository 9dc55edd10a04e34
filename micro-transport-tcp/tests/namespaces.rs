//! Between two network namespaces joined by a cable, as between two machines: the address that
//! others reach, TCP where the Unix socket is elsewhere, and an end that vanishes.
//!
//! The programs are this test binary itself, started again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Stdio;
use std::time::{Duration, Instant};

use common::end::{End, LIMIT, patient, send};
use micro_core::transport::Arrival;
use micro_testkit::not_done;
use micro_transport_tcp::Keepalive;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Tells the program which of the roles below it has; without it, it is a test that does nothing.
const ROLE: &str = "MICRO_TCP_TEST_ROLE";

#[tokio::test]
async fn from_another_machine_it_is_tcp_and_whoever_vanishes_is_missed() {
    let joined = match Joined::make().await {
        Ok(joined) => joined,
        Err(why) => return not_done("TCP between two network namespaces", &why),
    };
    let [here, there] = &joined.namespaces;
    let mut server = Program::start(here, "serve 0.0.0.0");
    // There is no way to anywhere else, so it is the first address that is not loopback.
    let address = server.says().await;
    assert!(address.starts_with("10.214.0.1:"), "{address}");

    let near = Program::start(here, &format!("ask {address}")).says().await;
    assert!(near.starts_with("unix:process "), "{near}");
    let mut far = Program::start(there, &format!("ask {address}"));
    let remote = far.says().await;
    assert!(remote.starts_with("10.214.0.2:"), "{remote}");

    ip(&format!("-n {here} link set veth0 down")).await.unwrap();
    assert_eq!(far.says().await, "gone");
}

/// What the programs do; as a test of its own it does nothing.
#[tokio::test]
async fn role() {
    let Ok(role) = std::env::var(ROLE) else { return };
    match role.split_once(' ').unwrap() {
        ("serve", address) => {
            let mut server = End::at(address, patient()).await;
            say(&server.address());
            let mut held = Vec::new();
            loop {
                if let Arrival::Packet { peer, .. } = server.next_ever().await {
                    send(&peer, peer.remote().to_owned()).await;
                    held.push(peer);
                }
            }
        }
        ("ask", address) => {
            let second = Duration::from_secs(1);
            let keepalive = Keepalive::default();
            let keepalive = keepalive.with_idle(second).with_interval(second).with_probes(2);
            let mut client = End::client(patient().with_keepalive(keepalive)).await;
            let peer = client.dial(address);
            send(&peer, "who am I?").await;
            say(str::from_utf8(&client.packet().await.1).unwrap());
            assert_eq!(client.closed().await, (vec![], 0));
            say("gone");
        }
        other => panic!("{other:?} is no role"),
    }
}

fn say(what: &str) {
    println!("says: {what}");
}

/// A program that is killed when nobody needs it any more.
struct Program {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(namespace: &str, role: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "role", "--nocapture"]).env(ROLE, role);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, lines }
    }

    /// What it says next.
    async fn says(&mut self) -> String {
        let said = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if let Some((_, said)) = line.split_once("says: ") {
                    return said.to_owned();
                }
            }
            "nothing".to_owned()
        };
        tokio::time::timeout(LIMIT, said).await.unwrap_or_else(|_| "too late".into())
    }
}

/// Two network namespaces with a cable between them.
struct Joined {
    namespaces: [String; 2],
}

impl Joined {
    /// # Errors
    /// Why this machine has none.
    async fn make() -> Result<Self, String> {
        let namespaces = ["a", "b"].map(|side| format!("micro-tcp-{}-{side}", std::process::id()));
        let joined = Self { namespaces };
        let [a, b] = &joined.namespaces;
        for step in [
            format!("netns add {a}"),
            format!("netns add {b}"),
            format!("link add veth0 netns {a} type veth peer name veth0 netns {b}"),
            format!("-n {a} addr add 10.214.0.1/24 dev veth0"),
            format!("-n {b} addr add 10.214.0.2/24 dev veth0"),
            format!("-n {a} link set veth0 up"),
            format!("-n {b} link set veth0 up"),
            format!("-n {a} link set lo up"),
        ] {
            ip(&step).await?;
        }
        // A cable is up a moment after both of its ends are.
        let begin = Instant::now();
        for namespace in &joined.namespaces {
            while !ip(&format!("-n {namespace} -brief link show veth0")).await?.contains(" UP ") {
                assert!(begin.elapsed() < LIMIT, "the cable does not come up");
            }
        }
        Ok(joined)
    }
}

async fn ip(arguments: &str) -> Result<String, String> {
    let outcome = Command::new("ip").args(arguments.split(' ')).output().await;
    let outcome = outcome.map_err(|error| format!("ip: {error}"))?;
    if !outcome.status.success() {
        let why = String::from_utf8_lossy(&outcome.stderr).trim().to_owned();
        return Err(format!("ip {arguments}: {why}"));
    }
    Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
}

impl Drop for Joined {
    fn drop(&mut self) {
        for namespace in &self.namespaces {
            let delete = ["netns", "delete", namespace];
            let _ = std::process::Command::new("ip").args(delete).stderr(Stdio::null()).status();
        }
    }
}
