//! An avahi of a test's own: a daemon and its D-Bus on one of two machines, and avahi's tools,
//! which ask it. Nothing of the machine's own is used or seen.

use std::fs::{self, File};
use std::process::{Command as Blocking, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{sleep, timeout};

use super::LIMIT;
use super::shown::Shown;

/// Until something that is not there yet is looked for again.
const AGAIN: Duration = Duration::from_millis(20);
/// Whatever any of avahi's tools takes; they wait 5 s for what is not there.
const TOOL: Duration = Duration::from_secs(10);
const TOOLS: [&str; 6] =
    ["unshare", "dbus-daemon", "avahi-daemon", "avahi-browse", "avahi-publish", "avahi-resolve"];

/// As init of its own namespace of processes, so that whatever it started ends with it, and it
/// ends when nobody holds its standard input. Each line that it reads makes the daemon tell what
/// it remembers. Where the daemon keeps its sockets is compiled in, so that is hidden.
const SCRIPT: &str = r#"
set -e
mount -t tmpfs tmpfs /run
dbus-daemon --config-file="$1/bus.conf" --fork --nopidfile
avahi-daemon --file "$1/avahi.conf" --no-drop-root --no-chroot --no-rlimits --debug &
while read -r _; do kill -USR1 $!; done
"#;
const DUMP: &str = "Got SIGUSR1";

#[derive(Debug)]
pub(crate) struct Avahi {
    daemon: Child,
    /// The beginning of the command of each tool.
    run: Vec<String>,
    bus: String,
    directory: TempDir,
}

impl Avahi {
    /// What this machine lacks, in words.
    pub(crate) fn lacks() -> Option<String> {
        let is_there = |tool: &&str| {
            let run = Blocking::new(tool).arg("--version").stdout(Stdio::null()).status();
            run.is_ok_and(|status| status.success())
        };
        let missing: Vec<_> = TOOLS.into_iter().filter(|tool| !is_there(tool)).collect();
        (!missing.is_empty()).then(|| format!("not installed: {}", missing.join(", ")))
    }

    /// Starts one on the machine where this command runs what it is given; why it cannot, if it
    /// cannot, which has nothing to do with us.
    pub(crate) async fn start(run: &[&str]) -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let bus = format!("unix:path={path}/bus");
        fs::write(directory.path().join("bus.conf"), bus_config(&bus)).unwrap();
        fs::write(directory.path().join("avahi.conf"), AVAHI_CONFIG).unwrap();
        let log = File::create(directory.path().join("log")).unwrap();
        let own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"];
        let mut command = Command::new(run[0]);
        command.args(&run[1..]).args(own).args(["sh", "-c", SCRIPT, "sh", path]);
        command.env("DBUS_SYSTEM_BUS_ADDRESS", &bus).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let daemon = command.spawn().unwrap();
        let run = run.iter().map(|&word| word.to_owned()).collect();
        let avahi = Self { daemon, run, bus, directory };
        if avahi.logs("Server startup complete", 1).await {
            Ok(avahi)
        } else {
            let log = avahi.log();
            Err(format!("avahi does not start: {}", log.trim().replace('\n', "; ")))
        }
    }

    /// All instances of a type that it can resolve, each once on each interface for each family.
    pub(crate) async fn browse(&self, kind: &str) -> Vec<Shown> {
        let lines = self.run(&["avahi-browse", "-rptk", kind]).await;
        let all: Vec<Shown> = lines.lines().map(Shown::parse).collect();
        all.into_iter().filter(|shown| shown.resolved.is_some()).collect()
    }

    /// The same, once it is like that.
    pub(crate) async fn browse_until(
        &self,
        kind: &str,
        is_so: impl Fn(&[Shown]) -> bool,
    ) -> Vec<Shown> {
        let begin = Instant::now();
        loop {
            let shown = self.browse(kind).await;
            if is_so(&shown) {
                return shown;
            }
            assert!(begin.elapsed() < LIMIT, "{shown:#?}\n{}", self.log());
        }
    }

    /// The types of all instances that there are.
    pub(crate) async fn types(&self) -> Vec<String> {
        let lines = self.run(&["avahi-browse", "-aptk"]).await;
        let mut types: Vec<_> = lines.lines().map(|line| Shown::parse(line).kind).collect();
        types.sort();
        types.dedup();
        types
    }

    /// What comes and goes from now on, and first of all what is there.
    pub(crate) fn watch(&self, kind: &str) -> Watched {
        let mut tool = self.tool(&["avahi-browse", "-pk", kind]).spawn().unwrap();
        let lines = BufReader::new(tool.stdout.take().unwrap()).lines();
        Watched { _tool: tool, lines, here: Vec::new(), came: Vec::new() }
    }

    /// The address of a host; `family` is `-4` or `-6`.
    pub(crate) async fn resolve(&self, family: &str, host: &str) -> Option<String> {
        let line = self.run(&["avahi-resolve", family, "-n", host]).await;
        let (found, address) = line.trim().split_once('\t')?;
        assert_eq!(found, host);
        Some(address.to_owned())
    }

    /// Publishes something until the value that is returned is dropped.
    pub(crate) fn publish(&self, arguments: &[&str]) -> Child {
        self.tool(&[&["avahi-publish", "-s"], arguments].concat()).spawn().unwrap()
    }

    /// The records that it remembers and those that it tells, as in a zone file.
    pub(crate) async fn records(&mut self) -> Vec<String> {
        // What it tells ends where it begins to tell it again.
        let dumps = self.log().matches(DUMP).count();
        for more in 1..=2 {
            self.daemon.stdin.as_mut().unwrap().write_all(b"\n").await.unwrap();
            assert!(self.logs(DUMP, dumps + more).await, "{}", self.log());
        }
        let log = self.log();
        let dump = log.rsplit(DUMP).nth(1).unwrap();
        dump.lines().filter(|line| line.contains("\tIN\t")).map(str::to_owned).collect()
    }

    /// What it found wrong, but for networks that cannot be sent to, such as IPv6 on loopback.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let is_one = |line: &&str| {
            let line = line.to_lowercase();
            let is_flaw = ["invalid", "failed", "conflict"].iter().any(|word| line.contains(word));
            is_flaw && !line.starts_with("sendmsg() to")
        };
        self.log().lines().filter(is_one).map(str::to_owned).collect()
    }

    async fn run(&self, command: &[&str]) -> String {
        let outcome = timeout(TOOL, self.tool(command).output()).await;
        let outcome = outcome.unwrap_or_else(|_| panic!("{command:?} does not end")).unwrap();
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success(), "{command:?}: {said}\n{}", self.log());
        String::from_utf8(outcome.stdout).unwrap()
    }

    fn tool(&self, command: &[&str]) -> Command {
        let mut tool = Command::new(&self.run[0]);
        tool.args(&self.run[1..]).args(command).env("DBUS_SYSTEM_BUS_ADDRESS", &self.bus);
        tool.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        tool
    }

    /// Until the log has this so many times; false if that is too late.
    async fn logs(&self, what: &str, times: usize) -> bool {
        let has = async {
            while self.log().matches(what).count() < times {
                sleep(AGAIN).await;
            }
        };
        timeout(LIMIT, has).await.is_ok()
    }

    fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).unwrap();
        String::from_utf8_lossy(&log).into_owned()
    }
}

/// What comes and goes in the view of avahi.
#[derive(Debug)]
pub(crate) struct Watched {
    _tool: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// Each instance once on each interface for each family.
    pub(crate) here: Vec<String>,
    /// Whatever has come so far.
    pub(crate) came: Vec<String>,
}

impl Watched {
    /// Until what is here, and what has come, is like that; how long that took.
    pub(crate) async fn until(&mut self, is_so: impl Fn(&[String], &[String]) -> bool) -> Duration {
        let begin = Instant::now();
        while !is_so(&self.here, &self.came) {
            let line = timeout(LIMIT.saturating_sub(begin.elapsed()), self.lines.next_line()).await;
            let line = line.unwrap_or_else(|_| panic!("too late: {:?}", self.here)).unwrap();
            let shown = Shown::parse(&line.unwrap());
            let place = format!("{} {} {}", shown.interface, shown.family, shown.name);
            let known = self.here.iter().position(|here| *here == place);
            match (shown.sign, known) {
                ('+', None) => {
                    self.here.push(place.clone());
                    self.came.push(place);
                }
                ('-', Some(known)) => drop(self.here.remove(known)),
                (sign, _) => panic!("{sign}{place} beside {:?}", self.here),
            }
        }
        begin.elapsed()
    }
}

/// Everything is allowed to everybody: nobody else knows where it is.
fn bus_config(address: &str) -> String {
    format!(
        r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>{address}</listen>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
  </policy>
</busconfig>
"#
    )
}

const AVAHI_CONFIG: &str = "[server]
host-name=avahi
use-ipv4=yes
use-ipv6=yes
check-response-ttl=yes
[wide-area]
enable-wide-area=no
[publish]
publish-workstation=no
publish-hinfo=no
";
