//! Standard input, output and error, and what of them is a terminal.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io::{self, BufRead, BufReader, BufWriter, IsTerminal, Read, Write};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use clap::builder::styling::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressStyle};
use micro::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::{body, failure};

/// Whoever waits for longer is shown what for.
const BLINK: Duration = Duration::from_millis(300);
/// How many lots of lines of standard input are read ahead: a lot may be a line that is as large as a message.
const AHEAD: usize = 2;
/// Lines that are there come together up to so many bytes.
const TOGETHER: usize = 64 << 10;

/// Nothing is shown of a name that is longer; JSON has all of it.
const LONGEST_NAME: usize = 400;

/// Where the command reads and writes.
pub struct Console {
    stdin: Option<Box<dyn Read + Send>>,
    stdout: BufWriter<Box<dyn Write + Send>>,
    stderr: Box<dyn Write + Send>,
    terminal: Terminal,
}

/// What is a terminal; colours are for those alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terminal {
    pub(crate) stdout: bool,
    pub(crate) stderr: bool,
    colours: bool,
}

/// What a text is, which decides its colour.
#[derive(Clone, Copy)]
pub(crate) enum Paint {
    /// A name that one looks for.
    Name,
    /// What is well.
    Good,
    /// What is not.
    Bad,
    /// What is beside the point.
    Faint,
}

impl Console {
    /// Those of the process.
    pub fn of_process() -> Self {
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = Terminal {
            stdout: io::stdout().is_terminal(),
            stderr: io::stderr().is_terminal(),
            colours: !no_colour,
        };
        Self { terminal, ..Self::new(io::stdin(), io::stdout(), io::stderr()) }
    }

    /// These, none of which is a terminal.
    pub fn new(
        stdin: impl Read + Send + 'static,
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
    ) -> Self {
        Self {
            stdin: Some(Box::new(stdin)),
            stdout: BufWriter::with_capacity(64 << 10, Box::new(stdout)),
            stderr: Box::new(stderr),
            terminal: Terminal::default(),
        }
    }

    pub(crate) fn terminal(&self) -> Terminal {
        self.terminal
    }

    /// Standard output; [`flush`](Write::flush) it before waiting.
    pub(crate) fn out(&mut self) -> &mut (impl Write + use<>) {
        &mut self.stdout
    }

    /// A line on standard error. If that is closed, nobody wants to know.
    pub(crate) fn say(&mut self, text: impl fmt::Display) {
        let _ = writeln!(self.stderr, "{text}");
    }

    /// A line on standard error about what else could be done.
    pub(crate) fn hint(&mut self, text: impl fmt::Display) {
        let hint = self.terminal.on_stderr("hint:", Paint::Good);
        self.say(format_args!("{hint} {}", Terminal::clean(&text.to_string())));
    }

    /// An error, as the line of JSON that programs read.
    pub(crate) fn error(&mut self, error: &Error) {
        let line = self.terminal.on_stderr(&failure::line(error), Paint::Bad);
        self.say(line);
    }

    /// What is wrong with what was typed after this verb.
    pub(crate) fn usage(&mut self, verb: &str, text: &str) {
        let error = self.terminal.on_stderr("error:", Paint::Bad);
        let text: Vec<_> = text.lines().map(Terminal::clean).collect();
        let text = text.join("\n");
        self.say(format_args!(
            "{error} {text}\n\nFor more information, try 'micro {verb} --help'."
        ));
    }

    /// What clap says, with colours on a terminal.
    ///
    /// # Errors
    /// Help cannot be printed. If an error cannot be told, there is nobody to whom.
    pub(crate) fn clap(&mut self, error: &clap::Error) -> io::Result<()> {
        let terminal = if error.use_stderr() { self.terminal.stderr } else { self.terminal.stdout };
        let text = error.render();
        let text = match terminal && self.terminal.colours {
            true => text.ansi().to_string(),
            false => text.to_string(),
        };
        if error.use_stderr() {
            let _ = self.stderr.write_all(text.as_bytes());
            return Ok(());
        }
        self.stdout.write_all(text.as_bytes())?;
        self.stdout.flush()
    }

    /// All of standard input, read beside everything else.
    pub(crate) async fn stdin_whole(&mut self) -> io::Result<Bytes> {
        let stdin = self.stdin()?;
        beside(move || body::whole(stdin)).await
    }

    /// The lines of standard input, read beside everything else; without their ends. Unless they are raw, none is empty and
    /// none has white space around it. Those that are there come together.
    pub(crate) fn stdin_lines(&mut self, raw: bool) -> io::Result<mpsc::Receiver<LinesRead>> {
        let stdin = self.stdin()?;
        let (tell, told) = mpsc::channel(AHEAD);
        std::thread::spawn(move || {
            let mut reader = BufReader::with_capacity(TOGETHER, stdin);
            loop {
                let mut lines = Vec::new();
                let over = read_lines(&mut reader, raw, &mut lines);
                if !lines.is_empty() && tell.blocking_send(Ok(lines)).is_err() {
                    return;
                }
                match over {
                    Ok(false) => {}
                    Ok(true) => return,
                    // Whoever asked may have given up.
                    Err(error) => return drop(tell.blocking_send(Err(error))),
                }
            }
        });
        Ok(told)
    }

    fn stdin(&mut self) -> io::Result<Box<dyn Read + Send>> {
        self.stdin.take().ok_or_else(|| io::Error::other("it was read already"))
    }
}

impl Terminal {
    /// The text as it is shown on standard output.
    pub(crate) fn on_stdout(self, text: &str, paint: Paint) -> String {
        painted(text, paint, self.stdout && self.colours)
    }

    /// Whether standard output may be coloured.
    pub(crate) fn colours_stdout(self) -> bool {
        self.stdout && self.colours
    }

    /// The text as it is shown on standard error.
    fn on_stderr(self, text: &str, paint: Paint) -> String {
        painted(text, paint, self.stderr && self.colours)
    }

    /// A bar for so many steps, if nothing else is seen of them.
    pub(crate) fn counting(self, steps: u64) -> Option<Progress> {
        let shown = self.stderr && !self.stdout && steps > 1;
        let template = "{bar:40} {pos} of {len}, {per_sec}, {eta} left";
        shown.then(|| Progress::start(ProgressBar::new(steps), template))
    }

    /// Text of others as it may be shown: what would steer a terminal is shown as what it is.
    pub(crate) fn clean(text: &str) -> Cow<'_, str> {
        if !text.chars().any(steers) {
            return text.into();
        }
        let shown = |c: char| if steers(c) { c.escape_default().to_string() } else { c.into() };
        text.chars().map(shown).collect::<String>().into()
    }

    /// A name of others in a tree or table: [clean](Self::clean), and not longer than anybody reads.
    pub(crate) fn name(text: &str) -> Cow<'_, str> {
        match text.char_indices().nth(LONGEST_NAME) {
            Some((end, _)) => format!("{}…", Self::clean(&text[..end])).into(),
            None => Self::clean(text),
        }
    }

    /// Shows what is waited for, if that takes longer than a blink.
    pub(crate) async fn waiting<T>(self, what: &str, wait: impl Future<Output = T>) -> T {
        let mut wait = pin!(wait);
        if !self.stderr {
            return wait.await;
        }
        tokio::select! {
            biased;
            done = &mut wait => return done,
            () = sleep(BLINK) => {}
        }
        let bar = ProgressBar::new_spinner().with_message(what.to_owned());
        let spinner = Progress::start(bar, "{spinner} {msg} {elapsed}");
        spinner.0.enable_steady_tick(Duration::from_millis(100));
        wait.await
    }
}

/// Whether a terminal may do something else than show it: control characters, and those that turn the direction of
/// writing around.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Does what may take long in a thread of its own: whoever waits for it can be interrupted.
pub(crate) async fn beside<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        // Whoever asked may have given up.
        let _ = tell.send(read());
    });
    told.await.map_err(|_| io::Error::other("its reader is gone"))?
}

/// What is shown while one waits; gone when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    fn start(bar: ProgressBar, template: &str) -> Self {
        // One that cannot be read would look like none.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// One more is done.
    pub(crate) fn step(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn painted(text: &str, paint: Paint, coloured: bool) -> String {
    if !coloured {
        return text.to_owned();
    }
    let style = match paint {
        Paint::Name => Style::new().bold(),
        Paint::Good => AnsiColor::Green.on_default(),
        Paint::Bad => AnsiColor::Red.on_default(),
        Paint::Faint => Style::new().dimmed(),
    };
    format!("{style}{text}{style:#}")
}

/// Lines of standard input, at least one.
pub(crate) type LinesRead = io::Result<Vec<Bytes>>;

/// Reads lines until there is one and no other is there already; true at the end of all.
fn read_lines<R: Read>(
    reader: &mut BufReader<R>,
    raw: bool,
    lines: &mut Vec<Bytes>,
) -> io::Result<bool> {
    while lines.is_empty() || reader.buffer().contains(&b'\n') {
        let mut line = Vec::new();
        if reader.by_ref().take(body::MOST as u64 + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(true);
        }
        if line.len() > body::MOST {
            let text = format!("it has more than {} bytes", body::MOST);
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        let line = Bytes::from(line);
        let text = match raw {
            true => line.strip_suffix(b"\n").unwrap_or(&line),
            false => line.trim_ascii(),
        };
        if raw || !text.is_empty() {
            lines.push(line.slice_ref(text));
        }
    }
    Ok(false)
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console").field("terminal", &self.terminal).finish_non_exhaustive()
    }
}
