//! A program on the other end: its lines, and its end.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::{eventually, limited};

/// So many lines wait for their reader.
const LINES: usize = 1 << 17;
/// So many lines of a program's log are shown when a test fails.
const LOG: usize = 40;

/// A program that says what it does in lines of JSON. Dropping it kills it; a test that fails shows the end of its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: mpsc::Receiver<Value>,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Process {
    /// Starts it.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start<S: AsRef<OsStr>>(name: &str, program: impl AsRef<OsStr>, args: &[S]) -> Self {
        let mut child = Command::new(program.as_ref())
            .args(args)
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let (tell, lines) = mpsc::channel(LINES);
        let mut out = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let (noted, from) = (log.clone(), name.to_owned());
        tokio::spawn(async move {
            while let Ok(Some(line)) = out.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(value) => {
                        if tell.send(value).await.is_err() {
                            return;
                        }
                    }
                    Err(_) => note(&noted, format!("{from} said what is no JSON: {line}")),
                }
            }
        });
        let mut err = BufReader::new(child.stderr.take().expect("it is piped")).lines();
        let noted = log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = err.next_line().await {
                note(&noted, line);
            }
        });
        let input = child.stdin.take();
        Self { name: name.to_owned(), child, input, lines, log }
    }

    /// The next line.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn line(&mut self) -> Value {
        match limited(&format!("a line of {}", self.name), self.lines.recv()).await {
            Some(line) => line,
            None => panic!("{} has ended:\n{}", self.name, self.log()),
        }
    }

    /// The next line that has this key.
    ///
    /// # Panics
    /// If none comes in time.
    pub async fn line_with(&mut self, key: &str) -> Value {
        loop {
            let line = self.line().await;
            if line.get(key).is_some() {
                return line;
            }
        }
    }

    /// What it has said and nobody has read.
    pub fn said(&mut self) -> Vec<Value> {
        std::iter::from_fn(|| self.lines.try_recv().ok()).collect()
    }

    /// Takes its lines to read them elsewhere; nothing is left here.
    pub(crate) fn take_lines(&mut self) -> mpsc::Receiver<Value> {
        std::mem::replace(&mut self.lines, mpsc::channel(1).1)
    }

    /// Tells it a line.
    ///
    /// # Panics
    /// If it does not listen.
    pub async fn tell(&mut self, line: &Value) {
        let input = self.input.as_mut().expect("its input was ended");
        let told = input.write_all(format!("{line}\n").as_bytes()).await;
        if let Err(error) = told {
            panic!("{} does not listen: {error}\n{}", self.name, self.log());
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(mut self) {
        self.child.kill().await.expect("it can be killed");
    }

    /// Ends it in order, by SIGTERM and the end of its input, and waits until it is gone.
    ///
    /// # Panics
    /// If it does not end, or says that it failed.
    pub async fn stop(mut self) {
        drop(self.input.take());
        self.signal(Signal::TERM);
        let status = limited(&format!("the end of {}", self.name), self.child.wait()).await;
        let status = status.expect("it was waited for");
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, self.log());
    }

    /// Its exit code, once its input has ended; -1 after a signal.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn ends(mut self) -> i32 {
        drop(self.input.take());
        self.code().await
    }

    /// Ctrl-C: its exit code after SIGINT.
    ///
    /// # Panics
    /// If it does not end.
    pub async fn interrupt(mut self) -> i32 {
        self.signal(Signal::INT);
        self.code().await
    }

    async fn code(&mut self) -> i32 {
        let status = limited(&format!("the end of {}", self.name), self.child.wait()).await;
        status.expect("it was waited for").code().unwrap_or(-1)
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits until its log has this.
    ///
    /// # Panics
    /// If it does not in time.
    pub async fn logs(&self, text: &str) {
        eventually(&format!("\"{text}\" in the log of {}", self.name), async || {
            self.log().contains(text).then_some(())
        })
        .await;
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the end of the log of {} ---\n{}", self.name, self.log());
        }
    }
}

fn note(log: &Mutex<VecDeque<String>>, line: String) {
    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == LOG {
        log.pop_front();
    }
    log.push_back(line);
}
