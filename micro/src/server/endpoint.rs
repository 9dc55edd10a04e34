//! One endpoint, and how many of its calls are served at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::handler::Handler;

/// What serves the calls of one endpoint, and how many at once.
pub(super) struct Endpoint {
    pub(super) handler: Handler,
    pub(super) limit: usize,
    running: Arc<AtomicUsize>,
}

impl Endpoint {
    pub(super) fn new(handler: Handler, limit: usize) -> Self {
        Self { handler, limit, running: Arc::default() }
    }

    /// One call of it begins; `None` if there are too many already.
    pub(super) fn begin(&self) -> Option<Runs> {
        let runs = Runs(self.running.clone());
        (self.running.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(runs)
    }
}

/// Counts one call of an endpoint while it lives.
pub(super) struct Runs(Arc<AtomicUsize>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
