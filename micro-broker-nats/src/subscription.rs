//! The stream of events of one subscription.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use micro_core::broker::{Delivery, Message, SubscriptionStream};
use micro_core::wire::envelope;
use micro_core::{Error, ErrorKind, LogThrottle, Result, async_trait};
use micro_nats::{Nats, State};
use tokio_stream::Stream;

use crate::buffer::{Buffer, Item, Unread};
use crate::subjects::Subjects;

/// After so many messages that are no events somebody else may run.
const AT_ONCE: usize = 64;

/// The events of one subscription.
pub(crate) struct Deliveries {
    pub(crate) nats: Nats,
    pub(crate) subjects: Arc<Subjects>,
    /// What was subscribed to, for messages.
    pub(crate) topics: String,
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) garbage: Arc<LogThrottle>,
}

impl Deliveries {
    /// `None` if it is no event.
    fn delivery(&self, message: &Unread) -> Option<Delivery> {
        let topic = self.subjects.topic(&message.subject)?;
        match envelope::decode(&message.payload) {
            Ok((header, body)) => Some(Delivery::new(topic, Message::new(header, body))),
            Err(error) => {
                if let Some(dropped) = self.garbage.count() {
                    let subject = &*message.subject;
                    tracing::warn!(subject, dropped, %error, "a message that is no event was dropped");
                }
                None
            }
        }
    }

    async fn drain(&self) -> Result<()> {
        loop {
            self.nats.ready().await?;
            if self.buffer.drain() {
                break;
            }
        }
        self.nats.round_trip().await
    }
}

impl Stream for Deliveries {
    type Item = Result<Delivery>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        for _ in 0..AT_ONCE {
            match self.buffer.poll_next(cx) {
                Poll::Ready(Some(Item::Message(message))) => {
                    if let Some(delivery) = self.delivery(&message) {
                        return Poll::Ready(Some(Ok(delivery)));
                    }
                }
                Poll::Ready(Some(Item::Lost(events))) => {
                    let said = format!(
                        "{events} events for a subscriber of {} were lost: it reads too slowly",
                        self.topics
                    );
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::Overloaded, said))));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

#[async_trait]
impl SubscriptionStream for Deliveries {
    async fn close(self: Pin<&mut Self>) -> Result<()> {
        let told = if matches!(self.nats.state(), State::Connected { .. }) {
            let limit = self.nats.options().connect_wait;
            tokio::time::timeout(limit, self.drain()).await.unwrap_or_else(|_| {
                Err(Error::unavailable("the NATS server was not told that a subscription ended"))
            })
        } else {
            // Nobody is there to be told: it is not subscribed again.
            Ok(())
        };
        self.buffer.end();
        told
    }
}

impl fmt::Debug for Deliveries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deliveries").field("topics", &self.topics).finish_non_exhaustive()
    }
}
