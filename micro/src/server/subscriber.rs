//! From a subscription to handlers.

use std::future::{Future, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use micro_core::broker::{Broker, Delivery, Message, SubscribeOptions, Subscription, TopicFilter};
use micro_core::codec::{Decode, check_content_type};
use micro_core::header::keys::CONTENT_TYPE;
use micro_core::{Error, LogThrottle, Result};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::incoming::IncomingEvent;
use super::options::{ServerOptions, SubscriberOptions};
use crate::client::Client;
use crate::context::{Context, Source};
use crate::middleware::Stack;

/// What is done with an event, without its type.
pub(super) type Handle = Arc<dyn Fn(Context, &Message) -> Handling + Send + Sync>;
type Handling = Pin<Box<dyn Future<Output = Result<()>> + Send>>;
/// The layers around what is done with events.
pub(super) type EventStack = Stack<IncomingEvent, ()>;

/// A topic and what is done with its events.
#[derive(Clone)]
pub(super) struct Subscriber {
    pub(super) topic: TopicFilter,
    options: SubscriberOptions,
    handle: Handle,
}

/// The tasks that receive, until they are dropped.
pub(super) struct Subscribers {
    stop: CancellationToken,
    receiving: TaskTracker,
    handling: TaskTracker,
    _abort: DropGuard,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Subscriber {
    pub(super) fn new<C, T, F, Fut>(
        topic: TopicFilter,
        options: SubscriberOptions,
        handler: F,
    ) -> Self
    where
        C: Decode<T>,
        T: Send + 'static,
        F: Fn(Context, T) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let handle = move |context: Context, message: &Message| -> Handling {
            let given =
                message.header.get_ignore_case(CONTENT_TYPE).filter(|text| !text.is_empty());
            let decoded = check_content_type::<C>(given)
                .and_then(|()| C::decode_as(message.body.clone(), given.unwrap_or_default()));
            match decoded {
                Ok(event) => Box::pin(handler(context, event)),
                Err(error) => Box::pin(ready(Err(error))),
            }
        };
        Self { topic, options, handle: Arc::new(handle) }
    }
}

impl Subscribers {
    pub(super) async fn start(
        service: &Arc<str>,
        subscribers: Vec<Subscriber>,
        layers: Option<&EventStack>,
        broker: &dyn Broker,
        client: &Client,
        options: &ServerOptions,
    ) -> Result<Self> {
        let (stop, receiving, handling) =
            (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
        let abort = CancellationToken::new();
        let mut tasks = Vec::new();
        for subscriber in subscribers {
            let mut how = SubscribeOptions::default();
            how.queue.clone_from(&subscriber.options.queue);
            let subscription = broker.subscribe(&subscriber.topic, how).await?;
            let at_once = subscriber.options.max_events.unwrap_or(options.max_events);
            let receiver = Receiver {
                service: service.clone(),
                subscriber,
                layers: layers.cloned(),
                client: client.clone(),
                room: Arc::new(Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS))),
                handling: handling.clone(),
                stop: stop.clone(),
                abort: abort.clone(),
                failures: Arc::default(),
            };
            let task = receiving.spawn(receiver.receive(subscription));
            tasks.push(AbortOnDropHandle::new(task));
        }
        Ok(Self { stop, receiving, handling, _abort: abort.drop_guard(), _tasks: tasks })
    }

    /// Ends the subscriptions and finishes what had arrived.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        self.receiving.close();
        self.receiving.wait().await;
        self.handling.close();
        self.handling.wait().await;
    }

    pub(super) fn running(&self) -> usize {
        self.handling.len()
    }
}

struct Receiver {
    service: Arc<str>,
    subscriber: Subscriber,
    layers: Option<EventStack>,
    client: Client,
    room: Arc<Semaphore>,
    handling: TaskTracker,
    stop: CancellationToken,
    /// Ends the handlers that are still at work.
    abort: CancellationToken,
    failures: Arc<LogThrottle>,
}

impl Receiver {
    async fn receive(self, mut subscription: Subscription) {
        let topic = self.subscriber.topic.as_str();
        let mut open = true;
        loop {
            let next = tokio::select! {
                next = subscription.next() => next,
                () = self.stop.cancelled(), if open => {
                    open = false;
                    if let Err(error) = subscription.close().await {
                        tracing::warn!(topic, %error, "the subscription did not end in order");
                    }
                    continue;
                }
            };
            match next {
                Some(Ok(delivery)) => self.handle(delivery).await,
                Some(Err(error)) => tracing::warn!(topic, %error, "events were lost"),
                None => return,
            }
        }
    }

    /// Begins to handle an event, as soon as there is room.
    async fn handle(&self, delivery: Delivery) {
        // The semaphore is never closed.
        let Ok(permit) = self.room.clone().acquire_owned().await else { return };
        let topic = delivery.topic.clone();
        let source = Source::Event(topic.clone(), delivery.message.header.clone());
        let context = Context::new(self.service.clone(), source, None, self.client.clone());
        let (handle, layers) = (self.subscriber.handle.clone(), self.layers.clone());
        let failures = self.failures.clone();
        let work = async move {
            let message = &delivery.message;
            let started = catch_unwind(AssertUnwindSafe(|| match layers {
                None => handle(context, message),
                Some(layers) => {
                    let event = IncomingEvent { context, message: message.clone(), handle };
                    Box::pin(async move { layers.run(event).await })
                }
            }));
            let done = match started {
                Ok(handling) => AssertUnwindSafe(handling).catch_unwind().await,
                Err(panic) => Err(panic),
            };
            let result = match done {
                Ok(Ok(())) => delivery.ack().await,
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::internal("the handler panicked")),
            };
            if let Err(error) = result
                && let Some(count) = failures.count()
            {
                tracing::warn!(%topic, %error, count, "events could not be handled");
            }
            drop(permit);
        };
        let abort = self.abort.clone();
        self.handling.spawn(async move {
            abort.run_until_cancelled(work).await;
        });
    }
}
