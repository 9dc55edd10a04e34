//! Without file descriptors. Alone in its process, whose limit it changes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::{Duration, Instant};

use common::end::{End, patient, send};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[tokio::test]
async fn a_port_goes_on_when_there_are_file_descriptors_again() {
    let mut server = End::server(patient()).await;
    let mut client = End::client(patient()).await;
    let address = server.address();
    let early = client.dial(&address);
    send(&early, "early").await;
    let (accepted, _) = server.packet().await;

    let before = getrlimit(Resource::Nofile);
    let limited = Rlimit { current: Some(200), maximum: before.maximum };
    setrlimit(Resource::Nofile, limited).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        taken.push(file);
    }
    // One for who dials, none for who accepts.
    taken.pop();
    let late = client.dial(&address);
    send(&late, "late").await;
    let cpu = cpu_time();
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(500) {
        // What is there goes on.
        send(&early, "still here").await;
        let (same, packet) = server.packet().await;
        assert_eq!((same.id(), packet), (accepted.id(), "still here".into()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let spent = cpu_time() - cpu;
    assert!(spent < Duration::from_millis(250), "it spins: {spent:?} of {:?}", start.elapsed());
    assert!(client.rest().is_empty(), "the dial is not over");
    drop(taken);
    assert_eq!(server.packet().await.1, "late");
}

/// What this process has had of the processors.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}
