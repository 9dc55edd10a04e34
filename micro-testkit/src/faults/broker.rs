//! A broker that does one thing wrong.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use micro_core::broker::{
    Acknowledge, Broker, Capabilities, Delivery, Message, SubscribeOptions, Subscription,
    SubscriptionStream, Topic, TopicFilter,
};
use micro_core::{Error, ErrorKind, Header, Result, async_trait};
use tokio_stream::Stream;

super::faults! { BrokerFault of "broker":
    /// Only one of all subscribers gets an event.
    SharesEverything => every_subscriber_gets_every_event,
    /// An event arrives twice.
    DeliversTwice => one_handle_may_subscribe_twice,
    /// A subscription is live only once it is read.
    SubscribesLate => a_publisher_hears_itself,
    /// Now and then an event is lost.
    LosesEvents => events_keep_their_order,
    /// Now and then two events change places.
    Disorders => events_keep_their_order,
    /// Bytes that are no text are changed.
    SendsText => a_body_of_any_bytes_arrives_unchanged,
    /// Keys lose their case.
    LowersKeys => a_header_arrives_unchanged,
    /// Events without a body are lost.
    LosesEmptyEvents => an_empty_event_arrives,
    /// All events say the same topic.
    SaysOneTopic => an_event_says_its_topic,
    /// Who subscribes gets the last event of before.
    Retains => what_nobody_subscribes_to_is_gone,
    /// Acknowledging is an error.
    CannotAcknowledge => an_event_can_be_acknowledged,
    /// Every member of a queue gets every event.
    IgnoresQueues => a_queue_gets_each_event_once,
    /// All queues are one.
    MixesQueuesUp => two_queues_get_each_event_each,
    /// A subscription that was dropped goes on.
    LivesAfterDrop => a_queue_goes_on_when_a_member_leaves,
    /// Any text names a queue.
    TakesAnyQueue => what_is_no_queue_is_refused,
    /// Topics below the one that was asked for are delivered too.
    MatchesBeginnings => topics_are_told_apart,
    /// `*` matches any number of parts.
    MatchesTooMuch => wildcards_match_or_are_refused,
    /// A wildcard is refused, though it is said to be known.
    RefusesWildcards => wildcards_match_or_are_refused,
    /// Nobody is told what was lost.
    LosesInSilence => a_subscriber_that_does_not_read_is_told_what_it_lost,
    /// Fewer events are told as lost than were.
    CountsTooFew => a_subscriber_that_does_not_read_is_told_what_it_lost,
    /// A loss ends the subscription.
    EndsOnLoss => a_subscriber_that_does_not_read_is_told_what_it_lost,
    /// What is too large vanishes.
    LosesTheLarge => an_event_too_large_is_refused,
    /// Bodies are cut.
    CutsBodies => a_large_event_arrives,
    /// A closed subscription goes on.
    LivesAfterClose => a_closed_subscription_gets_nothing_more,
    /// A close takes with it what had arrived.
    ClosesTooEarly => what_arrived_before_the_close_can_still_be_read,
    /// A second close is an error.
    ClosesOnce => closing_twice_is_fine,
    /// It is always ill.
    IsIll => every_handle_tells_the_same_and_is_healthy,
}

/// A broker with one fault, or none.
pub struct FaultyBroker {
    inner: Arc<dyn Broker>,
    fault: Option<BrokerFault>,
    published: AtomicU64,
    last: Mutex<BTreeMap<Topic, Message>>,
    held: Mutex<Option<Message>>,
    kept: Arc<Mutex<Vec<Subscription>>>,
}

impl FaultyBroker {
    /// Breaks a broker.
    pub fn new(inner: Arc<dyn Broker>, fault: impl Into<Option<BrokerFault>>) -> Self {
        Self {
            inner,
            fault: fault.into(),
            published: AtomicU64::new(0),
            last: Mutex::default(),
            held: Mutex::default(),
            kept: Arc::default(),
        }
    }

    fn has(&self, fault: BrokerFault) -> bool {
        self.fault == Some(fault)
    }
}

#[async_trait]
impl Broker for FaultyBroker {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn publish(&self, topic: &Topic, mut message: Message) -> Result<()> {
        use BrokerFault as F;
        let count = self.published.fetch_add(1, Ordering::SeqCst) + 1;
        lock(&self.last).insert(topic.clone(), message.clone());
        match self.fault {
            Some(F::LosesEvents) if count.is_multiple_of(50) => return Ok(()),
            Some(F::LosesEmptyEvents) if message.body.is_empty() => return Ok(()),
            Some(F::Disorders) if count.is_multiple_of(50) => {
                *lock(&self.held) = Some(message);
                return Ok(());
            }
            Some(F::SendsText) => {
                message.body = String::from_utf8_lossy(&message.body).into_owned().into();
            }
            Some(F::LowersKeys) => {
                let lowered = message.header.iter();
                let lowered = lowered.map(|(key, value)| (key.to_lowercase(), value.to_owned()));
                message.header = lowered.collect::<Header>();
            }
            Some(F::CutsBodies) => message.body.truncate(100_000),
            _ => {}
        }
        let outcome = self.inner.publish(topic, message).await;
        let held = lock(&self.held).take();
        if let Some(held) = held {
            self.inner.publish(topic, held).await?;
        }
        match outcome {
            Err(error) if error.kind() == ErrorKind::TooLarge && self.has(F::LosesTheLarge) => {
                Ok(())
            }
            outcome => outcome,
        }
    }

    async fn subscribe(
        &self,
        topics: &TopicFilter,
        mut options: SubscribeOptions,
    ) -> Result<Subscription> {
        use BrokerFault as F;
        let mut topics = topics.clone();
        let mut queue = VecDeque::new();
        let mut more = None;
        match self.fault {
            Some(F::SharesEverything) => options.queue = Some("all".to_owned()),
            Some(F::MixesQueuesUp) => options.queue = options.queue.map(|_| "all".to_owned()),
            Some(F::IgnoresQueues) => options.queue = None,
            Some(F::TakesAnyQueue) if options.check().is_err() => options.queue = None,
            Some(F::MatchesTooMuch) => {
                if let Some(before) = topics.as_str().strip_suffix(".*") {
                    topics = TopicFilter::new(format!("{before}.>"))?;
                }
            }
            Some(F::MatchesBeginnings) if !topics.has_wildcards() => {
                let below = TopicFilter::new(format!("{topics}.>"));
                if let Ok(below) = below {
                    more = Some(self.inner.subscribe(&below, options.clone()).await?);
                }
            }
            Some(F::RefusesWildcards) if topics.has_wildcards() => {
                return Err(Error::unsupported("no wildcards"));
            }
            Some(F::Retains) => {
                let last = lock(&self.last);
                let old = last.iter().filter(|(topic, _)| topics.matches(topic));
                queue.extend(old.map(|(t, message)| Delivery::new(t.clone(), message.clone())));
            }
            _ => {}
        }
        let (inner, late) = if self.has(F::SubscribesLate) {
            let broker = self.inner.clone();
            let late = async move { broker.subscribe(&topics, options).await };
            (None, Some(Box::pin(late) as _))
        } else {
            (Some(self.inner.subscribe(&topics, options).await?), None)
        };
        let kept = self.kept.clone();
        let fault = self.fault;
        Ok(Subscription::new(Faulty { inner, late, more, queue, fault, kept, closed: false }))
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    fn health(&self) -> Result<()> {
        if self.has(BrokerFault::IsIll) {
            return Err(Error::unavailable("it is ill"));
        }
        self.inner.health()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for FaultyBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyBroker").field("fault", &self.fault).finish_non_exhaustive()
    }
}

type Late = Pin<Box<dyn Future<Output = Result<Subscription>> + Send>>;

/// A subscription with a fault.
struct Faulty {
    inner: Option<Subscription>,
    /// What subscribes, once it is polled.
    late: Option<Late>,
    /// Of topics that were not asked for.
    more: Option<Subscription>,
    queue: VecDeque<Delivery>,
    fault: Option<BrokerFault>,
    kept: Arc<Mutex<Vec<Subscription>>>,
    closed: bool,
}

impl Faulty {
    fn has(&self, fault: BrokerFault) -> bool {
        self.fault == Some(fault)
    }
}

impl Stream for Faulty {
    type Item = Result<Delivery>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        use BrokerFault as F;
        let this = &mut *self;
        if let Some(delivery) = this.queue.pop_front() {
            return Poll::Ready(Some(Ok(delivery)));
        }
        if this.closed && this.has(F::ClosesTooEarly) {
            return Poll::Ready(None);
        }
        if let Some(late) = &mut this.late {
            match ready!(late.as_mut().poll(cx)) {
                Ok(subscription) => this.inner = Some(subscription),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            this.late = None;
        }
        let more = this.more.as_mut().map(|more| Pin::new(more).poll_next(cx));
        if let Some(Poll::Ready(Some(item))) = more {
            return Poll::Ready(Some(item));
        }
        loop {
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(None);
            };
            let Some(item) = ready!(Pin::new(inner).poll_next(cx)) else {
                return Poll::Ready(None);
            };
            let mut delivery = match (item, this.fault) {
                (Ok(delivery), _) => delivery,
                (Err(_), Some(F::LosesInSilence)) => continue,
                (Err(_), Some(F::EndsOnLoss)) => {
                    this.inner = None;
                    return Poll::Ready(None);
                }
                (Err(error), Some(F::CountsTooFew)) => {
                    let error = Error::new(error.kind(), "1 event was lost");
                    return Poll::Ready(Some(Err(error)));
                }
                (Err(error), _) => return Poll::Ready(Some(Err(error))),
            };
            match this.fault {
                Some(F::DeliversTwice) => this
                    .queue
                    .push_back(Delivery::new(delivery.topic.clone(), delivery.message.clone())),
                Some(F::SaysOneTopic) => delivery.topic = Topic::new("topic")?,
                Some(F::CannotAcknowledge) => {
                    delivery = delivery.with_acknowledge(Box::new(CannotAcknowledge));
                }
                _ => {}
            }
            return Poll::Ready(Some(Ok(delivery)));
        }
    }
}

#[async_trait]
impl SubscriptionStream for Faulty {
    async fn close(mut self: Pin<&mut Self>) -> Result<()> {
        let again = std::mem::replace(&mut self.closed, true);
        if again && self.has(BrokerFault::ClosesOnce) {
            return Err(Error::unavailable("it is closed"));
        }
        let lives = self.has(BrokerFault::LivesAfterClose);
        match &mut self.inner {
            Some(inner) if !lives => inner.close().await,
            _ => Ok(()),
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.has(BrokerFault::LivesAfterDrop) {
            lock(&self.kept).extend(self.inner.take());
        }
    }
}

struct CannotAcknowledge;

#[async_trait]
impl Acknowledge for CannotAcknowledge {
    async fn acknowledge(&self) -> Result<()> {
        Err(Error::unavailable("it cannot be acknowledged"))
    }
}
