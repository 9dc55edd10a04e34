//! Times that cannot overflow.

use std::time::Duration;

use tokio::time::Instant;

/// As good as never: tokio's timers know no more.
pub(crate) const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// So long from now, at most thirty years.
pub(crate) fn after(time: Duration) -> Instant {
    Instant::now() + time.min(NEVER)
}
