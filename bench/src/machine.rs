//! On what it was measured, and whether the machine had anything else to do.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::process::Command;

/// A machine this busy before anything is measured is not idle.
const BUSY: f64 = 0.05;
const LOOK: Duration = Duration::from_secs(1);

/// What stands above the tables.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    nats_server: String,
    rustc: String,
    commit: String,
    /// As `/proc/loadavg` says, where there is one.
    load: Option<String>,
    /// The share of all cores that others used for a second before.
    busy: Option<f64>,
    /// The same from then to the end, as far as that was told.
    busy_meanwhile: Option<f64>,
    #[serde(skip)]
    started: Option<Started>,
}

/// What all of the machine had done when it was looked at, and what we had.
#[derive(Clone, Copy, Debug)]
struct Started {
    all: Ticks,
    ours: u64,
}

impl Machine {
    /// Looks at it; takes a second.
    pub(crate) async fn look(nats_server: &Path) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").ok();
        let before = Ticks::now();
        tokio::time::sleep(LOOK).await;
        let after = Ticks::now();
        let busy = before.zip(after).map(|(before, after)| after.busy_since(before));
        let started = after.zip(own_ticks()).map(|(all, ours)| Started { all, ours });
        let commit = said("git", &["rev-parse", "--short", "HEAD"]).await;
        let changes = said("git", &["status", "--porcelain"]).await;
        let changed = if changes.is_some() { " with changes" } else { "" };
        Self {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            nats_server: said(nats_server, &["--version"]).await.unwrap_or_else(unknown),
            rustc: said("rustc", &["--version"]).await.unwrap_or_else(unknown),
            commit: commit.map_or_else(unknown, |commit| commit + changed),
            load: load.map(|load| load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
            busy,
            busy_meanwhile: None,
            started,
        }
    }

    /// Sees what others used since it was looked at. Of our processes, those count that were waited
    /// for.
    pub(crate) fn look_again(&mut self) {
        let now = self.started.zip(Ticks::now()).zip(own_ticks());
        self.busy_meanwhile = now.map(|((started, all), ours)| {
            let ours = ours.saturating_sub(started.ours);
            all.busy_with_others_since(started.all, ours)
        });
    }

    /// What the second look saw, in a line.
    pub(crate) fn meanwhile(&self) -> String {
        match self.busy_meanwhile {
            Some(busy) => {
                format!("While this was measured, others used {:.0} % of all cores.", busy * 100.0)
            }
            None => "What others used while this was measured is not known.".to_owned(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.busy {
            Some(busy) if busy < BUSY => write!(f, "machine idle")?,
            Some(busy) => write!(f, "machine was NOT idle ({:.0} % busy)", busy * 100.0)?,
            None => write!(f, "not known whether the machine was idle")?,
        }
        if let Some(load) = &self.load {
            write!(f, ", load {load}")?;
        }
        let Self { cores, nats_server, rustc, commit, .. } = self;
        write!(f, "; {cores} cores; {nats_server}; {rustc}; commit {commit}")
    }
}

/// The first line that a command says, if it says one.
async fn said(program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().await.ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// Those of this process, and of its children that were waited for.
fn own_ticks() -> Option<u64> {
    ticks_of(&std::fs::read_to_string("/proc/self/stat").ok()?)
}

/// `pid (comm) state …`; of what follows, user and system time of the process and its children are
/// at 11 to 14. The name may have any characters in it.
fn ticks_of(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let times: Vec<u64> =
        fields.split_whitespace().skip(11).take(4).map_while(|n| n.parse().ok()).collect();
    (times.len() == 4).then(|| times.iter().sum())
}

/// Of all cores together, since the machine was started.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ticks {
    idle: u64,
    all: u64,
}

impl Ticks {
    fn now() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// `cpu  user nice system idle iowait irq softirq steal …`; what guests used is in `user`.
    fn parse(stat: &str) -> Option<Self> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let ticks: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
        Some(Self { idle: ticks.get(3)? + ticks.get(4)?, all: ticks.iter().take(8).sum() })
    }

    fn busy_since(self, before: Self) -> f64 {
        let (idle, all) =
            (self.idle.saturating_sub(before.idle), self.all.saturating_sub(before.all));
        1.0 - idle as f64 / all.max(1) as f64
    }

    /// As [`busy_since`](Self::busy_since), without so many ticks.
    fn busy_with_others_since(self, before: Self, ours: u64) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1);
        (self.busy_since(before) - ours as f64 / all as f64).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_idle_nor_waiting_for_a_disk_is_busy() {
        let before = Ticks::parse("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2").unwrap();
        assert_eq!(before, Ticks { idle: 850, all: 1000 });
        let after = Ticks::parse("cpu  150 0 50 930 70 0 0 0 0 0\n").unwrap();
        assert_eq!(after.busy_since(before), 0.25);
        assert_eq!(after.busy_with_others_since(before, 30), 0.1);
        assert_eq!(after.busy_with_others_since(before, 90), 0.0);
        assert_eq!(Ticks::parse("intr 1 2 3"), None);
    }

    #[test]
    fn ticks_of_a_process_are_its_own_and_those_of_its_children() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 500 900 0 0 20 3 100 50 20 0 8 0 12345 67890";
        assert_eq!(ticks_of(stat), Some(173));
        assert_eq!(ticks_of("7 (a) S 1 2 3"), None);
    }

    #[test]
    fn a_busy_machine_is_named_so() {
        let mut machine = Machine {
            cores: 2,
            nats_server: "nats-server: v2.15.1".into(),
            rustc: "rustc 1.95.0".into(),
            commit: "abc".into(),
            load: None,
            busy: Some(0.01),
            busy_meanwhile: None,
            started: None,
        };
        let idle = "machine idle; 2 cores; nats-server: v2.15.1; rustc 1.95.0; commit abc";
        assert_eq!(machine.to_string(), idle);
        machine.busy = Some(0.5);
        assert!(machine.to_string().starts_with("machine was NOT idle (50 % busy); "));
        machine.busy_meanwhile = Some(0.42);
        let meanwhile = "While this was measured, others used 42 % of all cores.";
        assert_eq!(machine.meanwhile(), meanwhile);
    }
}
