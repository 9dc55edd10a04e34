//! Times that cannot overflow.

use std::time::Duration;

use tokio::time::Instant;

/// As good as never: tokio's timers know no more.
pub(crate) const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// So long from now, at most thirty years.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(NEVER)
}

/// Rounded up to whole milliseconds, for people.
pub(crate) fn in_millis(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
