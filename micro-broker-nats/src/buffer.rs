//! What a subscription holds that nobody has read yet.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use micro_nats::async_nats::{Message, Subscriber};
use tokio::task::coop;
use tokio_stream::Stream;

/// The NATS client's own queue loses what does not fit and does not say how much. So it is emptied
/// into this one, which is bounded too, and counts: by the reader when it reads, and by the
/// keeper while nobody reads.
#[derive(Debug)]
pub(crate) struct Buffer {
    max_events: usize,
    max_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// `None` once nothing more comes.
    subscriber: Option<Subscriber>,
    items: VecDeque<Item>,
    /// How many of the items are messages, and how large they are.
    events: usize,
    bytes: usize,
    reader: Option<Waker>,
}

/// What is read, in its order.
#[derive(Debug)]
pub(crate) enum Item {
    Message(Unread),
    /// So many were lost here.
    Lost(u64),
}

/// What is kept of a message: a copy, since as received it is a slice of the connection's read
/// buffer, which would be kept whole.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) subject: Box<str>,
    pub(crate) payload: Bytes,
}

impl Buffer {
    pub(crate) fn new(subscriber: Subscriber, max_events: usize, max_bytes: usize) -> Self {
        let inner = Inner {
            subscriber: Some(subscriber),
            items: VecDeque::new(),
            events: 0,
            bytes: 0,
            reader: None,
        };
        // Without room for one event nothing would ever be read.
        Self { max_events: max_events.max(1), max_bytes, inner: Mutex::new(inner) }
    }

    /// The next item; `Ready(None)` when nothing more comes.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Item>> {
        // A reader that always finds something lets others run too.
        ready!(pin!(coop::consume_budget()).poll(cx));
        let mut inner = self.lock();
        // First what came meanwhile: it counts before there is room again. As long as there is
        // something to read, nobody has to be woken for more.
        if inner.items.is_empty() {
            self.fill(&mut inner, cx);
        } else {
            self.fill(&mut inner, &mut Context::from_waker(Waker::noop()));
        }
        match inner.take() {
            Some(item) => Poll::Ready(Some(item)),
            None if inner.subscriber.is_none() => Poll::Ready(None),
            None => {
                if !inner.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    inner.reader = Some(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }

    /// Takes over what has come, for a reader that does not read now.
    pub(crate) fn keep(&self) {
        let mut inner = self.lock();
        // With the reader's own waker, for the poll puts the one that it is given in its place.
        let reader = inner.reader.take();
        let mut cx = Context::from_waker(reader.as_ref().unwrap_or(Waker::noop()));
        self.fill(&mut inner, &mut cx);
        if inner.items.is_empty() && inner.subscriber.is_some() {
            inner.reader = reader;
        } else if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Asks the NATS client to end the subscription, without waiting; false if it has no room for
    /// that now.
    pub(crate) fn drain(&self) -> bool {
        let mut inner = self.lock();
        let Some(subscriber) = &mut inner.subscriber else { return true };
        let drained = pin!(coop::unconstrained(subscriber.drain()));
        drained.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Nothing more comes; what has come can still be read.
    pub(crate) fn end(&self) {
        self.keep();
        let mut inner = self.lock();
        inner.subscriber = None;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// All that there is, whatever the budget of the task: a part of it would make room for what
    /// comes later.
    fn fill(&self, inner: &mut Inner, cx: &mut Context<'_>) {
        let all = poll_fn(|cx| {
            while let Some(subscriber) = &mut inner.subscriber {
                match Pin::new(subscriber).poll_next(cx) {
                    Poll::Ready(Some(message)) => self.add(inner, &message),
                    Poll::Ready(None) => inner.subscriber = None,
                    Poll::Pending => break,
                }
            }
            Poll::Ready(())
        });
        let _ = pin!(coop::unconstrained(all)).poll(cx);
    }

    fn add(&self, inner: &mut Inner, message: &Message) {
        let size = message.payload.len();
        // One that is larger than all others together may be is not lost for ever.
        let room = inner.events < self.max_events
            && (inner.bytes + size <= self.max_bytes || inner.events == 0);
        if room {
            inner.events += 1;
            inner.bytes += size;
            inner.items.push_back(Item::Message(Unread {
                subject: message.subject.as_str().into(),
                payload: Bytes::copy_from_slice(&message.payload),
            }));
        } else if let Some(Item::Lost(lost)) = inner.items.back_mut() {
            *lost += 1;
        } else {
            inner.items.push_back(Item::Lost(1));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn take(&mut self) -> Option<Item> {
        let item = self.items.pop_front()?;
        if let Item::Message(message) = &item {
            self.events -= 1;
            self.bytes -= message.payload.len();
        }
        Some(item)
    }
}
