//! Looks after the subscriptions that nobody reads at the moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use crate::buffer::Buffer;

/// In less time than the NATS client's queue for a subscription (65,536 messages, unless set
/// otherwise) can fill at a rate that a connection reaches.
const EVERY: Duration = Duration::from_millis(25);

/// One task for all subscriptions of a broker; it ends with the last of them.
#[derive(Debug, Default)]
pub(crate) struct Keeper(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffers: Vec<Weak<Buffer>>,
    task: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Looks after this one from now on, until it is dropped.
    pub(crate) fn add(self: &Arc<Self>, buffer: &Arc<Buffer>) {
        let mut kept = self.lock();
        kept.buffers.push(Arc::downgrade(buffer));
        // It may also have ended with the runtime that it was in.
        if kept.task.as_ref().is_none_or(JoinHandle::is_finished) {
            kept.task = Some(tokio::spawn(Arc::clone(self).keep()));
        }
    }

    async fn keep(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(buffers) = self.living() else { return };
            for buffer in buffers {
                buffer.keep();
            }
        }
    }

    /// `None` if there are none, and the task is to end.
    fn living(&self) -> Option<Vec<Arc<Buffer>>> {
        let mut kept = self.lock();
        let living: Vec<_> = kept.buffers.iter().filter_map(Weak::upgrade).collect();
        kept.buffers.retain(|buffer| buffer.strong_count() > 0);
        if living.is_empty() && kept.buffers.is_empty() {
            kept.task = None;
            return None;
        }
        Some(living)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
