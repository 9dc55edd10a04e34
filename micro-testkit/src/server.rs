//! Real nats-servers for tests: each on a free port of 127.0.0.1, gone when it is dropped.
//!
//! The binary is looked for in `$NATS_SERVER_BIN`, in `PATH` and `/usr/sbin`, and where
//! `ci/nats-server` puts the one that it fetches.

mod binary;
mod cluster;
mod port;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub use self::binary::binary;
pub use self::cluster::NatsCluster;
use self::port::Port;

/// How long a server may take to start, to stop or to find its cluster: generous, for a busy
/// machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A real nats-server on 127.0.0.1. Its port is its own until it is dropped, also while it is
/// stopped; dropping it kills it, also when the test panics.
///
/// All methods panic with one clear line if what they are to do fails: it is for tests.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    args: Vec<String>,
    config: Option<PathBuf>,
    port: Port,
    /// Ports file, log and configuration.
    dir: TempDir,
    child: Option<Child>,
    monitoring: String,
}

impl NatsServer {
    /// A server with nothing but its address set; it accepts clients when this returns.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// A server with further arguments, such as `["--user", "u", "--pass", "p"]`.
    pub async fn start_with(args: &[&str]) -> Self {
        let mut server = Self::stopped(args);
        server.restart().await;
        server
    }

    /// A server with a configuration file of this text; address and port in it do not count.
    pub async fn start_configured(config: &str) -> Self {
        let mut server = Self::stopped(&[]);
        server.configure(config);
        server.restart().await;
        server
    }

    /// A server that has its address but does not run yet: nobody listens there until
    /// [`restart`](Self::restart).
    pub fn stopped(args: &[&str]) -> Self {
        Self {
            binary: binary(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            config: None,
            port: Port::reserve(),
            dir: tempfile::tempdir().expect("a temporary folder can be made"),
            child: None,
            monitoring: String::new(),
        }
    }

    /// Gives it other arguments, from its next start on.
    pub fn set_args(&mut self, args: &[&str]) {
        self.args = args.iter().map(|&arg| arg.to_owned()).collect();
    }

    /// Gives it a configuration file of this text, from its next start on; what its arguments say
    /// counts more, and so do its address and port.
    pub fn configure(&mut self, config: &str) {
        let path = self.dir.path().join("nats-server.conf");
        fs::write(&path, config).expect("a temporary folder can be written to");
        self.config = Some(path);
    }

    /// Where it listens: `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// [`address`](Self::address) as a URL: `nats://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    /// Ends it with SIGTERM and waits for the end; fine if it does not run.
    pub async fn stop(&mut self) {
        // A paused one would not see the signal.
        self.signal(Signal::CONT);
        self.signal(Signal::TERM);
        self.ended().await;
    }

    /// Ends it with SIGKILL and waits for the end; fine if it does not run.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// Lets it leave as in an upgrade, with SIGUSR2: it takes no new client, tells those that it
    /// has, closes them one after the other and ends; [`gone`](Self::gone) waits for that. It begins
    /// to close after `lame_duck_grace_period`, 10 s unless [configured](Self::configure), and of
    /// few clients one a second.
    pub fn lame_duck(&self) {
        self.signal(Signal::USR2);
    }

    /// Waits until it has ended by itself; fine if it does not run.
    pub async fn gone(&mut self) {
        self.ended().await;
    }

    /// Starts it, at the same port as before; if it runs, it is stopped first.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.spawn();
        self.listening().await;
    }

    /// Stops it in its tracks with SIGSTOP: connections stay open and nothing is answered.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        // The signal takes effect a moment after it was sent. A stop is no end: the child stays.
        if let Some(pid) = self.pid() {
            let _ = waitpid(Some(pid), WaitOptions::UNTRACED);
        }
    }

    /// Lets it go on after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// What its monitoring says at a path such as `/connz?subs=1`, `/varz` or `/routez`.
    pub async fn monitor(&self, path: &str) -> Value {
        let answer = async {
            let mut stream = TcpStream::connect(&self.monitoring).await?;
            let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.monitoring);
            stream.write_all(request.as_bytes()).await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = limited("the monitoring's answer", answer).await;
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str(body)
            .unwrap_or_else(|error| panic!("{path} of nats-server's monitoring: {error}"))
    }

    /// How many clients are connected now.
    pub async fn connections(&self) -> u64 {
        self.monitor("/varz").await["connections"].as_u64().expect("varz counts connections")
    }

    /// The INFO with which it greets a client.
    pub async fn info(&self) -> Value {
        let line = async {
            let mut line = String::new();
            let stream = TcpStream::connect(self.address()).await?;
            BufReader::new(stream).read_line(&mut line).await?;
            Ok::<_, std::io::Error>(line)
        };
        let line = limited("INFO", line).await;
        let json = line.strip_prefix("INFO ").unwrap_or_else(|| panic!("not an INFO: {line:?}"));
        serde_json::from_str(json).expect("INFO is JSON")
    }

    /// What it has logged since it was made.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn spawn(&mut self) {
        let dir = self.dir.path();
        let child = Command::new(&self.binary)
            .args(["-a", "127.0.0.1", "-p", &self.port.number().to_string(), "-m", "-1"])
            .arg("--ports_file_dir")
            .arg(dir)
            .arg("-l")
            .arg(dir.join("log"))
            .args(self.config.iter().flat_map(|path| [Path::new("-c"), path]))
            .args(&self.args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(dir.join("stderr")).map_or_else(|_| Stdio::null(), Into::into))
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", self.binary.display()));
        self.child = Some(child);
    }

    /// Waits for the file that it writes once it listens.
    async fn listening(&mut self) {
        let started = Instant::now();
        loop {
            if let Some(ports) = self.ports_file() {
                let url = ports["monitoring"][0].as_str().expect("-m gives a monitoring port");
                self.monitoring = url.trim_start_matches("http://").to_owned();
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if let Some(status) = ended {
                self.child = None;
                panic!("nats-server ended at once ({status}): {}", self.last_words());
            }
            if started.elapsed() > LIMIT {
                panic!("nats-server does not listen after {LIMIT:?}: {}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// `None` as long as it is not there or not written to its end.
    fn ports_file(&self) -> Option<Value> {
        let ending = format!("_{}.ports", self.child.as_ref()?.id());
        let file = fs::read_dir(self.dir.path())
            .ok()?
            .filter_map(Result::ok)
            .find(|file| file.file_name().to_string_lossy().ends_with(&ending))?;
        serde_json::from_str(&fs::read_to_string(file.path()).ok()?).ok()
    }

    fn last_words(&self) -> String {
        let stderr = fs::read_to_string(self.dir.path().join("stderr")).unwrap_or_default();
        let said = format!("{}\n{stderr}", self.log());
        let last: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty()).collect();
        last[last.len().saturating_sub(5)..].join(" | ")
    }

    async fn ended(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let started = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if started.elapsed() > LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                panic!("nats-server did not end within {LIMIT:?}: {}", self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn signal(&self, signal: Signal) {
        // A child that nobody waited for keeps its id, so this cannot meet a stranger.
        if let Some(pid) = self.pid() {
            let _ = kill_process(pid, signal);
        }
    }

    fn pid(&self) -> Option<Pid> {
        let child = self.child.as_ref()?;
        i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

async fn limited<T>(what: &str, work: impl Future<Output = std::io::Result<T>>) -> T {
    match tokio::time::timeout(LIMIT, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => panic!("no {what} of nats-server: {error}"),
        Err(_) => panic!("no {what} of nats-server within {LIMIT:?}"),
    }
}

#[cfg(test)]
mod tests;
