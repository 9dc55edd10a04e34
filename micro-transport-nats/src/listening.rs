//! The listening subscription, shared by the receiver that reads it and the port that ends it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use micro_core::{Error, Result};
use micro_nats::async_nats::{Message, Subscriber};
use micro_nats::{Nats, State};
use tokio::task::coop;

use crate::address::Claim;

/// Fewer messages than this, and than this many times what comes in one round trip, are on the way
/// from the server to us when it reads that listening ends.
const ON_THE_WAY: u64 = 4096;
const ROUND_TRIPS: u64 = 16;
/// So many are sent at once to fill up to it.
const FILL: u64 = 1024;

/// The subscription to the address that others dial.
#[derive(Debug)]
pub(crate) struct Listening {
    address: String,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once it has ended.
    subscriber: Option<Subscriber>,
    claim: Option<Claim>,
    /// It is being ended: messages of ours fill it up.
    ending: bool,
    /// Read while it was being ended, and not yet by the receiver.
    waiting: VecDeque<Message>,
    /// How many messages were read from the subscription.
    read: u64,
    /// Whom to wake when somebody else has polled the subscription.
    receiver: Option<Waker>,
}

impl Listening {
    pub(crate) fn new(subscriber: Subscriber, claim: Claim) -> Self {
        let address = claim.address().to_owned();
        let inner = Inner {
            subscriber: Some(subscriber),
            claim: Some(claim),
            ending: false,
            waiting: VecDeque::new(),
            read: 0,
            receiver: None,
        };
        Self { address, inner: Mutex::new(inner) }
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The next message; `Ready(None)` when nothing will come any more.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let mut inner = self.lock();
        if let Some(message) = inner.waiting.pop_front() {
            return Poll::Ready(Some(message));
        }
        let next = inner.poll_subscriber(cx);
        if next.is_pending() && !inner.receiver.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            inner.receiver = Some(cx.waker().clone());
        }
        next
    }

    /// Ends listening without losing what is on the way.
    ///
    /// A plain UNSUB makes the NATS client drop what the server had sent before it read the
    /// UNSUB. An UNSUB after a number of messages does not: both sides end it at the same
    /// message. So the number is set beyond what is on the way, by what comes in a round trip, and
    /// messages to ourselves fill up to it. They have no reply subject: nobody takes them for
    /// packets.
    pub(crate) async fn stop(&self, nats: &Nats) -> Result<()> {
        self.lock().ending = true;
        if self.read_all().is_none() {
            return Ok(());
        }
        let connected = matches!(nats.state(), State::Connected { .. });
        if connected && self.fill(nats).await.is_ok() {
            return Ok(());
        }
        // We may not publish there, or the connection broke.
        self.unsubscribe();
        // Without a connection there is nobody to tell: it is not subscribed again.
        if connected { nats.round_trip().await } else { Ok(()) }
    }

    /// Ends it now; what was read or has arrived can still be read.
    pub(crate) fn unsubscribe(&self) {
        if self.read_all().is_some() {
            self.lock().end();
        }
    }

    async fn fill(&self, nats: &Nats) -> Result<()> {
        let Some(before) = self.read_all() else { return Ok(()) };
        nats.round_trip().await?;
        let Some(read) = self.read_all() else { return Ok(()) };
        let on_the_way = ((read - before) * ROUND_TRIPS).max(ON_THE_WAY);
        let limit = nats.options().connect_wait;
        tokio::time::timeout(limit, self.end_at(nats, read + on_the_way))
            .await
            .map_err(|_| Error::unavailable("the NATS connection takes nothing"))??;
        for _ in 0..on_the_way.div_ceil(FILL) {
            for _ in 0..FILL {
                nats.publish(&self.address, None, Bytes::new()).await?;
            }
            // All of them have arrived then.
            nats.round_trip().await?;
            if self.read_all().is_none() {
                return Ok(());
            }
        }
        Err(Error::unavailable(format!("messages of ours do not reach {}", self.address)))
    }

    /// Has both sides end the subscription after its message of this number.
    async fn end_at(&self, nats: &Nats, number: u64) -> Result<()> {
        loop {
            nats.ready().await?;
            let mut inner = self.lock();
            let Some(subscriber) = &mut inner.subscriber else { return Ok(()) };
            // Not waited for: the lock would be held.
            let asked = pin!(coop::unconstrained(subscriber.unsubscribe_after(number)));
            match asked.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => return Ok(()),
                Poll::Ready(Err(error)) => {
                    return Err(Error::unavailable("the NATS client is closed").with_source(error));
                }
                Poll::Pending => {}
            }
        }
    }

    /// Reads all that has arrived, for the receiver. How many messages were read since the
    /// beginning, or `None` if the subscription has ended.
    fn read_all(&self) -> Option<u64> {
        let mut inner = self.lock();
        let all = poll_fn(|cx| {
            loop {
                match inner.poll_subscriber(cx) {
                    Poll::Ready(Some(message)) => inner.waiting.push_back(message),
                    Poll::Ready(None) => return Poll::Ready(None::<u64>),
                    Poll::Pending => return Poll::Ready(Some(inner.read)),
                }
            }
        });
        let read =
            match pin!(coop::unconstrained(all)).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(read) => read,
                Poll::Pending => None,
            };
        // The waker of this poll stands where the receiver's was.
        inner.wake();
        read
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn poll_subscriber(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        while let Some(subscriber) = &mut self.subscriber {
            match Pin::new(subscriber).poll_next(cx) {
                Poll::Ready(Some(message)) => {
                    self.read += 1;
                    let ours = message.reply.is_none() && message.payload.is_empty();
                    if !(self.ending && ours) {
                        return Poll::Ready(Some(message));
                    }
                }
                Poll::Ready(None) => self.end(),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(None)
    }

    fn end(&mut self) {
        self.subscriber = None;
        self.claim = None;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            receiver.wake();
        }
    }
}
