//! A named check, how it fails, and the bound of every wait in it.

use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use micro_core::Error;
use tokio::time::{Instant, sleep, timeout};

/// How long a check waits for one thing before it fails: far longer than a loaded machine needs.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long a whole check may take.
pub const CHECK_LIMIT: Duration = Duration::from_secs(90);

/// What a check comes to.
pub type Checked<T = ()> = Result<T, Failure>;

/// What a check returns.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = Checked> + Send + 'a>>;

/// One statement of a contract, to be proved on a fixture.
pub struct Check<F: ?Sized> {
    /// The statement, in snake case: also the name of the test that the suite's macro makes.
    pub name: &'static str,
    run: for<'a> fn(&'a F) -> CheckFuture<'a>,
}

/// Which check failed, where, and what was seen.
pub struct Failure {
    check: &'static str,
    message: String,
    at: &'static Location<'static>,
}

impl<F: ?Sized> Check<F> {
    /// A check of this name.
    pub fn new(name: &'static str, run: for<'a> fn(&'a F) -> CheckFuture<'a>) -> Self {
        Self { name, run }
    }

    /// Runs it, for at most [`CHECK_LIMIT`].
    ///
    /// # Errors
    /// A [`Failure`] with the name of the check.
    pub async fn run(&self, fixture: &F) -> Checked {
        let outcome = match timeout(CHECK_LIMIT, (self.run)(fixture)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::new(format!("it was not done after {CHECK_LIMIT:?}"))),
        };
        outcome.map_err(|failure| Failure { check: self.name, ..failure })
    }
}

impl<F: ?Sized> fmt::Debug for Check<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Failure {
    /// A failure of the check that is running.
    #[track_caller]
    pub fn new(message: impl Into<String>) -> Self {
        Self { check: "", message: message.into(), at: Location::caller() }
    }

    /// The name of the check; empty until [`Check::run`] has put it in.
    pub fn check(&self) -> &'static str {
        self.check
    }

    /// What was seen.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// An operation of the backend failed where it had to succeed.
impl From<Error> for Failure {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::new(format!("unexpected error: {error:?}"))
    }
}

/// A task of the check panicked.
impl From<tokio::task::JoinError> for Failure {
    #[track_caller]
    fn from(error: tokio::task::JoinError) -> Self {
        Self::new(format!("a task of the check failed: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}:{})", self.check, self.message, self.at.file(), self.at.line())
    }
}

/// As `Display`: it is what a test that returns a `Failure` prints.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

/// The network under a backend, for the checks of what happens without it.
#[micro_core::async_trait]
pub trait Network: Send + Sync {
    /// Takes it away; returns when nothing goes through any more.
    async fn down(&self);

    /// Brings it back, at the same place.
    async fn up(&self);
}

/// A text that no other check uses, made of letters, digits and dashes.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}

/// Builds a runtime as a backend meets it in an application, and runs a test on it.
///
/// # Errors
/// What the test returns, or that there is no runtime to be had.
pub fn block_on<T>(test: impl Future<Output = Checked<T>>) -> Checked<T> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("no runtime: {error}")))?;
    let outcome = runtime.block_on(test);
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

/// Waits for one thing, for at most [`LIMIT`].
#[track_caller]
pub(crate) fn within<T>(
    what: &str,
    future: impl Future<Output = T>,
) -> impl Future<Output = Checked<T>> {
    within_limit(LIMIT, what, future)
}

/// Waits for one thing, for at most as long.
#[track_caller]
pub(crate) fn within_limit<T>(
    limit: Duration,
    what: &str,
    future: impl Future<Output = T>,
) -> impl Future<Output = Checked<T>> {
    let late = Failure::new(format!("{what}: not within {limit:?}"));
    async move { timeout(limit, future).await.map_err(|_| late) }
}

/// Polls a future once, for nobody, and drops it: what a caller does who gives up at once.
pub(crate) fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

/// Asks again until the answer is there, for at most the limit. The last reason why it is not is
/// told.
pub(crate) async fn eventually<T, Fut>(
    limit: Duration,
    what: &str,
    mut ask: impl FnMut() -> Fut,
) -> Checked<T>
where
    Fut: Future<Output = Checked<Result<T, String>>>,
{
    let deadline = Instant::now() + limit;
    loop {
        let reason = match within_limit(LIMIT + limit, what, ask()).await?? {
            Ok(answer) => return Ok(answer),
            Err(reason) => reason,
        };
        if Instant::now() >= deadline {
            return Err(Failure::new(format!("{what}: not within {limit:?}: {reason}")));
        }
        // Between two questions, so that asking does not take the machine from whoever answers.
        sleep(Duration::from_millis(5)).await;
    }
}

/// Fails the check unless this holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err($crate::Failure::new(format!($($message)+)));
        }
    };
}
pub(crate) use ensure;

/// Makes of a list of checks the suite of a module, and the macro that turns it into tests.
macro_rules! suite {
    (($dollar:tt) $macro_name:ident in $module:ident: $($group:ident { $($check:ident,)* })*) => {
        /// Every check, in the order of the contract.
        pub fn suite() -> Vec<$crate::Check<dyn Fixture>> {
            vec![$($($crate::Check::new(
                stringify!($check),
                |fixture| Box::pin($group::$check(fixture)),
            ),)*)*]
        }

        /// Runs the checks one after another on one fixture.
        ///
        /// # Errors
        /// Every check that failed.
        pub async fn run(fixture: &dyn Fixture) -> Result<(), Vec<$crate::Failure>> {
            let mut failures = Vec::new();
            for check in suite() {
                failures.extend(check.run(fixture).await.err());
            }
            if failures.is_empty() { Ok(()) } else { Err(failures) }
        }

        /// Runs one check by its name on a fresh fixture, on a runtime of its own.
        ///
        /// # Errors
        /// That it failed, or that there is no such check.
        pub fn test<F: Fixture, Fut: Future<Output = F>>(
            name: &str,
            fixture: impl FnOnce() -> Fut,
        ) -> $crate::Checked {
            let check = suite().into_iter().find(|check| check.name == name);
            let Some(check) = check else {
                return Err($crate::Failure::new(format!("there is no check {name}")));
            };
            $crate::block_on(async {
                let fixture = fixture().await;
                check.run(&fixture).await
            })
        }

        /// Makes every check of the suite a `#[test]` of its own, on a fixture of its own: the
        /// argument is a future of a fixture, written where each test evaluates it.
        #[macro_export]
        macro_rules! $macro_name {
            ($dollar fixture:expr $dollar(,)?) => {
                $($(
                    #[test]
                    fn $check() -> ::std::result::Result<(), $crate::Failure> {
                        $crate::$module::test(stringify!($check), || $dollar fixture)
                    }
                )*)*
            };
        }
    };
}
pub(crate) use suite;
