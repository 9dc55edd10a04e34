//! The requests that are open on a session.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Header;

/// The headers of requests that wait for our answer, by their ids, which only ever grow: sorted
/// as they come, and mostly answered in that order. Takes little room where there is one at a
/// time, as with most of those who call.
#[derive(Default)]
pub(super) struct Open(VecDeque<(u64, Arc<Header>)>);

impl Open {
    /// `id` is larger than all before.
    pub(super) fn push(&mut self, id: u64, header: Arc<Header>) {
        if self.0.capacity() == 0 {
            self.0.reserve_exact(1);
        }
        self.0.push_back((id, header));
    }

    pub(super) fn get(&self, id: u64) -> Option<&Arc<Header>> {
        self.0.get(self.position(id)?).map(|(_, header)| header)
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Arc<Header>> {
        let (_, header) = self.0.remove(self.position(id)?)?;
        Some(header)
    }

    /// All of them, by id.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = u64> {
        self.0.drain(..).map(|(id, _)| id)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    fn position(&self, id: u64) -> Option<usize> {
        self.0.binary_search_by_key(&id, |(id, _)| *id).ok()
    }
}
