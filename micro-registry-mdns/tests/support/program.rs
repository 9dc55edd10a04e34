//! Programs of a test, which are the test binary itself, started again.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::LIMIT;

/// Tells the program which role it has.
const ROLE: &str = "MICRO_MDNS_TEST_ROLE";

/// What a program says that has done what it was told.
pub(crate) const DONE: &str = "done";

/// The role of this process, if it is such a program. The test binary has a test `role` that plays
/// it, and does nothing without one.
pub(crate) fn role_of_this() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// What a program says.
pub(crate) fn say(what: &str) {
    println!("says: {what}");
}

/// The next thing that a program is told; nothing once nobody will.
pub(crate) async fn told() -> Option<String> {
    let line = || std::io::stdin().lines().next().map(Result::unwrap);
    tokio::task::spawn_blocking(line).await.unwrap()
}

/// A program that is killed when nobody needs it any more.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    /// Starts it in a role, by this command if there is one.
    pub(crate) fn start(by: &[&str], role: &[&str]) -> Self {
        let this = std::env::current_exe().unwrap();
        let mut command = match by {
            [] => Command::new(this),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(this);
                command
            }
        };
        command.args(["--exact", "role", "--nocapture"]).env(ROLE, role.join(" "));
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, stdin, lines }
    }

    /// Tells it something, and returns what it says to that.
    pub(crate) async fn tell(&mut self, what: &str) -> String {
        self.stdin.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        self.next().await
    }

    /// Tells it to do something, and waits until it has.
    pub(crate) async fn does(&mut self, what: &str) {
        assert_eq!(self.tell(what).await, DONE, "{what}");
    }

    /// Waits until it says something, and this is what it says.
    pub(crate) async fn says(&mut self, what: &str) {
        assert_eq!(self.next().await, what);
    }

    async fn next(&mut self) -> String {
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
