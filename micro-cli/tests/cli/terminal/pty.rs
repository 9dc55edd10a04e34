//! A pseudo-terminal with a command on it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{LocalModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::program::LIMIT;
use crate::world::World;

/// A terminal, 120 columns wide, which echoes nothing.
pub(crate) struct Pty {
    ours: File,
    theirs: File,
    env: Vec<(String, String)>,
}

/// A command on its terminal.
pub(crate) struct OnPty {
    child: Child,
    ours: File,
    shown: mpsc::Receiver<Vec<u8>>,
    /// What was shown and not yet asked for.
    rest: String,
}

impl Pty {
    /// One for commands that go to this server.
    pub(crate) fn new(world: &World) -> Self {
        let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&ours).unwrap();
        unlockpt(&ours).unwrap();
        let theirs = ioctl_tiocgptpeer(&ours, OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        let mut modes = tcgetattr(&theirs).unwrap();
        modes.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&theirs, OptionalActions::Now, &modes).unwrap();
        let size = Winsize { ws_row: 40, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&ours, size).unwrap();
        let env = [("MICRO_NATS_ADDRESS", world.nats.address()), ("TERM", "xterm-256color".into())];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        Self { ours: ours.into(), theirs: theirs.into(), env }
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts a command on it.
    pub(crate) fn start(self, words: &[&str]) -> OnPty {
        let stdio = || Stdio::from(self.theirs.try_clone().unwrap());
        // It makes the terminal that of the command, so that what is typed there can interrupt it.
        let child = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_micro")])
            .args(words)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(self.env)
            .stdin(stdio())
            .stdout(stdio())
            .stderr(stdio())
            .kill_on_drop(true)
            .spawn()
            .expect("setsid is there: util-linux has it");
        let (tell, shown) = mpsc::channel(1024);
        let mut reads = self.ours.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once nobody has the other end any more.
            while let Ok(count) = reads.read(&mut bytes) {
                if count == 0 || tell.blocking_send(bytes[..count].to_vec()).is_err() {
                    return;
                }
            }
        });
        OnPty { child, ours: self.ours, shown, rest: String::new() }
    }

    /// Runs a command to its end: its exit code, and all that it showed.
    pub(crate) async fn runs(self, words: &[&str]) -> (Option<i32>, String) {
        self.start(words).ends().await
    }

    /// What a command left on the terminal that did what it should.
    pub(crate) async fn prints(self, words: &[&str]) -> String {
        let (code, shown) = self.runs(words).await;
        assert_eq!(code, Some(0), "{shown}");
        left(&shown).to_owned()
    }
}

/// What is left of what was shown: a busy machine may have turned a spinner, whose line was cleared.
pub(crate) fn left(shown: &str) -> &str {
    shown.rsplit("\u{1b}[2K").next().unwrap_or(shown).trim_start_matches('\r')
}

impl OnPty {
    pub(crate) fn types(&mut self, text: &str) {
        self.ours.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until it has shown these words, and gives what it has shown up to then.
    pub(crate) async fn shows(&mut self, words: &str) -> String {
        while !self.rest.contains(words) {
            let more = timeout(LIMIT, self.shown.recv()).await;
            let more =
                more.unwrap_or_else(|_| panic!("it does not show {words:?}: {:?}", self.rest));
            let more =
                more.unwrap_or_else(|| panic!("it ended without {words:?}: {:?}", self.rest));
            self.show(&more);
        }
        std::mem::take(&mut self.rest)
    }

    /// Waits for its end: its exit code, and what it has shown since it was last asked.
    pub(crate) async fn ends(mut self) -> (Option<i32>, String) {
        let status = timeout(LIMIT, self.child.wait()).await.expect("it does not end").unwrap();
        while let Some(more) = timeout(LIMIT, self.shown.recv()).await.expect("it is not closed") {
            self.show(&more);
        }
        (status.code(), self.rest)
    }

    fn show(&mut self, bytes: &[u8]) {
        // A terminal makes two of each line's end.
        self.rest += &String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    }
}
