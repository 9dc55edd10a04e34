//! Where one attempt of a call goes.

use std::sync::Arc;

use micro_core::wire::Outgoing;
use micro_core::{Error, ErrorKind};

use super::nodes::{Candidate, Load, NodeState};
use super::pool::{Lease, shares};
use super::select::Failed;

/// Where an attempt goes.
pub(super) enum Target<'a> {
    Node(Arc<Candidate>),
    /// The caller named the address.
    Address(&'a str),
}

impl Target<'_> {
    pub(super) fn id(&self) -> &str {
        match self {
            Self::Node(node) => &node.node().id,
            Self::Address(address) => address,
        }
    }

    pub(super) fn address(&self) -> &str {
        match self {
            Self::Node(node) => &node.node().address,
            Self::Address(address) => address,
        }
    }

    /// Why there is no session with it: whoever calls a service is not to blame for the address
    /// that one of its nodes is registered with.
    pub(super) fn blame(&self, error: Error) -> Error {
        match self {
            Self::Node(node) if error.kind() == ErrorKind::InvalidInput => {
                Error::unavailable(format!("node {}: {error}", node.node().id))
            }
            _ => error,
        }
    }

    pub(super) fn begin(&self) -> Option<Load> {
        self.state().map(NodeState::begin)
    }

    /// The session with it, if it is known and the call may share it.
    pub(super) fn lease(&self, call: &Outgoing<'_>) -> Option<Arc<Lease>> {
        if !shares(call.content_type) {
            return None;
        }
        self.state()?.lease.load_full()
    }

    pub(super) fn keep(&self, lease: &Arc<Lease>) {
        if let Some(state) = self.state()
            && lease.is_shared()
        {
            state.lease.store(Some(lease.clone()));
        }
    }

    pub(super) fn trust(&self) {
        if let Some(state) = self.state() {
            state.trust();
        }
    }

    pub(super) fn avoid(&self) {
        if let Some(state) = self.state() {
            state.avoid();
        }
    }

    pub(super) fn note(&self, failed: &mut Failed) {
        failed.extend(self.state().cloned());
    }

    pub(super) fn has_failed(&self, failed: &Failed) -> bool {
        match self.state() {
            Some(state) => failed.iter().any(|known| Arc::ptr_eq(known, state)),
            // There is no other address.
            None => true,
        }
    }

    fn state(&self) -> Option<&Arc<NodeState>> {
        match self {
            Self::Node(node) => Some(&node.state),
            Self::Address(_) => None,
        }
    }
}
