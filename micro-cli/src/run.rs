//! From the words of a command line to an exit code.

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use clap::FromArgMatches;
use micro::Plugins;
use tokio::sync::oneshot;

use crate::args::{Line, Verb};
use crate::console::Console;
use crate::failure::Failure;
use crate::{order, verbs};

/// It was done.
const FINE: u8 = 0;
/// It was tried, and failed.
const FAILED: u8 = 1;
/// It made no sense.
const USAGE: u8 = 2;
/// Ctrl-C, as shells say it.
const INTERRUPTED: u8 = 130;

/// What is left to say after Ctrl-C may take so long; whatever hangs then is ended.
const PATIENCE: Duration = Duration::from_secs(2);

/// The `micro` command with these backends, as the whole of a program: reads the command line, and ends the process.
pub fn main(plugins: &Plugins) -> ! {
    log();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let interrupt = interrupted();
            run(std::env::args_os(), plugins, Console::of_process(), interrupt).await
        }),
        Err(error) => {
            // Nobody can be told if standard error is closed.
            let _ = writeln!(io::stderr(), "micro: {error}");
            FAILED
        }
    };
    // Not by returning: a thread may still wait for standard input.
    std::process::exit(code.into())
}

/// Does what the words of a command line say (the first is the program's name), and gives the exit code. `interrupt` is
/// what Ctrl-C is to a process; [`std::future::pending`] if there is none.
pub async fn run(
    words: impl IntoIterator<Item = OsString>,
    plugins: &Plugins,
    mut console: Console,
    interrupt: impl Future<Output = ()>,
) -> u8 {
    let command = Line::command();
    let words = order::verb_first(words.into_iter().collect(), &command);
    let line = command.try_get_matches_from(words).and_then(|found| Line::from_arg_matches(&found));
    let line = match line {
        Ok(line) => line,
        Err(error) => {
            // Help that was asked for is no error.
            return match console.clap(&error).map_err(Failure::Output) {
                Ok(()) if error.use_stderr() => USAGE,
                Ok(()) => FINE,
                Err(failure) => tell(&failure, "", &mut console),
            };
        }
    };
    let name = line.verb.name();
    let done = verb(line, plugins, &mut console, interrupt).await;
    let flushed = console.out().flush().map_err(Failure::Output);
    match done.and(flushed) {
        Ok(()) => FINE,
        Err(failure) => tell(&failure, name, &mut console),
    }
}

async fn verb(
    line: Line,
    plugins: &Plugins,
    console: &mut Console,
    interrupt: impl Future<Output = ()>,
) -> Result<(), Failure> {
    // These are all that is wanted of them, however long it takes.
    let endless = matches!(line.verb, Verb::Watch(_) | Verb::Subscribe(_));
    let network = || verbs::network(&line, plugins);
    let network = match &line.verb {
        Verb::Completions(args) => return verbs::completions::run(args, console),
        Verb::Man(args) => return verbs::man::run(args, console),
        _ => network()?,
    };
    let done = tokio::select! {
        done = verbs::run(&line.verb, &network, console) => done,
        () = interrupt => if endless { Ok(()) } else { Err(Failure::Interrupted) },
    };
    network.close().await;
    done
}

fn tell(failure: &Failure, verb: &str, console: &mut Console) -> u8 {
    match failure {
        Failure::Failed(error, hints) => {
            console.error(error);
            hints.iter().for_each(|hint| console.hint(hint));
            FAILED
        }
        Failure::Told => FAILED,
        Failure::Usage(text) => {
            console.usage(verb, text);
            USAGE
        }
        Failure::Interrupted => INTERRUPTED,
        // Whoever reads has enough, as `head` has.
        Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => FINE,
        Failure::Output(error) => {
            console.error(&micro::Error::internal(format!(
                "cannot write to standard output: {error}"
            )));
            FAILED
        }
    }
}

/// Returns at the first Ctrl-C, SIGTERM or SIGHUP. The process is gone soon after, whatever it does: it is watched by a
/// task of its own, as standard output may take nothing and hold everything else up.
fn interrupted() -> impl Future<Output = ()> {
    let (tell, told) = oneshot::channel::<()>();
    // From here on no signal ends it by itself.
    let signals = Signals::listen();
    tokio::spawn(async move {
        let Ok(mut signals) = signals else {
            // Then they do what they do to any process.
            return std::future::pending::<()>().await;
        };
        signals.next().await;
        // Whoever is done already does not hear it.
        let _ = tell.send(());
        // A second one ends it at once.
        let _ = tokio::time::timeout(PATIENCE, signals.next()).await;
        std::process::exit(INTERRUPTED.into());
    });
    async {
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Ctrl-C, SIGTERM and SIGHUP.
#[cfg(unix)]
struct Signals([tokio::signal::unix::Signal; 3]);

#[cfg(unix)]
impl Signals {
    fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let [interrupt, terminate] = [SignalKind::interrupt(), SignalKind::terminate()];
        Ok(Self([signal(interrupt)?, signal(terminate)?, signal(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

/// Ctrl-C.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    #[allow(clippy::unnecessary_wraps, reason = "it is as on other systems")]
    fn listen() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What happens beneath is shown if RUST_LOG says what of it.
fn log() {
    if std::env::var_os("RUST_LOG").is_some() {
        // There is no other one.
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .try_init();
    }
}
