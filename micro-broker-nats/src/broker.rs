//! The broker.

use std::sync::Arc;

use micro_core::broker::{
    Broker, Capabilities, Message, SubscribeOptions, Subscription, Topic, TopicFilter,
};
use micro_core::header::keys;
use micro_core::wire::envelope;
use micro_core::{LogThrottle, PluginConfig, Result, async_trait};
use micro_nats::Nats;

use crate::buffer::Buffer;
use crate::config::Options;
use crate::keeper::Keeper;
use crate::subjects::Subjects;
use crate::subscription::Deliveries;

/// What a header and the envelope may take of a message, for [`Capabilities::max_body`].
const OVERHEAD: usize = 4096;

/// Events over NATS. Cheap to clone; the clones are the same broker.
///
/// * **At most once**: what is published while a subscriber's connection is away does not reach
///   it, and [`Delivery::ack`](micro_core::broker::Delivery::ack) does nothing.
/// * An event is go-micro's envelope on the topic as subject. `Micro-Topic` says the topic;
///   `Micro-ID` and `Micro-Id` are a new uuid unless the header has one.
/// * **Too slow a subscriber** loses what is beyond [`Options::max_events`] and
///   [`Options::max_bytes`], and is told how much. Only what the NATS client itself loses (more
///   than its queue holds within 25 ms) is not in that number, but in
///   [`Nats::dropped_messages`].
/// * **Closing** a subscription waits until the server knows; what is on the way at this moment
///   may be lost, in a queue group too.
#[derive(Clone, Debug)]
pub struct NatsBroker {
    nats: Nats,
    options: Options,
    subjects: Arc<Subjects>,
    keeper: Arc<Keeper>,
    garbage: Arc<LogThrottle>,
}

impl NatsBroker {
    /// A broker with a connection of its own, to one of these servers; each item may be a
    /// comma-separated list. Without any it is `127.0.0.1:4222`. Connects in the background, at
    /// the first use.
    ///
    /// # Errors
    /// `InvalidInput`, naming the address that is none.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Self::with_options(&Nats::new(addresses)?, Options::default())
    }

    /// As [`new`](Self::new), with the addresses and the namespace that the flags say.
    ///
    /// # Errors
    /// As for `new`; `InvalidInput` if the namespace is none.
    pub fn from_config(config: &PluginConfig) -> Result<Self> {
        let mut options = Options::default();
        options.namespace.clone_from(&config.namespace);
        Self::with_options(&Nats::new(&config.addresses)?, options)
    }

    /// A broker over a connection that others use too.
    pub fn with(nats: &Nats) -> Self {
        Self::made(nats, Options::default(), Subjects::plain(&nats.options().inbox_prefix))
    }

    /// As [`with`](Self::with), with options.
    ///
    /// # Errors
    /// `InvalidInput` if the namespace is none.
    pub fn with_options(nats: &Nats, options: Options) -> Result<Self> {
        let inbox_prefix = &nats.options().inbox_prefix;
        let subjects = match options.namespace.as_deref() {
            None | Some("") => Subjects::plain(inbox_prefix),
            Some(namespace) => Subjects::within(namespace, inbox_prefix)?,
        };
        Ok(Self::made(nats, options, subjects))
    }

    /// The connection.
    pub fn nats(&self) -> &Nats {
        &self.nats
    }

    /// How many messages came to the subscriptions of this broker that were no events.
    pub fn dropped_messages(&self) -> u64 {
        self.garbage.total()
    }

    fn made(nats: &Nats, options: Options, subjects: Subjects) -> Self {
        Self {
            nats: nats.clone(),
            options,
            subjects: Arc::new(subjects),
            keeper: Arc::default(),
            garbage: Arc::default(),
        }
    }
}

#[async_trait]
impl Broker for NatsBroker {
    fn name(&self) -> &'static str {
        crate::NAME
    }

    /// The largest body depends on the server, and is that of most servers before it is known.
    fn capabilities(&self) -> Capabilities {
        let body = self.nats.max_payload().saturating_sub(OVERHEAD) / 4 * 3;
        Capabilities::default().with_wildcards(true).with_max_body(body)
    }

    async fn publish(&self, topic: &Topic, message: Message) -> Result<()> {
        let subject = self.subjects.of(topic)?;
        let Message { mut header, body, .. } = message;
        header.insert(keys::MICRO_TOPIC, topic.to_string());
        let known = header.get(keys::MICRO_ID).or_else(|| header.get(keys::MICRO_ID_OLD));
        let id = known.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        for key in [keys::MICRO_ID, keys::MICRO_ID_OLD] {
            if header.get(key).is_none() {
                header.insert(key, id.clone());
            }
        }
        self.nats.publish(&subject, None, envelope::encode(&header, &body)).await
    }

    async fn subscribe(
        &self,
        topics: &TopicFilter,
        options: SubscribeOptions,
    ) -> Result<Subscription> {
        options.check()?;
        let filter = self.subjects.filter(topics);
        let subscriber = self.nats.subscribe(&filter, options.queue.as_deref()).await?;
        let (events, bytes) = (self.options.max_events, self.options.max_bytes);
        let buffer = Arc::new(Buffer::new(subscriber, events, bytes));
        self.keeper.add(&buffer);
        Ok(Subscription::new(Deliveries {
            nats: self.nats.clone(),
            subjects: Arc::clone(&self.subjects),
            topics: topics.to_string(),
            buffer,
            garbage: Arc::clone(&self.garbage),
        }))
    }

    async fn flush(&self) -> Result<()> {
        self.nats.flush().await
    }

    fn health(&self) -> Result<()> {
        self.nats.health()
    }
}
