//! What waits for a subscriber.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use micro_core::broker::{Delivery, Message, Topic};
use micro_core::{Error, ErrorKind, Result};

use super::Limits;

/// A bounded buffer that counts what did not fit, at the place where it is missing.
pub(super) struct Buffer {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: VecDeque<Entry>,
    events: usize,
    bytes: usize,
    reader: Option<Waker>,
    over: bool,
}

enum Entry {
    Event(Topic, Message),
    /// So many are missing here. Between two of these is an event, so they are bounded too.
    Lost(u64),
}

impl Buffer {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes an event, or counts it as lost. Whoever comes back is to be woken.
    pub(super) fn push(&self, topic: &Topic, message: &Message) -> Option<Waker> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        if state.has_room(self.limits) {
            state.events += 1;
            state.bytes += message.body.len();
            state.entries.push_back(Entry::Event(topic.clone(), message.clone()));
        } else if let Some(Entry::Lost(lost)) = state.entries.back_mut() {
            *lost += 1;
        } else {
            state.entries.push_back(Entry::Lost(1));
        }
        state.reader.take()
    }

    pub(super) fn has_room(&self) -> bool {
        self.state().has_room(self.limits)
    }

    /// Takes nothing from now on; what is there can still be read.
    pub(super) fn end(&self) {
        let mut state = self.state();
        state.over = true;
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery>>> {
        let mut state = self.state();
        match state.entries.pop_front() {
            Some(Entry::Event(topic, message)) => {
                state.events -= 1;
                state.bytes -= message.body.len();
                Poll::Ready(Some(Ok(Delivery::new(topic, message))))
            }
            Some(Entry::Lost(lost)) => Poll::Ready(Some(Err(Error::new(
                ErrorKind::Overloaded,
                format!("{lost} events were lost: they were not read in time"),
            )))),
            None if state.over => Poll::Ready(None),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The last event may go over the limit of bytes, so that any size goes through.
    fn has_room(&self, limits: Limits) -> bool {
        self.events < limits.events && self.bytes < limits.bytes
    }
}
