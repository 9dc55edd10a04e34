//! A Unix socket beside a port is taken only if it is the same user's.
//!
//! This needs a second user, so it is checked where the test runs as root, and says where it does
//! not.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use common::end::{End, patient, send};

/// In the environment of the process that takes the name of a port's Unix socket.
const ID: &str = "MICRO_TCP_TEST_ID";
const NOBODY: u32 = 65_534;

#[tokio::test]
async fn a_unix_socket_of_another_user_is_passed_over() {
    if let Ok(id) = std::env::var(ID) {
        return pretend(&id);
    }
    if !rustix::process::geteuid().is_root() {
        return micro_testkit::not_done("the Unix socket of another user", "it needs root");
    }
    for (user, taken_in) in [(None, true), (Some(NOBODY), false)] {
        let mut server = End::server(patient().with_unix_socket(false)).await;
        let mut client = End::client(patient()).await;
        let id = server.address().split('/').nth(1).unwrap().to_owned();
        let mut pretender = pretender(&id, user);
        let peer = client.dial(&server.address());
        send(&peer, "for the server alone").await;
        if taken_in {
            // One of our own could do worse; it shows that the other one would have been heard.
            assert_eq!(client.packet().await.1, "got it");
        } else {
            assert_eq!(server.packet().await.1, "for the server alone");
        }
        pretender.kill().unwrap();
        pretender.wait().unwrap();
    }
}

/// This test once more, as another process.
fn pretender(id: &str, user: Option<u32>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_unix_socket_of_another_user_is_passed_over", "--nocapture"]);
    command.env(ID, id).stdout(Stdio::piped());
    if let Some(user) = user {
        command.uid(user);
    }
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "listening"), "it does not listen");
    child
}

/// Says the greeting of the port with this id, and answers the first packet.
fn pretend(id: &str) {
    let name = SocketAddr::from_abstract_name(format!("micro-tcp-{id}")).unwrap();
    let listener = UnixListener::bind_addr(&name).unwrap();
    println!("\nlistening");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let mut greeting = [0; common::GREETING.len()];
        if stream.read_exact(&mut greeting).is_err() {
            continue;
        }
        let head = b"\x9emicro\r\n\x01\x02\x15\x00\x10\x00\x00\x10";
        let _ = stream.write_all(&[head, id.as_bytes(), b"\0\0\0\x06got it"].concat());
        // It goes on until it is killed.
        let _ = stream.read_to_end(&mut Vec::new());
    }
}
