//! When a query is done.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use micro_core::registry::Service;
use tokio::time::Instant;

use crate::members::NodeKey;

/// The progress of one query, without I/O and without a clock of its own.
///
/// It is done when nobody listens on any of the subjects asked; when the limit has passed; and,
/// after a first answer, when no further one came for a quiet time, when all nodes answered that
/// were known before, or when the quorum is there. The quiet time is twice the longest that there
/// was to wait for an answer, the first or any other.
#[derive(Debug)]
pub(crate) struct Query {
    subjects: usize,
    limit: Duration,
    least_quiet: Duration,
    quorum: usize,
    /// The nodes known before that have not answered; `None`: too little is known to go by it.
    awaited: Option<BTreeSet<NodeKey>>,
    counted: BTreeMap<String, BTreeSet<String>>,
    quorate: bool,
    nobody: usize,
    sent: Option<Instant>,
    first: Option<Duration>,
    last: Option<Instant>,
    /// The longest time between two answers.
    gap: Duration,
}

/// The rules of a [`Query`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// On how many subjects it asks.
    pub(crate) subjects: usize,
    pub(crate) limit: Duration,
    pub(crate) quiet: Duration,
    pub(crate) quorum: usize,
}

impl Query {
    pub(crate) fn new(rules: Rules, known: Option<BTreeSet<NodeKey>>) -> Self {
        Self {
            subjects: rules.subjects,
            limit: rules.limit,
            least_quiet: rules.quiet,
            quorum: rules.quorum,
            awaited: known.filter(|known| !known.is_empty()),
            counted: BTreeMap::new(),
            quorate: false,
            nobody: 0,
            sent: None,
            first: None,
            last: None,
            gap: Duration::ZERO,
        }
    }

    /// It has left; the times count from here.
    pub(crate) fn sent(&mut self, now: Instant) {
        self.sent.get_or_insert(now);
    }

    /// The server says that nobody listens on one of the subjects.
    pub(crate) fn nobody(&mut self) {
        self.nobody += 1;
    }

    /// Nobody listens on any of them: whatever else was known is wrong.
    pub(crate) fn is_nobody_there(&self) -> bool {
        self.nobody >= self.subjects && self.first.is_none()
    }

    /// An answer came.
    pub(crate) fn answer(&mut self, service: &Service, now: Instant) {
        let sent = self.sent.unwrap_or(now);
        self.first.get_or_insert(now.saturating_duration_since(sent));
        let last = self.last.replace(now).unwrap_or(now);
        self.gap = self.gap.max(now.saturating_duration_since(last));
        if let Some(awaited) = &mut self.awaited {
            for node in &service.nodes {
                awaited.remove(&NodeKey::new(&service.version, &node.id));
            }
        }
        if self.quorum > 0 && !self.quorate {
            let key = format!("{}\0{}", service.name, service.version);
            let ids = self.counted.entry(key).or_default();
            ids.extend(service.nodes.iter().map(|node| node.id.clone()));
            self.quorate = ids.len() >= self.quorum;
        }
    }

    /// Whether all nodes that were known before have answered.
    pub(crate) fn have_all_answered(&self) -> bool {
        self.awaited.as_ref().is_some_and(BTreeSet::is_empty)
    }

    /// Whether there is nothing left to wait for.
    pub(crate) fn is_done(&self, now: Instant) -> bool {
        self.is_nobody_there()
            || self.quorate
            || self.have_all_answered()
            || self.done_at().is_some_and(|at| at <= now)
    }

    /// When it will be done if nothing more comes.
    pub(crate) fn done_at(&self) -> Option<Instant> {
        let limit = self.ends_at()?;
        let Some((first, last)) = self.first.zip(self.last) else {
            return Some(limit);
        };
        let quiet = self.least_quiet.max(2 * first).max(2 * self.gap);
        Some((last + quiet).min(limit))
    }

    /// The longest time between two answers so far.
    pub(crate) fn gap(&self) -> Duration {
        self.gap
    }

    /// Until when answers are collected.
    pub(crate) fn ends_at(&self) -> Option<Instant> {
        Some(self.sent? + self.limit)
    }
}

#[cfg(test)]
mod tests {
    use micro_core::registry::Node;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const RULES: Rules =
        Rules { subjects: 2, limit: Duration::from_millis(100), quiet: MS, quorum: 0 };

    fn node(id: &str) -> Service {
        Service::new("greeter", "1").with_node(Node::new(id, "a"))
    }

    fn sent(rules: Rules, known: Option<&[&str]>) -> (Query, Instant) {
        let known = known.map(|ids| ids.iter().map(|id| NodeKey::new("1", id)).collect());
        let mut query = Query::new(rules, known);
        let now = Instant::now();
        query.sent(now);
        (query, now)
    }

    #[test]
    fn is_done_at_once_when_nobody_listens_on_any_subject() {
        let (mut query, now) = sent(RULES, None);
        query.nobody();
        assert!(!query.is_done(now));
        query.nobody();
        assert!(query.is_done(now) && query.is_nobody_there());
    }

    #[test]
    fn without_an_answer_waits_for_the_whole_limit() {
        let (query, now) = sent(RULES, None);
        assert!(!query.is_done(now + 99 * MS));
        assert!(query.is_done(now + 100 * MS));
    }

    #[test]
    fn is_not_done_before_it_has_left() {
        let query = Query::new(RULES, None);
        assert!(!query.is_done(Instant::now() + 1000 * MS));
    }

    #[test]
    fn a_quiet_time_of_twice_the_first_answer_ends_it_and_each_answer_restarts_it() {
        let (mut query, now) = sent(RULES, None);
        query.answer(&node("1"), now + 5 * MS);
        assert!(!query.is_done(now + 14 * MS));
        query.answer(&node("2"), now + 8 * MS);
        assert!(!query.is_done(now + 17 * MS));
        assert!(query.is_done(now + 18 * MS));
    }

    #[test]
    fn answers_that_come_slowly_make_the_quiet_time_longer() {
        let (mut query, now) = sent(RULES, None);
        query.answer(&node("1"), now + 2 * MS);
        query.answer(&node("2"), now + 5 * MS);
        assert!(!query.is_done(now + 10 * MS));
        assert!(query.is_done(now + 11 * MS));
    }

    #[test]
    fn the_quiet_time_is_never_less_than_the_least() {
        let (mut query, now) = sent(RULES, None);
        query.answer(&node("1"), now);
        assert!(!query.is_done(now));
        assert!(query.is_done(now + MS));
    }

    #[test]
    fn the_quiet_time_never_goes_beyond_the_limit() {
        let (mut query, now) = sent(RULES, None);
        query.answer(&node("1"), now + 90 * MS);
        assert_eq!(query.done_at(), query.ends_at());
    }

    #[test]
    fn is_done_when_all_known_nodes_answered() {
        let (mut query, now) = sent(RULES, Some(&["1", "2"]));
        query.answer(&node("1"), now);
        assert!(!query.is_done(now));
        query.answer(&node("2"), now);
        assert!(query.is_done(now));
    }

    #[test]
    fn knowing_no_nodes_is_no_reason_to_be_done() {
        let (query, now) = sent(RULES, Some(&[]));
        assert!(!query.is_done(now));
    }

    #[test]
    fn the_quorum_counts_different_nodes_of_one_version() {
        let (mut query, now) = sent(Rules { quorum: 2, ..RULES }, None);
        query.answer(&node("1"), now);
        query.answer(&node("1"), now);
        query.answer(&Service::new("greeter", "2").with_node(Node::new("2", "a")), now);
        assert!(!query.is_done(now));
        query.answer(&node("3"), now);
        assert!(query.is_done(now));
    }

    #[test]
    fn a_late_nobody_does_not_outweigh_an_answer() {
        let (mut query, now) = sent(Rules { subjects: 1, ..RULES }, None);
        query.answer(&node("1"), now);
        query.nobody();
        assert!(!query.is_nobody_there());
    }
}
