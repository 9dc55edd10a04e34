//! Events inside one process.

mod buffer;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

use micro_core::broker::{
    Broker, Capabilities, Delivery, Message, SubscribeOptions, Subscription, SubscriptionStream,
    Topic, TopicFilter,
};
use micro_core::{Error, PluginConfig, Reach, RequestState, Result, async_trait};
use tokio_stream::Stream;

use self::buffer::Buffer;
use crate::{Memory, MemoryOptions};

/// A broker that reaches this process alone. It knows wildcards; nothing is acknowledged.
#[derive(Clone, Debug)]
pub struct MemoryBroker(Arc<World>);

/// Who subscribes to what.
pub(crate) struct World {
    subscribers: Mutex<Subscribers>,
    limits: Limits,
    max_body: usize,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    events: usize,
    bytes: usize,
}

#[derive(Default)]
struct Subscribers {
    next: u64,
    /// Those of one topic, to be found without asking the others.
    plain: HashMap<String, BTreeMap<u64, Subscriber>>,
    wild: BTreeMap<u64, Subscriber>,
    /// Whose turn it is in each queue, and how many members it has.
    queues: HashMap<String, Queue>,
}

#[derive(Clone)]
struct Subscriber {
    topics: TopicFilter,
    queue: Option<String>,
    buffer: Arc<Buffer>,
}

#[derive(Default)]
struct Queue {
    turn: usize,
    members: usize,
}

impl MemoryBroker {
    /// A broker with a world of its own. It has no use for addresses and takes them only to be
    /// made as every other broker is.
    ///
    /// # Errors
    /// None.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        drop(addresses);
        Ok(Self::default())
    }

    /// As [`new`](Self::new): nothing can be configured.
    ///
    /// # Errors
    /// None.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        Self::new(&config.addresses)
    }

    /// A broker of this world.
    pub fn with(memory: &Memory) -> Self {
        Self(memory.broker.clone())
    }
}

/// A broker with a world of its own.
impl Default for MemoryBroker {
    fn default() -> Self {
        Self::with(&Memory::new())
    }
}

#[async_trait]
impl Broker for MemoryBroker {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
            .with_wildcards(true)
            .with_max_body(self.0.max_body)
            .with_reach(Reach::Process)
    }

    async fn publish(&self, topic: &Topic, message: Message) -> Result<()> {
        let (size, limit) = (message.body.len(), self.0.max_body);
        if size > limit {
            let error = Error::too_large("the body of an event", size, limit);
            return Err(error.with_request(RequestState::NotSent));
        }
        self.0.deliver(topic, &message);
        Ok(())
    }

    async fn subscribe(
        &self,
        topics: &TopicFilter,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        options.check()?;
        let buffer = Arc::new(Buffer::new(self.0.limits));
        let subscriber =
            Subscriber { topics: topics.clone(), queue: options.queue, buffer: buffer.clone() };
        let id = self.0.subscribers().add(subscriber);
        let world = Arc::downgrade(&self.0);
        Ok(Subscription::new(Subscribed { world, id, topics: topics.clone(), buffer }))
    }
}

impl World {
    pub(crate) fn new(options: &MemoryOptions) -> Self {
        Self {
            subscribers: Mutex::default(),
            limits: Limits {
                events: options.subscription_events,
                bytes: options.subscription_bytes,
            },
            max_body: options.max_body,
        }
    }

    fn deliver(&self, topic: &Topic, message: &Message) {
        let mut to_wake = Vec::new();
        let mut subscribers = self.subscribers();
        let mut queues: BTreeMap<&str, Vec<&Buffer>> = BTreeMap::new();
        let Subscribers { plain, wild, queues: turns, .. } = &mut *subscribers;
        let wild = wild.values().filter(|subscriber| subscriber.topics.matches(topic));
        let plain = plain.get(topic.as_str()).into_iter().flat_map(BTreeMap::values);
        for Subscriber { queue, buffer, .. } in plain.chain(wild) {
            match queue {
                Some(queue) => queues.entry(queue).or_default().push(buffer),
                None => to_wake.extend(buffer.push(topic, message)),
            }
        }
        for (queue, members) in queues {
            let turn = turns.entry(queue.to_owned()).or_default();
            turn.turn = turn.turn.wrapping_add(1);
            let (before, from) = members.split_at(turn.turn % members.len());
            // Whoever has no room is passed over, unless nobody has.
            let mut in_turn = from.iter().chain(before);
            let member = in_turn.clone().find(|member| member.has_room());
            if let Some(member) = member.or_else(|| in_turn.next()) {
                to_wake.extend(member.push(topic, message));
            }
        }
        // Under the lock until here, so that whoever leaves either got the event or has left.
        drop(subscribers);
        for waker in to_wake {
            waker.wake();
        }
    }

    fn subscribers(&self) -> MutexGuard<'_, Subscribers> {
        // Nothing panics while it holds the lock.
        self.subscribers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With the last handle the last publisher is gone.
impl Drop for World {
    fn drop(&mut self) {
        let subscribers = std::mem::take(&mut *self.subscribers());
        let plain = subscribers.plain.values().flat_map(BTreeMap::values);
        for subscriber in plain.chain(subscribers.wild.values()) {
            subscriber.buffer.end();
        }
    }
}

impl Subscribers {
    fn add(&mut self, subscriber: Subscriber) -> u64 {
        let id = self.next;
        self.next += 1;
        if let Some(queue) = &subscriber.queue {
            self.queues.entry(queue.clone()).or_default().members += 1;
        }
        if subscriber.topics.has_wildcards() {
            self.wild.insert(id, subscriber);
        } else {
            let topic = subscriber.topics.as_str().to_owned();
            self.plain.entry(topic).or_default().insert(id, subscriber);
        }
        id
    }

    fn remove(&mut self, topics: &TopicFilter, id: u64) {
        let removed = if topics.has_wildcards() {
            self.wild.remove(&id)
        } else if let Some(of_topic) = self.plain.get_mut(topics.as_str()) {
            let removed = of_topic.remove(&id);
            if of_topic.is_empty() {
                self.plain.remove(topics.as_str());
            }
            removed
        } else {
            None
        };
        let queue = removed.and_then(|subscriber| subscriber.queue);
        if let Some((name, queue)) =
            queue.and_then(|name| Some((name.clone(), self.queues.get_mut(&name)?)))
        {
            queue.members -= 1;
            if queue.members == 0 {
                self.queues.remove(&name);
            }
        }
    }
}

/// The subscriber's side of a buffer.
struct Subscribed {
    world: Weak<World>,
    id: u64,
    topics: TopicFilter,
    buffer: Arc<Buffer>,
}

impl Subscribed {
    fn leave(&self) {
        if let Some(world) = self.world.upgrade() {
            world.subscribers().remove(&self.topics, self.id);
        }
        self.buffer.end();
    }
}

impl Stream for Subscribed {
    type Item = Result<Delivery>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.buffer.poll_next(cx)
    }
}

#[async_trait]
impl SubscriptionStream for Subscribed {
    async fn close(self: Pin<&mut Self>) -> Result<()> {
        self.leave();
        Ok(())
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subscribers = self.subscribers();
        f.debug_struct("World")
            .field("topics", &subscribers.plain.len())
            .field("filters", &subscribers.wild.len())
            .field("queues", &subscribers.queues.len())
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
