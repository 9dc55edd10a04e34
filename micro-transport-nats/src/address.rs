//! Which subjects may be listened on, dialled and answered.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use micro_core::{Error, ErrorKind, Result};
use micro_nats::is_registry_subject;

/// Longer ones are nobody's address, and NATS limits the line that carries two of them.
const MAX_BYTES: usize = 255;

/// What keeps a subject from being an address; `None` if nothing does.
pub(crate) fn flaw(subject: &str) -> Option<&'static str> {
    if subject.is_empty() {
        Some("is empty")
    } else if subject.len() > MAX_BYTES {
        Some("has more than 255 bytes")
    } else if subject.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some("contains white space or a control character")
    } else if subject.contains(['*', '>']) {
        Some("contains a wildcard")
    } else if subject.split('.').any(str::is_empty) {
        Some("has an empty part between dots")
    } else if subject.starts_with('$') {
        Some("belongs to the NATS server")
    } else if is_registry_subject(subject) {
        Some("belongs to a registry")
    } else {
        None
    }
}

/// Checks what is to be listened on or dialled.
pub(crate) fn check(address: &str) -> Result<()> {
    match flaw(address) {
        None => Ok(()),
        Some(flaw) => Err(Error::invalid_input(format!("{address:?} is no address: it {flaw}"))),
    }
}

/// The addresses that the ports of one transport listen on.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashSet<String>>);

impl Addresses {
    /// Takes an address until the claim is dropped.
    pub(crate) fn claim(self: &Arc<Self>, address: &str) -> Result<Claim> {
        if !self.lock().insert(address.to_owned()) {
            return Err(Error::new(
                ErrorKind::Conflict,
                format!("another port of this process listens on {address}"),
            ));
        }
        Ok(Claim { addresses: Arc::clone(self), address: address.to_owned() })
    }

    pub(crate) fn contains(&self, address: &str) -> bool {
        self.lock().contains(address)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An address that is taken.
#[derive(Debug)]
pub(crate) struct Claim {
    addresses: Arc<Addresses>,
    address: String,
}

impl Claim {
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.addresses.lock().remove(&self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for (subject, reason) in [
            ("", "empty"),
            ("a b", "white space"),
            ("a\r\nPUB x 0", "white space"),
            ("a.*", "wildcard"),
            ("_INBOX.>", "wildcard"),
            (".a", "empty part"),
            ("a..b", "empty part"),
            ("$SYS.REQ.SERVER.PING", "NATS server"),
            ("$JS.API.INFO", "NATS server"),
            ("micro.nats.query", "registry"),
            ("micro.nats.watch", "registry"),
            ("micro.registry.nats.query", "registry"),
            ("micro.lease.greeter", "registry"),
            ("blue.micro.nats.watch", "registry"),
            ("fleet.blue.micro.registry.nats.watch", "registry"),
        ] {
            let error = check(subject).unwrap_err();
            assert!(error.to_string().contains(reason), "{subject:?}: {error}");
        }
        assert!(check(&"x".repeat(MAX_BYTES + 1)).is_err());
    }

    #[test]
    fn inboxes_and_plain_subjects_are_addresses() {
        for subject in ["_INBOX.Gznd9iAqovumlr0I4Guik0", "greeter", "micro.greeter.1", "own.in.x.7"]
        {
            assert_eq!(flaw(subject), None, "{subject}");
        }
    }

    #[test]
    fn an_address_is_free_again_when_its_claim_is_dropped() {
        let addresses = Arc::new(Addresses::default());
        let claim = addresses.claim("a").unwrap();
        assert_eq!(addresses.claim("a").unwrap_err().kind(), ErrorKind::Conflict);
        assert!(addresses.contains("a"));
        drop(claim);
        assert!(addresses.claim("a").is_ok());
    }
}
