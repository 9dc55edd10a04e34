//! Between two network namespaces joined by a cable, as between two machines: the address that
//! others reach, TCP where the Unix socket is elsewhere, and an end that vanishes.
//!
//! The programs are this test binary itself, started again.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::end::{End, LIMIT, patient, send};
use micro_core::transport::Arrival;
use micro_testkit::{TwoMachines, not_done};
use micro_transport_tcp::Keepalive;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Tells the program which of the roles below it has; without it, it is a test that does nothing.
const ROLE: &str = "MICRO_TCP_TEST_ROLE";

#[tokio::test]
async fn from_another_machine_it_is_tcp_and_whoever_vanishes_is_missed() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("TCP between two network namespaces", &why),
    };
    let [here, there] = machines.run_on();
    let mut server = Program::start(&here, "serve 0.0.0.0");
    // There is no way to anywhere else, so it is the first address that is not loopback.
    let address = server.says().await;
    assert!(address.starts_with(&format!("{}:", TwoMachines::ADDRESSES[0])), "{address}");

    let near = Program::start(&here, &format!("ask {address}")).says().await;
    assert!(near.starts_with("unix:process "), "{near}");
    let mut far = Program::start(&there, &format!("ask {address}"));
    let remote = far.says().await;
    assert!(remote.starts_with(&format!("{}:", TwoMachines::ADDRESSES[1])), "{remote}");

    machines.set_cable(false).unwrap();
    assert_eq!(far.says().await, "gone");
}

#[tokio::test]
async fn a_port_that_listens_everywhere_is_reached_at_the_address_that_its_machine_has_now() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("TCP to a machine that moves", &why),
    };
    let [here, there] = machines.run_on();
    let mut server = Program::start(&here, "serve 0.0.0.0");
    let first = server.says().await;
    // Those on its machine ask, whatever address that has.
    let now = || async { Program::start(&here, &format!("where {first}")).says().await };
    assert_eq!(now().await, first);

    let (place, rest) = first.split_once(':').unwrap();
    assert_eq!(place, TwoMachines::ADDRESSES[0]);
    machines.set_address(MOVED).unwrap();
    let moved = format!("{MOVED}:{rest}");
    assert_eq!(now().await, moved);
    let remote = Program::start(&there, &format!("ask {moved}")).says().await;
    assert!(remote.starts_with(&format!("{}:", TwoMachines::ADDRESSES[1])), "{remote}");
    // Without its cable it may be back in a moment.
    machines.set_cable(false).unwrap();
    assert_eq!(now().await, moved);
    machines.set_cable(true).unwrap();
    machines.set_address(TwoMachines::ADDRESSES[0]).unwrap();
    assert_eq!(now().await, first);
}

/// Another address of the first machine.
const MOVED: &str = "10.213.0.3";

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
                if let Arrival::Packet { peer, packet } = server.next_ever().await {
                    let answer = match &*packet {
                        b"who am I?" => peer.remote().to_owned(),
                        b"where are you?" => server.port.advertise(&server.address()).unwrap(),
                        other => panic!("{other:?} is no question"),
                    };
                    send(&peer, answer).await;
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
        ("where", address) => {
            let mut client = End::client(patient()).await;
            let peer = client.dial(address);
            send(&peer, "where are you?").await;
            say(str::from_utf8(&client.packet().await.1).unwrap());
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
    fn start([run, how @ ..]: &[&str; 4], role: &str) -> Self {
        let mut command = Command::new(run);
        command.args(how).arg(std::env::current_exe().unwrap());
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
