//! A program as a person runs it.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(40);

/// A program, killed when it is dropped.
pub(crate) struct Program {
    pub(crate) child: Child,
    out: Lines<BufReader<ChildStdout>>,
    err: Lines<BufReader<ChildStderr>>,
}

impl Program {
    pub(crate) fn start(path: &str, args: &[&str]) -> Self {
        Self::start_with(path, args, &[])
    }

    pub(crate) fn start_with(path: &str, args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = Command::new(path)
            .args(args)
            .envs(env.iter().copied())
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap()).lines();
        let err = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, out, err }
    }

    /// Waits until it says so in its log; the whole line.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        timeout(LIMIT, async {
            while let Some(line) = self.err.next_line().await.unwrap() {
                if line.contains(words) {
                    return line;
                }
            }
            panic!("it ended without saying {words:?}");
        })
        .await
        .unwrap_or_else(|_| panic!("it does not say {words:?}"))
    }

    pub(crate) async fn line(&mut self) -> String {
        let line = timeout(LIMIT, self.out.next_line()).await.expect("no line in time");
        line.unwrap().expect("it ended without a line")
    }

    /// Waits for its end: whether it succeeded, the rest of its output, its log.
    pub(crate) async fn end(mut self) -> (bool, Vec<String>, Vec<String>) {
        timeout(LIMIT, async {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let read_out = async {
                while let Some(line) = self.out.next_line().await.unwrap() {
                    out.push(line);
                }
            };
            let read_err = async {
                while let Some(line) = self.err.next_line().await.unwrap() {
                    err.push(line);
                }
            };
            tokio::join!(read_out, read_err);
            (self.child.wait().await.unwrap().success(), out, err)
        })
        .await
        .expect("it does not end")
    }

    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
    }
}

/// Discovery and calls without any server, on this machine and among those of this namespace, by
/// flags.
pub(crate) fn no_server_flags(namespace: &str) -> Vec<String> {
    let flags = ["--registry=mdns", "--registry_address=loopback", "--transport=tcp"];
    flags.map(str::to_owned).into_iter().chain([format!("--namespace={namespace}")]).collect()
}

/// The three backends at this address, by flags.
pub(crate) fn nats_flags(address: &str) -> Vec<String> {
    ["registry", "transport", "broker"]
        .iter()
        .flat_map(|what| [format!("--{what}=nats"), format!("--{what}_address={address}")])
        .collect()
}

pub(crate) fn strs(args: &[String]) -> Vec<&str> {
    args.iter().map(String::as_str).collect()
}
