//! The handle to a connection, and what can be done with it.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_nats::{Client, PublishError, PublishErrorKind, Subject, SubscribeErrorKind, Subscriber};
use bytes::Bytes;
use futures_util::{Sink, StreamExt};
use micro_core::transport::Refused;
use micro_core::{Error, RequestState, Result};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::{Addresses, NatsOptions};

/// A handle to one connection to NATS. Cheap to clone; all clones are the same connection.
///
/// * **Lazy.** Making one does no I/O. The first use connects in the background, in the runtime
///   of the caller, and the connection lives as long as this runtime.
/// * **For ever.** It need not be there at first, and may go away for any time: the connection is
///   made again, with random pauses of at most 1 s between attempts, and every subscription is
///   live again with it.
/// * **Bounded.** Whatever waits for NATS waits at most
///   [`connect_wait`](NatsOptions::connect_wait), but for [`ready`](Self::ready), which is its
///   caller's to limit.
/// * **At most once.** What was on its way when the connection was lost may be lost with it.
/// * **Drop.** The connection ends with the last handle, [`Client`] and [`Subscriber`] of it; what
///   was published but not written is lost then, unless [`close`](Self::close) was called. What is
///   dropped while NATS is away ends when NATS is back.
#[derive(Clone)]
pub struct Nats(Arc<Connection>);

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nothing has used it yet.
    Idle,
    /// It has never been connected and tries to be.
    Connecting,
    /// It is connected.
    Connected {
        /// Which connection it is: 1 for the first, growing with every one that is made.
        epoch: u64,
    },
    /// It was connected and tries to be again.
    Disconnected,
    /// It was closed, or the runtime that it lived in has ended. It stays so.
    Closed,
}

impl Nats {
    /// A connection to the NATS at these addresses, each of which may be a comma-separated list
    /// (see [`Addresses`]); none means 127.0.0.1:4222. No I/O.
    ///
    /// # Errors
    /// `InvalidInput`, naming the address that is none.
    pub fn new<I>(addresses: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let addresses = Addresses::parse(addresses)?;
        Self::with_options(NatsOptions::default().with_addresses(addresses))
    }

    /// A connection with these options. No I/O.
    ///
    /// # Errors
    /// `InvalidInput`, naming the option.
    pub fn with_options(options: NatsOptions) -> Result<Self> {
        Ok(Self(Arc::new(Connection::new(options)?)))
    }

    /// The options that it was made with.
    pub fn options(&self) -> &NatsOptions {
        self.0.options()
    }

    /// Where NATS is: a comma-separated list, for messages; no secrets.
    pub fn addresses(&self) -> &str {
        self.0.addresses()
    }

    /// The client of the connection; starts to connect if nothing has yet. Never waits.
    ///
    /// # Errors
    /// `Unavailable` once it is closed, `InvalidInput` if the credentials file cannot be read,
    /// `Internal` outside of a Tokio runtime.
    pub fn client(&self) -> Result<Client> {
        Connection::client(&self.0).cloned()
    }

    /// How the connection is now.
    pub fn state(&self) -> State {
        self.0.state()
    }

    /// How the connection is, and every change of it; quick changes may be seen as one. It may
    /// tell a change a moment before or after [`state`](Self::state) does.
    pub fn states(&self) -> watch::Receiver<State> {
        self.0.states()
    }

    /// `Ok` if it is connected, otherwise why it is not. Does not connect.
    ///
    /// # Errors
    /// `Unavailable`, naming the addresses and the last reason.
    pub fn health(&self) -> Result<()> {
        self.0.health()
    }

    /// Waits until it is connected. Cancel safe.
    ///
    /// # Errors
    /// That of [`client`](Self::client); that of [`health`](Self::health) after
    /// [`connect_wait`](NatsOptions::connect_wait).
    pub async fn connected(&self) -> Result<()> {
        self.bounded(async { self.online().await.map(drop) }).await
    }

    /// The largest payload in bytes that the server takes; 1 MiB before it is first connected.
    pub fn max_payload(&self) -> usize {
        self.0.max_payload()
    }

    /// How many messages came for subscriptions whose readers were too slow, and were lost; at
    /// least so many.
    pub fn dropped_messages(&self) -> u64 {
        self.0.dropped_messages()
    }

    /// A subject of its own below [`inbox_prefix`](NatsOptions::inbox_prefix). No I/O.
    pub fn new_inbox(&self) -> String {
        format!("{}.{}", self.options().inbox_prefix, unique())
    }

    /// Subscribes, with the members of a queue group or alone. It need not be connected: the
    /// subscription is live when it is, and again after every reconnect. Cancel safe: given up, it
    /// is no subscription.
    ///
    /// # Errors
    /// `InvalidInput` for what is no subject or queue group; `Unavailable` if the client took no
    /// more commands for [`connect_wait`](NatsOptions::connect_wait).
    pub async fn subscribe(&self, subject: &str, queue: Option<&str>) -> Result<Subscriber> {
        let client = self.client()?;
        let done = self.bounded(async {
            let done = match queue {
                Some(queue) => {
                    client.queue_subscribe(Subject::from(subject), queue.to_owned()).await
                }
                None => client.subscribe(Subject::from(subject)).await,
            };
            done.map_err(|error| match error.kind() {
                SubscribeErrorKind::InvalidSubject => {
                    Error::invalid_input(format!("{subject:?} is no subject to subscribe to"))
                }
                SubscribeErrorKind::InvalidQueueName => {
                    let queue = queue.unwrap_or_default();
                    Error::invalid_input(format!("{queue:?} is no name of a queue group"))
                }
                SubscribeErrorKind::Other => self.0.ended().with_source(error),
            })
        });
        done.await
    }

    /// Publishes; `Ok` means that it will be written to the connection, in this order. Waits for
    /// the connection and for room, together at most
    /// [`connect_wait`](NatsOptions::connect_wait). Cancel safe: given up, it was not published.
    ///
    /// # Errors
    /// `TooLarge` with both sizes, `InvalidInput` for what is no subject, `Unavailable`. With each
    /// of them nothing was sent.
    pub async fn publish(&self, subject: &str, reply: Option<&str>, payload: Bytes) -> Result<()> {
        let size = payload.len();
        let done = self.bounded(async {
            let client = self.online().await?;
            publish(client, subject.into(), reply.map(Subject::from), payload).await.map_err(
                |error| match error.kind() {
                    PublishErrorKind::MaxPayloadExceeded => {
                        Error::too_large("a message", size, self.max_payload())
                    }
                    PublishErrorKind::InvalidSubject => Error::invalid_input(format!(
                        "{subject:?} or {:?} is no subject to publish to",
                        reply.unwrap_or_default()
                    )),
                    PublishErrorKind::Send => self.0.ended().with_source(error),
                },
            )
        });
        done.await.map_err(|error| error.with_request(RequestState::NotSent))
    }

    /// Publishes at once or hands the payload back; never waits. From one thread, messages leave
    /// in the order in which they were taken.
    ///
    /// # Errors
    /// `Full` while there is no room or no connection: wait for [`ready`](Self::ready).
    /// `TooLarge`: over [`max_payload`](Self::max_payload). `Closed`: the connection is closed, or
    /// a subject is none.
    pub fn try_publish(
        &self,
        subject: Subject,
        reply: Option<Subject>,
        payload: Bytes,
    ) -> Result<(), Refused> {
        let Ok(client) = Connection::client(&self.0) else { return Err(Refused::Closed(payload)) };
        // The client itself would take it into its queue, out of which nobody gets it again.
        if !self.0.is_connected() {
            return Err(Refused::Full(payload));
        }
        if payload.len() > client.max_payload() {
            return Err(Refused::TooLarge(payload));
        }
        let publish = pin!(publish(client, subject, reply, payload.clone()));
        // A budget that is used up would look like a queue that is full.
        let publish = pin!(tokio::task::coop::unconstrained(publish));
        match publish.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Pending => Err(Refused::Full(payload)),
            Poll::Ready(Err(error)) => Err(match error.kind() {
                PublishErrorKind::MaxPayloadExceeded => Refused::TooLarge(payload),
                PublishErrorKind::InvalidSubject => Refused::Closed(payload),
                PublishErrorKind::Send => {
                    self.0.ended();
                    Refused::Closed(payload)
                }
            }),
        }
    }

    /// Waits, without a limit of its own, until it is connected and has room: another
    /// [`try_publish`](Self::try_publish) is worth it. Reserves nothing. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` once it is closed; that of [`client`](Self::client).
    pub async fn ready(&self) -> Result<()> {
        // A clone, because waiting for room takes `&mut`; dropped, it gives the room back.
        let mut client = self.online().await?.clone();
        let room = poll_fn(|cx| Pin::new(&mut client).poll_ready(cx)).await;
        room.map_err(|error| self.0.ended().with_source(error))
    }

    /// Waits until everything that was published has left the process.
    ///
    /// # Errors
    /// `Unavailable` after [`connect_wait`](NatsOptions::connect_wait).
    pub async fn flush(&self) -> Result<()> {
        if self.state() == State::Idle {
            // Nothing was ever sent.
            return Ok(());
        }
        let client = self.client()?;
        let flush = async { client.flush().await.map_err(|e| self.0.ended().with_source(e)) };
        self.bounded(flush).await
    }

    /// Waits until the server has processed everything that was sent before, subscriptions too.
    /// If the connection is lost meanwhile, that of the next one: subscriptions are live then,
    /// but what was on its way may be lost.
    ///
    /// It sends a message to an inbox of its own, so the account must be allowed to use
    /// [`inbox_prefix`](NatsOptions::inbox_prefix).
    ///
    /// # Errors
    /// `Unavailable` after [`connect_wait`](NatsOptions::connect_wait).
    pub async fn round_trip(&self) -> Result<()> {
        self.bounded(async {
            let inbox = self.new_inbox();
            let mut echoes = self.subscribe(&inbox, None).await?;
            loop {
                let client = self.online().await?;
                let epoch = self.0.epoch();
                let sent = publish(client, inbox.as_str().into(), None, Bytes::new()).await;
                sent.map_err(|error| self.0.ended().with_source(error))?;
                while epoch == self.0.epoch() {
                    match timeout(Duration::from_millis(100), echoes.next()).await {
                        Ok(Some(_)) => return Ok(()),
                        Ok(None) => return Err(self.0.ended()),
                        Err(_) => {}
                    }
                }
            }
        })
        .await
    }

    /// Ends the connection for every handle: waits until everything that was published has
    /// reached the server, ends all subscriptions, and waits for the end. What was never used is
    /// just closed; closing again is fine.
    ///
    /// # Errors
    /// `Unavailable` if that took longer than [`connect_wait`](NatsOptions::connect_wait); it is
    /// closed all the same, and what waited may be lost.
    pub async fn close(&self) -> Result<()> {
        let done = self.bounded(async {
            let _closing = self.0.closing().lock().await;
            let (Some(client), false) = (self.0.started(), self.state() == State::Closed) else {
                return Ok(());
            };
            self.round_trip().await?;
            // It says nothing when it is done: then it takes no more.
            let _ = client.drain().await;
            while client.flush().await.is_ok() {
                tokio::task::yield_now().await;
            }
            Ok(())
        });
        let done = done.await;
        if let (true, Some(client)) = (done.is_err(), self.0.started()) {
            // Away: it ends as soon as NATS is back. Without room for that there is no hope.
            let _ = timeout(Duration::from_millis(100), client.drain()).await;
        }
        self.0.ended();
        done
    }

    /// The client once it is connected; not bounded.
    async fn online(&self) -> Result<&Client> {
        let client = Connection::client(&self.0)?;
        let mut states = self.states();
        let mut pause = Duration::from_millis(1);
        loop {
            if *states.borrow_and_update() == State::Closed {
                return Err(self.0.ended());
            }
            if self.0.is_connected() {
                return Ok(client);
            }
            // What the watch tells and what the client does are not set at one moment.
            let _ = timeout(pause, states.changed()).await;
            pause = (pause * 2).min(Duration::from_millis(250));
            if is_over(client) {
                return Err(self.0.ended());
            }
        }
    }

    async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let wait = self.options().connect_wait;
        timeout(wait, work).await.unwrap_or_else(|_| {
            self.health()?;
            let addresses = self.addresses();
            Err(Error::unavailable(format!(
                "NATS at {addresses} is connected, but did not do it within {wait:?}"
            )))
        })
    }
}

/// Handles go where they are needed.
const _: () = {
    const fn is_shared<T: Send + Sync>() {}
    is_shared::<Nats>();
};

impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nats")
            .field("addresses", &self.addresses())
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

async fn publish(
    client: &Client,
    subject: Subject,
    reply: Option<Subject>,
    payload: Bytes,
) -> Result<(), PublishError> {
    match reply {
        Some(reply) => client.publish_with_reply(subject, reply, payload).await,
        None => client.publish(subject, payload).await,
    }
}

/// Whether the task behind the client has ended, with its runtime for instance.
fn is_over(client: &Client) -> bool {
    let mut client = client.clone();
    let room = Pin::new(&mut client).poll_ready(&mut Context::from_waker(Waker::noop()));
    matches!(room, Poll::Ready(Err(_)))
}

/// 22 letters and digits that nobody else makes.
fn unique() -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number = uuid::Uuid::new_v4().as_u128();
    let mut text = String::with_capacity(22);
    for _ in 0..22 {
        // The remainder is below 62, so it fits and is an index.
        text.push(char::from(DIGITS[(number % 62) as usize]));
        number /= 62;
    }
    text
}
