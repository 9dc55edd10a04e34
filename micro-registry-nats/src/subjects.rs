//! The subjects of discovery, and what must never be answered on.

use micro_core::registry::ServiceName;
use micro_core::{Error, Result};
use micro_nats::async_nats::Subject;

use crate::config::{Generations, Options};

const NEWER: [&str; 2] = ["micro.nats.query", "micro.nats.watch"];
const OLDER: [&str; 2] = ["micro.registry.nats.query", "micro.registry.nats.watch"];
const LEASE: &str = "micro.lease.";

/// The subjects of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    /// Where queries go to, one for each generation.
    pub(crate) query: Vec<Subject>,
    /// Where announcements go to, one for each generation.
    pub(crate) watch: Vec<Subject>,
    lease: String,
}

impl Subjects {
    /// # Errors
    /// `InvalidInput` if the namespace is none.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let prefix = match options.namespace.as_deref() {
            None | Some("") => String::new(),
            // What a service's name may be, a namespace may be: both become parts of a subject.
            Some(name) => {
                ServiceName::new(name).map_err(|_| {
                    Error::invalid_input(format!(
                        "{name:?} is no namespace: it must be made of dot-separated parts without \
                         white space, * and >"
                    ))
                })?;
                format!("{name}.")
            }
        };
        Ok(Self::below(&prefix, options.generations))
    }

    /// go-micro's own, of both generations.
    pub(crate) fn plain() -> Self {
        Self::below("", Generations::Both)
    }

    fn below(prefix: &str, generations: Generations) -> Self {
        let generations: &[[&str; 2]] = match generations {
            Generations::Both => &[NEWER, OLDER],
            Generations::Newer => &[NEWER],
            Generations::Older => &[OLDER],
        };
        let subject = |at: usize| {
            generations.iter().map(|pair| Subject::from(format!("{prefix}{}", pair[at]))).collect()
        };
        Self { query: subject(0), watch: subject(1), lease: format!("{prefix}{LEASE}") }
    }

    /// Where the heartbeats of a service go; `None` if its name is none for a subject.
    pub(crate) fn lease(&self, service: &str) -> Option<Subject> {
        let name = ServiceName::new(service).ok()?;
        Some(Subject::from(format!("{}{name}", self.lease)))
    }

    /// The heartbeats of all services.
    pub(crate) fn leases(&self) -> Subject {
        Subject::from(format!("{}>", self.lease))
    }

    /// Whose heartbeat came on this subject.
    pub(crate) fn service_of<'a>(&self, lease: &'a str) -> Option<&'a str> {
        lease.strip_prefix(self.lease.as_str())
    }
}

/// Whether an answer may go there. Never to a subject of discovery, of whatever namespace: a
/// go-micro process that reads an answer as a query or an announcement dies of it. Nor to
/// wildcards or the server's own subjects.
pub(crate) fn may_answer_to(reply: &str) -> bool {
    let discovery = |subject: &str| {
        reply.strip_suffix(subject).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    let lease = || reply.starts_with(LEASE) || reply.contains(&format!(".{LEASE}"));
    let well_formed = !reply.contains(['*', '>'])
        && !reply.chars().any(|c| c.is_whitespace() || c.is_control())
        && reply.split('.').all(|part| !part.is_empty());
    well_formed
        && !reply.starts_with('$')
        && !NEWER.into_iter().chain(OLDER).any(discovery)
        && !lease()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_namespace_the_subjects_are_go_micros() {
        let subjects = Subjects::new(&Options::default()).unwrap();
        assert_eq!(subjects.query, ["micro.nats.query".into(), "micro.registry.nats.query".into()]);
        assert_eq!(subjects.watch, ["micro.nats.watch".into(), "micro.registry.nats.watch".into()]);
        assert_eq!(subjects.lease("greeter").unwrap().as_str(), "micro.lease.greeter");
    }

    #[test]
    fn a_namespace_goes_before_every_subject() {
        let options = Options::default().with_namespace("red").with_generations(Generations::Older);
        let subjects = Subjects::new(&options).unwrap();
        assert_eq!(subjects.query, ["red.micro.registry.nats.query".into()]);
        assert_eq!(subjects.watch, ["red.micro.registry.nats.watch".into()]);
        assert_eq!(subjects.leases().as_str(), "red.micro.lease.>");
        assert_eq!(subjects.service_of("red.micro.lease.a.b"), Some("a.b"));
    }

    #[test]
    fn a_namespace_that_is_no_part_of_a_subject_is_refused() {
        for bad in ["a b", "a.*", ">", ".a", "a..b"] {
            let error = Subjects::new(&Options::default().with_namespace(bad)).unwrap_err();
            assert_eq!(error.kind(), micro_core::ErrorKind::InvalidInput);
            assert!(error.detail().contains("namespace"), "{error}");
        }
    }

    #[test]
    fn names_that_are_no_subjects_have_no_lease_subject() {
        let subjects = Subjects::new(&Options::default()).unwrap();
        for name in ["", "a b", "a.*", "a.>", "a..b", "a\r\nb"] {
            assert!(subjects.lease(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn answers_go_to_inboxes_and_never_to_subjects_of_discovery() {
        for good in ["_INBOX.abc", "_INBOX.abc.1", "my.inbox", "micro.nats.queries"] {
            assert!(may_answer_to(good), "{good}");
        }
        for bad in [
            "",
            "micro.nats.query",
            "micro.nats.watch",
            "micro.registry.nats.query",
            "micro.registry.nats.watch",
            "red.micro.nats.watch",
            "micro.lease.greeter",
            "red.micro.lease.greeter",
            "_INBOX.*",
            "_INBOX.>",
            "_INBOX..a",
            "a b",
            "$SYS.REQ.SERVER.PING",
        ] {
            assert!(!may_answer_to(bad), "{bad}");
        }
    }
}
