//! A subscription, read with limits.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{Delivery, SubscribeOptions, Subscription, Topic, TopicFilter};
use micro_core::{Broker, ErrorKind, Result};
use tokio::time::{Instant, timeout};
use tokio_stream::Stream;

use super::publish;
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, unique, within};

/// What the body of an event begins with that only asks whether a subscription is live.
const PROBE: &[u8] = b"probe-";

/// A subscription under test.
pub(super) struct Reader {
    subscription: Subscription,
}

impl Reader {
    pub(super) async fn new(
        broker: &dyn Broker,
        topics: &TopicFilter,
        options: SubscribeOptions,
    ) -> Checked<Self> {
        let subscription = within("subscribe", broker.subscribe(topics, options)).await??;
        Ok(Self { subscription })
    }

    /// Waits until what this publisher publishes reaches the subscription, for only in one
    /// process it does at once. Other subscriptions may have to pass over some events by this.
    pub(super) async fn live(&mut self, publisher: &dyn Broker, topic: &Topic) -> Checked {
        self.live_within(LIMIT, publisher, topic).await
    }

    pub(super) async fn live_within(
        &mut self,
        limit: Duration,
        publisher: &dyn Broker,
        topic: &Topic,
    ) -> Checked {
        let deadline = Instant::now() + limit;
        let probe = Bytes::from(unique("probe"));
        let message = super::event(probe.clone());
        loop {
            let published = within("publish", publisher.publish(topic, message.clone())).await?;
            match published {
                // Without a network there is one more reason to ask again.
                Err(error) if error.kind() != ErrorKind::Unavailable => return Err(error.into()),
                _ => {}
            }
            let asked = Instant::now();
            while asked.elapsed() < Duration::from_millis(100) {
                match timeout(Duration::from_millis(100), self.subscription.next()).await {
                    Ok(Some(Ok(delivery))) if delivery.message.body == probe => return Ok(()),
                    Ok(Some(Ok(delivery))) if delivery.message.body.starts_with(PROBE) => {}
                    Ok(Some(other)) => {
                        return Err(Failure::new(format!("{other:?} came before it was live")));
                    }
                    Ok(None) => return Err(Failure::new("the subscription ended")),
                    Err(_) => {}
                }
            }
            ensure!(Instant::now() < deadline, "the subscription is not live within {limit:?}");
        }
    }

    /// What the stream has next, whatever it is; `None` at its end.
    pub(super) async fn item(&mut self, what: &str) -> Checked<Option<Result<Delivery>>> {
        within(what, poll_fn(|cx| self.poll(cx))).await
    }

    /// The next event.
    pub(super) async fn next(&mut self, what: &str) -> Checked<Delivery> {
        match self.item(what).await? {
            Some(Ok(delivery)) => Ok(delivery),
            Some(Err(error)) => Err(Failure::new(format!("{what}: {error:?} came instead"))),
            None => Err(Failure::new(format!("{what}: the subscription ended"))),
        }
    }

    /// The next event, which must have this body.
    pub(super) async fn expect(&mut self, body: impl Into<Bytes>) -> Checked<Delivery> {
        let body = body.into();
        let delivery = self.next(&format!("{body:?}")).await?;
        ensure!(delivery.message.body == body, "{:?} came, not {body:?}", delivery.message.body);
        Ok(delivery)
    }

    /// Whether something is there now, without waiting.
    pub(super) fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Delivery>>> {
        loop {
            match Pin::new(&mut self.subscription).poll_next(cx) {
                Poll::Ready(Some(Ok(event))) if event.message.body.starts_with(PROBE) => {}
                other => return other,
            }
        }
    }

    /// Ends the subscription.
    pub(super) async fn close(&mut self) -> Checked {
        Ok(within("close", self.subscription.close()).await??)
    }

    /// Reads to the end of the stream; the bodies.
    pub(super) async fn rest(&mut self) -> Checked<Vec<Bytes>> {
        let mut bodies = Vec::new();
        while let Some(item) = self.item("the end of the subscription").await? {
            bodies.push(item?.message.body);
        }
        Ok(bodies)
    }
}

/// The next event of any of these.
pub(super) async fn next_of(readers: &mut [Reader], what: &str) -> Checked<(usize, Delivery)> {
    let next = poll_fn(|cx| {
        for (at, reader) in readers.iter_mut().enumerate() {
            if let Poll::Ready(item) = reader.poll(cx) {
                return Poll::Ready((at, item));
            }
        }
        Poll::Pending
    });
    match within(what, next).await? {
        (at, Some(Ok(delivery))) => Ok((at, delivery)),
        (at, other) => Err(Failure::new(format!("{what}: {other:?} came of reader {at}"))),
    }
}

/// Asserts that none of these has anything left: what is published now comes next.
pub(super) async fn nothing_left(
    readers: &mut [Reader],
    publisher: &dyn Broker,
    topic: &Topic,
) -> Checked {
    for reader in readers {
        reader.live(publisher, topic).await?;
    }
    Ok(())
}

/// Publishes numbers, a few at a time, and reads them all with every one of these in their order.
pub(super) async fn in_order(
    readers: &mut [Reader],
    publisher: &dyn Broker,
    topic: &Topic,
    count: usize,
    at_once: usize,
) -> Checked {
    let numbers: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    for some in numbers.chunks(at_once) {
        for number in some {
            publish(publisher, topic, number.clone()).await?;
        }
        for reader in &mut *readers {
            for number in some {
                reader.expect(number.clone()).await?;
            }
        }
    }
    Ok(())
}

/// How many events can be published before somebody has to read.
pub(super) fn at_once(fixture: &dyn super::Fixture) -> usize {
    (fixture.buffer() / 2).clamp(1, 100)
}
