//! Events: topics, publishers, subscribers.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio_stream::Stream;

use crate::registry::subject_flaw;
use crate::{Error, Header, Reach, Result};

/// Carries events from publishers to subscribers.
///
/// What every implementation keeps:
///
/// * **Fan-out.** Without a queue every subscriber gets each event. Of the subscribers that name
///   the same [`queue`](SubscribeOptions::queue) exactly one gets it; queues do not take from each
///   other, nor from those without.
/// * **Order.** Events that one publisher awaits one after another arrive in this order at a
///   subscriber without a queue.
/// * **Live.** An event that is published after [`subscribe`](Self::subscribe) returned, by the
///   same process, reaches the subscription. What nobody subscribes to is gone.
/// * **Bounded.** A subscriber that does not read loses events when its buffer is full, and is
///   told how many: an [`ErrorKind::Overloaded`](crate::ErrorKind::Overloaded) item in the stream,
///   which then goes on.
/// * **Any content.** A message that does not decode is counted, logged once in a while and
///   dropped; it ends no subscription.
/// * **Away.** `publish` waits for the network for a bounded time and then fails as
///   [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable), not sent. A subscription outlives
///   any outage.
/// * **Drop.** Dropping a [`Subscription`] ends it; [`Subscription::close`] waits until nothing
///   more arrives.
#[async_trait]
pub trait Broker: Send + Sync + 'static {
    /// The name by which flags choose it, such as `nats`.
    fn name(&self) -> &'static str;

    /// What it can do beyond the contract.
    fn capabilities(&self) -> Capabilities;

    /// Publishes one event. `Ok` means: taken for delivery, in order.
    ///
    /// # Errors
    /// `TooLarge` with both sizes, `Unavailable`.
    ///
    /// # Cancel safety
    /// A publish that was dropped may or may not have happened.
    async fn publish(&self, topic: &Topic, message: Message) -> Result<()>;

    /// Subscribes to a topic, or to several by wildcards where
    /// [`Capabilities::wildcards`] says so. Does not wait for the network.
    ///
    /// # Errors
    /// `Unsupported` for wildcards where there are none; that of
    /// [`SubscribeOptions::check`].
    async fn subscribe(
        &self,
        topics: &TopicFilter,
        options: SubscribeOptions,
    ) -> Result<Subscription>;

    /// Waits, bounded, until what was published has left this process.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn flush(&self) -> Result<()> {
        Ok(())
    }

    /// `Ok` if it can work now; otherwise the reason.
    ///
    /// # Errors
    /// `Unavailable`, naming what is not reachable.
    fn health(&self) -> Result<()> {
        Ok(())
    }
}

/// What a broker can do beyond the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// [`TopicFilter`]s with `*` and `>`.
    pub wildcards: bool,
    /// Acknowledgement means something: what is not acknowledged comes again.
    pub acknowledges: bool,
    /// The largest body, in bytes, that surely goes through; `None`: no limit of its own.
    pub max_body: Option<usize>,
    /// Where events get to.
    pub reach: Reach,
}

impl Capabilities {
    /// Sets [`wildcards`](Self::wildcards).
    #[must_use]
    pub fn with_wildcards(mut self, wildcards: bool) -> Self {
        self.wildcards = wildcards;
        self
    }

    /// Sets [`acknowledges`](Self::acknowledges).
    #[must_use]
    pub fn with_acknowledges(mut self, acknowledges: bool) -> Self {
        self.acknowledges = acknowledges;
        self
    }

    /// Sets [`max_body`](Self::max_body).
    #[must_use]
    pub fn with_max_body(mut self, bytes: usize) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// Sets [`reach`](Self::reach).
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// How to subscribe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SubscribeOptions {
    /// The queue group: one of its members gets each event.
    pub queue: Option<String>,
}

impl SubscribeOptions {
    /// Sets [`queue`](Self::queue).
    #[must_use]
    pub fn with_queue(mut self, queue: impl Into<String>) -> Self {
        self.queue = Some(queue.into());
        self
    }

    /// Whether the name of the queue can be one in every backend: it is not empty, has at most 255
    /// bytes, and no white space, control character or wildcard.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is wrong.
    pub fn check(&self) -> Result<()> {
        match self.queue.as_deref().map(|queue| (queue, subject_flaw(queue))) {
            Some((queue, Some(flaw))) => {
                Err(Error::invalid_input(format!("{queue:?} is no name of a queue: it {flaw}")))
            }
            _ => Ok(()),
        }
    }
}

/// An event: a header and a body.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Metadata, content type, id.
    pub header: Header,
    /// The encoded body.
    pub body: Bytes,
}

impl Message {
    /// An event.
    pub fn new(header: Header, body: impl Into<Bytes>) -> Self {
        Self { header, body: body.into() }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("header", &self.header)
            .field("body", &format_args!("{} bytes", self.body.len()))
            .finish()
    }
}

/// An event that has arrived.
#[non_exhaustive]
pub struct Delivery {
    /// The topic that it was published to.
    pub topic: Topic,
    /// What was published.
    pub message: Message,
    acknowledge: Option<Box<dyn Acknowledge>>,
}

/// What a durable backend does when an event has been dealt with.
#[async_trait]
pub trait Acknowledge: Send + Sync {
    /// The event is done and must not come again.
    async fn acknowledge(&self) -> Result<()>;
}

impl Delivery {
    /// An event of a backend that does not acknowledge.
    pub fn new(topic: Topic, message: Message) -> Self {
        Self { topic, message, acknowledge: None }
    }

    /// Adds what [`ack`](Self::ack) does.
    #[must_use]
    pub fn with_acknowledge(mut self, acknowledge: Box<dyn Acknowledge>) -> Self {
        self.acknowledge = Some(acknowledge);
        self
    }

    /// Says that the event has been dealt with; does nothing where the backend keeps no account.
    ///
    /// # Errors
    /// What the backend reports.
    pub async fn ack(&self) -> Result<()> {
        match &self.acknowledge {
            Some(acknowledge) => acknowledge.acknowledge().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("topic", &self.topic)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// The events of one subscription. Dropping it ends the subscription.
///
/// An `Err` item reports what was lost; the stream goes on after it. The end of the stream means
/// that the broker was closed.
pub struct Subscription {
    deliveries: Pin<Box<dyn SubscriptionStream>>,
}

/// What a backend implements for a subscription: the deliveries, and how to end them with proof.
#[async_trait]
pub trait SubscriptionStream: Stream<Item = Result<Delivery>> + Send {
    /// Ends the subscription; returns when nothing more arrives. What had arrived before may
    /// still be read.
    async fn close(self: Pin<&mut Self>) -> Result<()>;
}

impl Subscription {
    /// A subscription over a backend's stream.
    pub fn new(deliveries: impl SubscriptionStream + 'static) -> Self {
        Self { deliveries: Box::pin(deliveries) }
    }

    /// The next event, or `None` when the broker was closed. Cancel safe.
    ///
    /// # Errors
    /// What was lost, as `Overloaded`; the next call goes on after it.
    pub async fn next(&mut self) -> Option<Result<Delivery>> {
        std::future::poll_fn(|cx| self.deliveries.as_mut().poll_next(cx)).await
    }

    /// Ends the subscription, within a bound of the backend. What had arrived before can still be
    /// read; then the stream ends.
    ///
    /// # Errors
    /// `Unavailable` if the other side could not be told.
    pub async fn close(&mut self) -> Result<()> {
        self.deliveries.as_mut().close().await
    }
}

impl Stream for Subscription {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.deliveries.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

/// What is published to: dot-separated parts, none empty, at most 255 bytes, without white space,
/// control characters or wildcards.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Topic(String);

impl Topic {
    /// Checks a topic.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is wrong.
    pub fn new(topic: impl Into<String>) -> Result<Self> {
        let topic = topic.into();
        match subject_flaw(&topic) {
            None => Ok(Self(topic)),
            Some(flaw) => Err(Error::invalid_input(format!("{topic:?} is no topic: it {flaw}"))),
        }
    }

    /// The topic.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Topic {
    type Err = Error;

    fn from_str(topic: &str) -> Result<Self> {
        Self::new(topic)
    }
}

/// What is subscribed to: a [`Topic`], in which a part may be `*` (any one part) and the last
/// part `>` (any further parts, at least one), as in NATS.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// Checks a filter.
    ///
    /// # Errors
    /// `InvalidInput`, saying what is wrong.
    pub fn new(filter: impl Into<String>) -> Result<Self> {
        let filter = filter.into();
        let parts: Vec<&str> = filter.split('.').collect();
        let last = parts.len() - 1;
        let plain: Vec<&str> = (parts.iter().enumerate())
            .map(|(i, part)| if *part == "*" || (*part == ">" && i == last) { "x" } else { part })
            .collect();
        match subject_flaw(&plain.join(".")) {
            None => Ok(Self(filter)),
            Some("contains a wildcard") => Err(Error::invalid_input(format!(
                "{filter:?} is no topic filter: `*` must be a part of its own and `>` the last one"
            ))),
            Some(flaw) => {
                Err(Error::invalid_input(format!("{filter:?} is no topic filter: it {flaw}")))
            }
        }
    }

    /// The filter.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it names more than one topic.
    pub fn has_wildcards(&self) -> bool {
        self.0.contains(['*', '>'])
    }

    /// Whether a topic is meant.
    ///
    /// ```
    /// # use micro_core::broker::{Topic, TopicFilter};
    /// let filter: TopicFilter = "orders.*.paid".parse()?;
    /// assert!(filter.matches(&"orders.7.paid".parse()?));
    /// assert!(!filter.matches(&"orders.7.lost".parse()?));
    /// # Ok::<(), micro_core::Error>(())
    /// ```
    pub fn matches(&self, topic: &Topic) -> bool {
        let mut topic = topic.0.split('.');
        for part in self.0.split('.') {
            match (part, topic.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (part, Some(other)) if part == other => {}
                _ => return false,
            }
        }
        topic.next().is_none()
    }
}

impl From<Topic> for TopicFilter {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for TopicFilter {
    type Err = Error;

    fn from_str(filter: &str) -> Result<Self> {
        Self::new(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_match_as_nats_does() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("*.b", "a.b", true),
        ];
        for (filter, topic, matches) in cases {
            let (filter, topic) = (TopicFilter::new(filter).unwrap(), Topic::new(topic).unwrap());
            assert_eq!(filter.matches(&topic), matches, "{filter} {topic}");
        }
    }

    #[test]
    fn bad_topics_are_refused_with_the_reason() {
        for (topic, reason) in
            [("", "empty"), ("a b", "white space"), ("a.*", "wildcard"), ("a..b", "empty part")]
        {
            let error = Topic::new(topic).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
        for filter in ["", "a.>.b", "a*", "a. b", ".a"] {
            assert!(TopicFilter::new(filter).is_err(), "{filter}");
        }
    }
}
