//! Who says that they are a node. Mostly one; two where a process was restarted with the id of one
//! whose lease has not run out, or where two really use one id.

use std::collections::BTreeMap;

use micro_core::registry::Service;

use crate::own::NodeKey;

/// Whose words they are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    /// Of the instance with this label.
    Other(String),
    /// Of this registry.
    Own,
}

/// By node, all who claim to be it.
#[derive(Debug, Default)]
pub(super) struct Claims(BTreeMap<NodeKey, Vec<Claim>>);

#[derive(Debug)]
struct Claim {
    since: u64,
    by: By,
    own: Option<Service>,
}

impl Claims {
    /// Somebody claims to be this node, with what they say since then.
    pub(super) fn set(&mut self, key: &NodeKey, by: By, since: u64, own: Option<Service>) {
        let claims = self.0.entry(key.clone()).or_default();
        claims.retain(|claim| claim.by != by);
        claims.push(Claim { since, by, own });
    }

    /// They do not any more.
    pub(super) fn remove(&mut self, key: &NodeKey, by: &By) {
        if let Some(claims) = self.0.get_mut(key) {
            claims.retain(|claim| claim.by != *by);
            if claims.is_empty() {
                self.0.remove(key);
            }
        }
    }

    /// The one who counts, everywhere the same: who spoke up last.
    pub(super) fn winner(&self, key: &NodeKey) -> Option<(&By, Option<&Service>)> {
        let claims = self.0.get(key)?.iter();
        let last = claims.max_by_key(|claim| (claim.since, &claim.by))?;
        Some((&last.by, last.own.as_ref()))
    }
}
