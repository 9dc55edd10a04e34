//! What waits for a port's receiver.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use micro_core::transport::Arrival;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Limits;
use super::link::{Connection, End};

/// How many arrivals one poll hands over.
const AT_ONCE: usize = 256;

/// A bounded queue with one receiver.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    room: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    packets: usize,
    bytes: usize,
    receiver: Option<Waker>,
    /// Somebody waits for room.
    awaited: bool,
    /// The receiver is gone.
    over: bool,
}

/// Something for one end of a connection.
pub(super) struct Item {
    pub(super) connection: Arc<Connection>,
    pub(super) to: End,
    pub(super) what: What,
}

pub(super) enum What {
    Packet(Bytes),
    Undelivered(u64),
    Closed(u64),
}

/// Why a queue did not take a packet.
pub(super) enum Refusal {
    Full(Bytes),
    Over(Bytes),
}

impl Item {
    /// What the receiver is told of it; nothing if its end has been closed since.
    pub(super) fn arrive(self) -> Option<Arrival> {
        self.connection.arrive(self.to, self.what)
    }

    /// Closes the end that will never hear of it.
    pub(super) fn bury(self) {
        self.connection.close(self.to);
    }
}

impl Queue {
    /// Takes a packet if there is room; the receiver is to be woken.
    pub(super) fn push(
        &self,
        connection: &Arc<Connection>,
        to: End,
        packet: Bytes,
        limits: Limits,
    ) -> Result<Option<Waker>, Refusal> {
        let mut state = self.state();
        if state.over {
            return Err(Refusal::Over(packet));
        }
        if !state.has_room(limits) {
            state.awaited = true;
            return Err(Refusal::Full(packet));
        }
        state.packets += 1;
        state.bytes += packet.len();
        let what = What::Packet(packet);
        state.items.push_back(Item { connection: connection.clone(), to, what });
        Ok(state.receiver.take())
    }

    /// Takes what is not a packet: of that there is at most one for each end, so it needs no
    /// bound.
    pub(super) fn push_end(&self, item: Item) -> Option<Waker> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        state.items.push_back(item);
        state.receiver.take()
    }

    /// What has come, at least one.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Vec<Item>> {
        let mut state = self.state();
        if state.items.is_empty() {
            state.receiver = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = state.items.len().min(AT_ONCE);
        let items: Vec<Item> = state.items.drain(..count).collect();
        for item in &items {
            if let What::Packet(packet) = &item.what {
                state.packets -= 1;
                state.bytes -= packet.len();
            }
        }
        let awaited = std::mem::take(&mut state.awaited);
        drop(state);
        if awaited {
            self.room.notify_waiters();
        }
        Poll::Ready(items)
    }

    /// Takes nothing from now on; what is left comes back.
    pub(super) fn end(&self) -> Vec<Item> {
        let mut state = self.state();
        state.over = true;
        let left = std::mem::take(&mut state.items);
        drop(state);
        self.look_again();
        left.into()
    }

    /// Whether another packet is worth a try: `None` if never again.
    pub(super) fn has_room(&self, limits: Limits) -> Option<bool> {
        let mut state = self.state();
        if state.over {
            return None;
        }
        let room = state.has_room(limits);
        state.awaited |= !room;
        Some(room)
    }

    /// Until there may be room, or reason not to wait any more.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Makes whoever waits for room look again.
    pub(super) fn look_again(&self) {
        self.room.notify_waiters();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The last packet may go over the limit of bytes, so that any size goes through and room
    /// for one is room for all.
    fn has_room(&self, limits: Limits) -> bool {
        self.packets < limits.packets && self.bytes < limits.bytes
    }
}
