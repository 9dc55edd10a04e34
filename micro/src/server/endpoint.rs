//! One endpoint, and how many of its calls are served at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::handler::Handler;
use crate::stream::StreamHandler;

/// What serves an endpoint, and how many calls or streams at once.
pub(super) struct Endpoint {
    pub(super) serves: Serves,
    pub(super) places: Places,
}

/// What serves an endpoint.
#[derive(Clone)]
pub(super) enum Serves {
    Calls(Handler),
    Streams(StreamHandler),
}

/// So many at once.
pub(super) struct Places {
    pub(super) limit: usize,
    taken: Arc<AtomicUsize>,
}

impl Places {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, taken: Arc::default() }
    }

    /// One more begins; `None` if there are too many already.
    pub(super) fn take(&self) -> Option<Place> {
        let place = Place(self.taken.clone());
        (self.taken.fetch_add(1, Ordering::Relaxed) < self.limit).then_some(place)
    }
}

/// Counts one while it lives.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
