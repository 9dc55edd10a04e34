//! What callers cost a server that are silent: its memory as the system sees it.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use micro::Header;
use micro::nats::async_nats;
use micro_testkit::server::NatsServer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(40);
const CALLERS: usize = 10_000;

#[tokio::test]
async fn ten_thousand_idle_callers_cost_a_kibibyte_each_at_most() {
    let nats = NatsServer::start().await;
    let mut server = Command::new(env!("CARGO_BIN_EXE_echo"))
        .args(["--profile=nats", "--server_address=echo-idle"])
        .env("MICRO_NATS_ADDRESS", nats.address())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(server.stderr.take().unwrap()).lines();
    let serving =
        async { while !log.next_line().await.unwrap().expect("it ended").contains("serving") {} };
    timeout(LIMIT, serving).await.expect("it does not serve");
    let pid = server.id().unwrap();

    let raw = async_nats::connect(nats.url()).await.unwrap();
    let mut answers = raw.subscribe("idle.*").await.unwrap();
    let header: Header = [
        ("Micro-ID", "0"),
        ("Micro-Service", "echo"),
        ("Micro-Endpoint", "Echo.Call"),
        ("Content-Type", "application/json"),
    ]
    .into_iter()
    .collect();
    // As a go-micro client sends it.
    let packet = micro_core::wire::envelope::encode(&header, b"{}");
    let mut ask = async |name: &dyn Fn(usize) -> usize| {
        // In batches, so that no buffer grows with how many there are.
        for batch in (0..CALLERS).collect::<Vec<_>>().chunks(100) {
            for caller in batch {
                let reply = format!("idle.{}", name(*caller));
                raw.publish_with_reply("echo-idle", reply, packet.clone()).await.unwrap();
            }
            for _ in batch {
                timeout(LIMIT, answers.next()).await.expect("no answer").unwrap();
            }
        }
    };
    // What it takes to serve as many calls of few callers is not theirs.
    ask(&|caller| caller % 10).await;
    let before = memory(pid);
    ask(&|caller| caller).await;
    let each = memory(pid).saturating_sub(before) / CALLERS;
    println!("an idle caller costs {each} bytes");
    assert!(each <= 1024, "an idle caller costs {each} bytes");
    assert!(each > 100, "{each} bytes are too few for anybody to be remembered");
}

/// Resident memory, in bytes.
fn memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}
