//! The `micro` command, as it is typed.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::process::Process;
use crate::{eventually, limited};

/// What the command says of a service whose answer did not come in time.
const NOT_FOUND: &str = "answers to that name";

/// The `micro` command on the NATS of a world.
#[derive(Clone, Debug)]
pub struct Shell {
    program: PathBuf,
    flags: Vec<String>,
}

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Said {
    /// What was typed, without the flags for NATS.
    pub typed: String,
    /// Its exit code; -1 after a signal.
    pub code: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Shell {
    pub(crate) fn new(program: PathBuf, flags: Vec<String>) -> Self {
        Self { program, flags }
    }

    /// Runs it to its end, with this input.
    ///
    /// # Panics
    /// If it does not start or does not end.
    pub async fn run(&self, words: &[&str], input: &str) -> Said {
        let typed = format!("micro {}", words.join(" "));
        let mut child = Command::new(&self.program)
            .args(&self.flags)
            .args(words)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{typed} does not start: {error}"));
        let mut stdin = child.stdin.take().expect("it is piped");
        // Who reads none of it may have ended.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = limited(&format!("the end of {typed}"), child.wait_with_output()).await;
        let output = output.expect("it was waited for");
        let text = |bytes| String::from_utf8(bytes).expect("what it says is UTF-8");
        Said {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
            typed,
        }
    }

    /// [`run`](Self::run), and again if a service has not answered within the time of a lookup, which a busy machine may
    /// need itself.
    async fn found(&self, words: &[&str], input: &str) -> Said {
        eventually(&format!("an answer to {words:?}"), async || {
            let said = self.run(words, input).await;
            (!said.err.contains(NOT_FOUND)).then_some(said)
        })
        .await
    }

    /// What it prints when it must be fine.
    ///
    /// # Panics
    /// If it is not, or says something beside what was asked for.
    pub async fn prints(&self, words: &[&str]) -> String {
        self.prints_for(words, "").await
    }

    /// [`prints`](Self::prints), with input.
    pub async fn prints_for(&self, words: &[&str], input: &str) -> String {
        let said = self.found(words, input).await;
        assert_eq!((said.code, &*said.err), (0, ""), "{said:?}");
        said.out
    }

    /// What it prints when it must be fine, and says this beside it.
    ///
    /// # Panics
    /// If it is not, or says something else.
    pub async fn prints_and_says(&self, words: &[&str], beside: &str) -> String {
        let said = self.found(words, "").await;
        assert_eq!((said.code, &*said.err), (0, beside), "{said:?}");
        said.out
    }

    /// The lines of JSON that it prints when it must be fine.
    ///
    /// # Panics
    /// If it is not, or prints something else.
    pub async fn json(&self, words: &[&str], input: &str) -> Vec<Value> {
        values(&self.prints_for(words, input).await)
    }

    /// What it says when it must fail.
    ///
    /// # Panics
    /// If it does not exit with 1.
    pub async fn fails(&self, words: &[&str], input: &str) -> Said {
        let said = self.found(words, input).await;
        assert_eq!(said.code, 1, "{said:?}");
        said
    }

    /// Starts one that goes on. Its lines are those of JSON; the rest is in its log.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(&self, words: &[&str]) -> Process {
        let flags = self.flags.iter().map(String::as_str);
        let words: Vec<&str> = flags.chain(words.iter().copied()).collect();
        Process::start("micro", &self.program, &words)
    }
}

impl Said {
    /// The lines of JSON of its standard output.
    pub fn values(&self) -> Vec<Value> {
        values(&self.out)
    }

    /// The error that it tells: the first line of its standard error.
    ///
    /// # Panics
    /// If that is no JSON.
    pub fn error(&self) -> Value {
        let line = self.err.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What may help: the line after the error.
    pub fn hint(&self) -> &str {
        let line = self.err.lines().nth(1).unwrap_or_default();
        line.strip_prefix("hint: ").unwrap_or_else(|| panic!("no hint: {self:?}"))
    }
}

fn values(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}")))
        .collect()
}
