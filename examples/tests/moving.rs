//! The greeters without a server, on two machines of which one moves to another network address.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "program/mod.rs"]
mod program;

use std::time::{Duration, Instant};

use micro_testkit::{TwoMachines, not_done};

use self::program::Program;

const SERVER: &str = env!("CARGO_BIN_EXE_greeter-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_greeter-client");
/// Another address of the server's machine.
const MOVED: &str = "10.213.0.3";

/// A greeter on one of the machines, which finds and calls others of their network.
fn start(on: &[&str; 4], program: &str, args: &[&str]) -> Program {
    let network = ["--registry=mdns", "--transport=tcp", "--transport_address=0.0.0.0"];
    Program::start(on[0], &[&on[1..], &[program], &network, args].concat())
}

/// What a line of the log has under this key.
fn value<'a>(line: &'a str, key: &str) -> &'a str {
    let (_, rest) = line.split_once(&format!(" {key}=\"")).unwrap_or_else(|| panic!("{line}"));
    rest.split('"').next().unwrap()
}

#[tokio::test]
async fn a_server_whose_machine_gets_another_address_is_called_on_by_the_same_client() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("a server whose machine gets another address", &why),
    };
    let [here, there] = machines.run_on();
    let mut server = start(&here, SERVER, &["--register_interval=1"]);
    let serving = server.says("serving").await;
    let first = value(&serving, "address");
    let (place, port_and_id) = first.split_once(':').unwrap();
    assert_eq!(place, TwoMachines::ADDRESSES[0]);

    let pause = Duration::from_millis(50);
    let args = ["--count=1000000", "--interval=50ms", "--client_retries=20"];
    let (begun, mut client) = (Instant::now(), start(&there, CLIENT, &args));
    assert_eq!(client.line().await, "Hello World");
    machines.set_address(MOVED).unwrap();
    let moved = server.says("reached at another address").await;
    for (key, expected) in [
        ("node", value(&serving, "node")),
        ("before", first),
        ("address", &format!("{MOVED}:{port_and_id}")),
    ] {
        assert_eq!(value(&moved, key), expected, "{moved}");
    }
    // With a pause before each it cannot have said more of them by now.
    let so_far = begun.elapsed().as_millis() / pause.as_millis() + 1;
    for _ in 0..so_far + 20 {
        assert_eq!(client.line().await, "Hello World");
    }
    assert!(client.child.try_wait().unwrap().is_none());

    // And back, where its callers were before.
    machines.set_address(TwoMachines::ADDRESSES[0]).unwrap();
    let back = server.says("reached at another address").await;
    assert_eq!(value(&back, "address"), first);
    let so_far = begun.elapsed().as_millis() / pause.as_millis() + 1 - (so_far + 21);
    for _ in 0..so_far + 20 {
        assert_eq!(client.line().await, "Hello World");
    }
}
