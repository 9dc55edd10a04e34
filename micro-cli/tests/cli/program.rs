//! The command as a shell runs it.

use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// How long anything may take on a busy machine before a test fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A command line that is about to be run, with nothing in its environment.
pub(crate) struct Micro {
    command: Command,
    input: Option<Vec<u8>>,
}

impl Micro {
    pub(crate) fn new(words: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_micro"));
        command
            .args(words)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self { command, input: None }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn folder(mut self, path: &std::path::Path) -> Self {
        self.command.current_dir(path);
        self
    }

    /// What it reads from standard input, which ends then.
    pub(crate) fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Where standard output goes, instead of to the test.
    pub(crate) fn stdout(mut self, to: impl Into<Stdio>) -> Self {
        self.command.stdout(to);
        self
    }

    /// Runs it to its end.
    pub(crate) async fn run(self) -> Done {
        let mut program = self.start();
        program.close_input();
        program.end().await
    }

    /// Starts it; standard input stays open unless [`input`](Self::input) was given.
    pub(crate) fn start(mut self) -> Program {
        let begun = Instant::now();
        let mut child = self.command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take();
        if let Some(input) = self.input {
            let mut stdin = stdin.take().unwrap();
            tokio::spawn(async move {
                // It may end without having read all of it.
                let _ = stdin.write_all(&input).await;
            });
        }
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Program { child, stdin, stdout, stderr, begun }
    }
}

/// A command that runs; killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
    begun: Instant,
}

impl Program {
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Types a line.
    pub(crate) async fn types(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its standard input is open");
        stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    pub(crate) fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Reads no more of standard output, as `head` does.
    pub(crate) fn close_output(&mut self) {
        self.stdout = None;
    }

    /// The next line of standard output.
    pub(crate) async fn line(&mut self) -> String {
        let stdout = self.stdout.as_mut().expect("its standard output is open");
        let line = next_line(stdout, "standard output").await;
        line.expect("it ended without a line")
    }

    /// The next line of standard output, as JSON.
    pub(crate) async fn json(&mut self) -> Value {
        let line = self.line().await;
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }

    /// Waits until a line of standard error has these words, and gives it.
    pub(crate) async fn says(&mut self, words: &str) -> String {
        let mut said = String::new();
        while let Some(line) = next_line(&mut self.stderr, words).await {
            if line.contains(words) {
                return line;
            }
            said += &line;
        }
        panic!("it ended without saying {words:?}, but {said:?}");
    }

    /// Standard output, for who reads it in a way of his own.
    pub(crate) fn take_stdout(&mut self) -> BufReader<ChildStdout> {
        self.stdout.take().expect("its standard output is open")
    }

    /// Waits for its end, and gives what it wrote since.
    pub(crate) async fn end(mut self) -> Done {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read_out = async {
            match self.stdout.as_mut() {
                Some(reader) => reader.read_to_end(&mut stdout).await,
                None => Ok(0),
            }
        };
        let read = async { tokio::join!(read_out, self.stderr.read_to_end(&mut stderr)) };
        let (out, err) = timeout(LIMIT, read).await.expect("it does not close its output");
        out.and(err).unwrap();
        let status = timeout(LIMIT, self.child.wait()).await.expect("it does not end").unwrap();
        Done {
            status,
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            took: self.begun.elapsed(),
        }
    }
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Done {
    status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// From its start to its end.
    pub(crate) took: Duration,
}

impl Done {
    /// The exit code; a signal has none.
    pub(crate) fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Standard output of one that did what it should, and had nothing else to say.
    #[track_caller]
    pub(crate) fn fine(self) -> String {
        self.fine_with("")
    }

    /// The error's JSON of one that failed without anything on standard output, and the hints after it.
    #[track_caller]
    pub(crate) fn failed(&self) -> (Value, Vec<&str>) {
        assert_eq!(self.stdout, "", "{self:?}");
        self.failed_after_all()
    }

    /// The same of one whose standard output is as it should be.
    #[track_caller]
    pub(crate) fn failed_after_all(&self) -> (Value, Vec<&str>) {
        self.failed_after("")
    }

    /// The same of one that said this on standard error before it failed.
    #[track_caller]
    pub(crate) fn failed_after(&self, said: &str) -> (Value, Vec<&str>) {
        assert_eq!(self.code(), Some(1), "{self:?}");
        let stderr = self.stderr.strip_prefix(said);
        let mut lines = stderr.unwrap_or_else(|| panic!("{self:?}")).lines();
        let first = lines.next().unwrap_or_default();
        let error = serde_json::from_str(first);
        let error: Value = error.unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["code", "detail", "id", "status"], "{self:?}");
        (error, lines.collect())
    }

    /// Standard output of one that did what it should, and said this on standard error.
    #[track_caller]
    pub(crate) fn fine_with(self, said: &str) -> String {
        assert_eq!((self.code(), self.stderr.as_str()), (Some(0), said), "{self:?}");
        self.stdout
    }

    /// What is said of wrong usage.
    #[track_caller]
    pub(crate) fn misused(self) -> String {
        assert_eq!((self.code(), self.stdout.as_str()), (Some(2), ""), "{self:?}");
        assert!(self.stderr.starts_with("error: "), "{self:?}");
        self.stderr
    }
}

async fn next_line(reader: &mut (impl AsyncBufReadExt + Unpin), what: &str) -> Option<String> {
    let mut line = String::new();
    let read = timeout(LIMIT, reader.read_line(&mut line)).await;
    let read = read.unwrap_or_else(|_| panic!("nothing came: {what}")).unwrap();
    (read > 0).then(|| line.trim_end_matches('\n').to_owned())
}
