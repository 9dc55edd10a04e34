//! What the replies of a dialled peer tell of the process at the other end.

use micro_nats::async_nats::Subject;

/// The replies of one dialled peer.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    replies: u64,
    /// The connection that the last one came over, or an earlier one.
    epoch: u64,
    home: Home,
}

/// Where the process that replies can be asked whether it is still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nobody knows: there was no reply, or the last one named a subject that must not be asked.
    #[default]
    Unknown,
    /// Nowhere, and need not be: no reply named a subject. Such is a go-micro node, which answers
    /// and listens over one connection.
    Listener,
    /// At the subject that its replies name as theirs.
    At(Subject),
}

impl Heard {
    /// Takes note of a reply. `epoch`: the connection it came over, or an earlier one.
    pub(crate) fn on_reply(
        &mut self,
        subject: Option<&Subject>,
        epoch: u64,
        may_be_asked: impl FnOnce(&str) -> bool,
    ) {
        let first = self.replies == 0;
        self.replies += 1;
        self.epoch = epoch;
        match (subject, &self.home) {
            (Some(subject), Home::At(known)) if subject == known => {}
            (Some(subject), _) if may_be_asked(subject) => {
                // A copy: as received it is a slice of the connection's read buffer.
                self.home = Home::At(Subject::from(subject.as_str().to_owned()));
            }
            (Some(_), _) => self.home = Home::Unknown,
            (None, _) if first => self.home = Home::Listener,
            (None, _) => {}
        }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// How many there were.
    pub(crate) fn replies(&self) -> u64 {
        self.replies
    }

    /// Whether one came over this connection for sure.
    pub(crate) fn over(&self, epoch: u64) -> bool {
        self.replies > 0 && self.epoch == epoch
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn heard(replies: &[Option<&str>]) -> Home {
        let mut heard = Heard::default();
        for reply in replies {
            let subject = reply.map(Subject::from);
            heard.on_reply(subject.as_ref(), 1, |subject| subject != "bad");
        }
        heard.home
    }

    fn at(subject: &str) -> Home {
        Home::At(subject.into())
    }

    #[test]
    fn the_last_subject_that_a_reply_named_is_asked() {
        assert_eq!(heard(&[]), Home::Unknown);
        assert_eq!(heard(&[Some("a"), Some("a")]), at("a"));
        assert_eq!(heard(&[Some("a"), Some("b")]), at("b"));
        assert_eq!(heard(&[Some("a"), None]), at("a"));
        assert_eq!(heard(&[None, Some("a")]), at("a"));
    }

    #[test]
    fn only_who_never_named_a_subject_answers_where_it_listens() {
        assert_eq!(heard(&[None, None]), Home::Listener);
        assert_eq!(heard(&[Some("bad"), None]), Home::Unknown);
    }

    #[test]
    fn what_must_not_be_asked_is_as_if_nothing_had_come() {
        assert_eq!(heard(&[Some("bad")]), Home::Unknown);
        assert_eq!(heard(&[None, Some("bad")]), Home::Unknown);
        assert_eq!(heard(&[Some("a"), Some("bad")]), Home::Unknown);
    }

    #[test]
    fn the_subject_is_a_copy_that_is_made_once() {
        let buffer = Bytes::from("_INBOX.a.7".repeat(100));
        let mut heard = Heard::default();
        let mut seen = Vec::new();
        for start in [0, 10, 20] {
            let received = Subject::from_utf8(buffer.slice(start..start + 10)).unwrap();
            heard.on_reply(Some(&received), 1, |_| true);
            let Home::At(kept) = heard.home() else { panic!("{heard:?}") };
            assert!(!buffer.as_ptr_range().contains(&kept.as_ptr()));
            seen.push(kept.as_ptr());
        }
        assert!(seen.iter().all(|kept| *kept == seen[0]), "made anew for what is the same");
    }
}
