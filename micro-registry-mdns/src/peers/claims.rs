//! Who says that they are a node. Mostly one; two where a process was restarted with the id of one
//! whose lease has not run out, or where two really use one id.

use std::collections::BTreeMap;

use micro_core::registry::Service;

use crate::own::NodeKey;

/// By node, all who claim to be it.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<NodeKey, Vec<Claim>>);

#[derive(Debug)]
struct Claim {
    since: u64,
    /// Of the instance that says so.
    label: String,
    /// If it is one of this registry.
    own: Option<Service>,
}

impl Claims {
    /// An instance claims to be this node, with what it says since then.
    pub(super) fn set(&mut self, key: &NodeKey, label: &str, since: u64, own: Option<Service>) {
        let claims = self.0.entry(key.clone()).or_default();
        claims.retain(|claim| claim.label != label);
        claims.push(Claim { since, label: label.to_owned(), own });
    }

    /// It does not any more.
    pub(super) fn remove(&mut self, key: &NodeKey, label: &str) {
        self.retain(key, |claim| claim.label != label);
    }

    /// None of this registry does any more.
    pub(super) fn remove_own(&mut self, key: &NodeKey) {
        self.retain(key, |claim| claim.own.is_none());
    }

    /// The one who counts, everywhere the same: who spoke up last. Its label, and what it is if it
    /// is one of this registry.
    pub(super) fn winner(&self, key: &NodeKey) -> Option<(&str, Option<&Service>)> {
        let claims = self.0.get(key)?.iter();
        let last = claims.max_by_key(|claim| (claim.since, &claim.label))?;
        Some((&last.label, last.own.as_ref()))
    }

    fn retain(&mut self, key: &NodeKey, stays: impl FnMut(&Claim) -> bool) {
        if let Some(claims) = self.0.get_mut(key) {
            claims.retain(stays);
            if claims.is_empty() {
                self.0.remove(key);
            }
        }
    }
}
