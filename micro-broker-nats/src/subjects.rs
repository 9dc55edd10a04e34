//! Topics as subjects: with the namespace, and without those that are no topics.

use micro_core::broker::{Topic, TopicFilter};
use micro_core::{Error, Result};
use micro_nats::is_registry_subject;

/// The subjects of one namespace.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    /// Empty, or the namespace and a dot.
    prefix: String,
    /// `_INBOX.`, or whatever it was set to.
    inboxes: String,
}

impl Subjects {
    /// The topic is the subject.
    pub(crate) fn plain(inbox_prefix: &str) -> Self {
        Self { prefix: String::new(), inboxes: format!("{inbox_prefix}.") }
    }

    /// The namespace goes before the topic.
    pub(crate) fn within(namespace: &str, inbox_prefix: &str) -> Result<Self> {
        Topic::new(namespace).map_err(|_| {
            Error::invalid_input(format!(
                "{namespace:?} is no namespace: it must be made of dot-separated parts without \
                 white space, * and >"
            ))
        })?;
        Ok(Self { prefix: format!("{namespace}."), ..Self::plain(inbox_prefix) })
    }

    /// Where an event goes.
    pub(crate) fn of(&self, topic: &Topic) -> Result<String> {
        let subject = format!("{}{topic}", self.prefix);
        let owner = if subject.starts_with('$') {
            "the NATS server"
        } else if is_registry_subject(&subject) {
            "a registry"
        } else {
            return Ok(subject);
        };
        Err(Error::invalid_input(format!("events cannot go to {subject:?}: it belongs to {owner}")))
    }

    /// What is subscribed to.
    pub(crate) fn filter(&self, topics: &TopicFilter) -> String {
        format!("{}{topics}", self.prefix)
    }

    /// The topic of what came; `None` if it is no event: a wildcard without a namespace also
    /// hears what NATS, registries and transports say to each other.
    pub(crate) fn topic(&self, subject: &str) -> Option<Topic> {
        let foreign = subject.starts_with('$')
            || subject.starts_with(&self.inboxes)
            || is_registry_subject(subject);
        if foreign {
            return None;
        }
        Topic::new(subject.strip_prefix(&self.prefix)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(topic: &str) -> Topic {
        topic.parse().expect("a topic")
    }

    #[test]
    fn without_a_namespace_the_topic_is_the_subject() {
        let subjects = Subjects::plain("_INBOX");
        assert_eq!(subjects.of(&topic("orders.paid")).ok().as_deref(), Some("orders.paid"));
        assert_eq!(subjects.topic("orders.paid"), Some(topic("orders.paid")));
    }

    #[test]
    fn a_namespace_goes_before_the_topic_and_comes_off_again() {
        let subjects = Subjects::within("fleet.blue", "_INBOX").expect("a namespace");
        assert_eq!(subjects.of(&topic("paid")).ok().as_deref(), Some("fleet.blue.paid"));
        assert_eq!(subjects.topic("fleet.blue.paid"), Some(topic("paid")));
        assert_eq!(subjects.topic("fleet.green.paid"), None);
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        for name in ["a b", "a.*", ".", "a."] {
            assert!(Subjects::within(name, "_INBOX").is_err(), "{name}");
        }
    }

    #[test]
    fn what_belongs_to_others_is_no_topic() {
        let blue = Subjects::within("blue", "_INBOX").expect("a namespace");
        for subjects in [Subjects::plain("_INBOX"), blue] {
            for name in ["micro.nats.query", "micro.registry.nats.watch", "micro.lease.greeter"] {
                assert!(subjects.of(&topic(name)).is_err(), "{name}");
            }
        }
        let subjects = Subjects::plain("_INBOX");
        assert!(subjects.of(&topic("$JS.API.INFO")).is_err());
        for subject in ["_INBOX.x", "$JS.x", "micro.nats.watch", "blue.micro.lease.x"] {
            assert_eq!(subjects.topic(subject), None, "{subject}");
        }
    }
}
