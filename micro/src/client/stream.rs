//! One stream, before it is opened.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use micro_core::codec::{self, Codec, Decode, Encode};
use micro_core::wire::{Outgoing, Reply};
use micro_core::{Error, ErrorKind, Header, RequestState, Result};
use tokio::time::{Instant, timeout_at};

use super::run::{Attempt, Failure, not_sent, where_from};
use super::target::Target;
use super::{Filter, OutgoingCall};
use crate::clock::in_millis;
use crate::hub::{Opening, StreamTimes, lock};
use crate::stream::{Bidirectional, ClientStream, End, Receiver, Sender};

/// A stream that is opened by saying its shape.
///
/// ```no_run
/// # async fn example(client: micro::Client) -> micro::Result<()> {
/// let mut chat = client
///     .stream("echo", "Echo.Chat")
///     .metadata("tenant", "blue")
///     .bidirectional::<str, String>()
///     .await?;
/// chat.send("Bob").await?;
/// println!("{:?}", chat.recv().await?);
/// # Ok(()) }
/// ```
///
/// Opening waits until the service has answered something, within the client's
/// [`request_timeout`](super::ClientOptions::request_timeout): a node at which nobody listens is no
/// error, the next one is tried. Its errors are those of a [`Call`](super::Call) that was not sent.
/// What the handler says, also that there is none, comes with the messages.
#[must_use = "a stream is opened by saying its shape"]
pub struct OpenStream<C> {
    pub(super) call: OutgoingCall,
    pub(super) idle: Option<Duration>,
    pub(super) codec: PhantomData<fn() -> C>,
}

impl<C: Codec> OpenStream<C> {
    /// How long the whole stream may take; by default as long as it likes. Inside of a handler the
    /// deadline of the call that it serves holds too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.options.timeout = Some(timeout);
        self
    }

    /// How long the stream may be without a message, either way; see
    /// [`stream_idle`](super::ClientOptions::stream_idle).
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(idle);
        self
    }

    /// Sent with the opening. A key that belongs to the wire is an error.
    pub fn metadata(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.call.options.metadata.insert(key, value.into());
        self
    }

    /// Opens it at this address, and asks no registry.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.call.options.address = Some(address.into());
        self
    }

    /// Opens it only at nodes that pass this filter, and the client's own.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.call.add_filter(filter);
        self
    }

    /// The content type of the messages, where the codec does not say the right one.
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.call.options.content_type = content_type.into();
        self
    }

    /// With messages of this codec instead of JSON.
    pub fn codec<D: Codec>(mut self) -> OpenStream<D> {
        self.call.options.content_type = D::CONTENT_TYPE.into();
        OpenStream { call: self.call, idle: self.idle, codec: PhantomData }
    }

    /// Sends one request, and receives any number of replies.
    ///
    /// # Errors
    /// See [`OpenStream`].
    pub async fn server_streaming<Q, R>(mut self, request: &Q) -> Result<Receiver<R>>
    where
        C: Encode<Q> + Decode<R>,
        Q: ?Sized,
    {
        self.call.body = C::encode(request).map_err(not_sent)?;
        let (end, content_type) = self.open(true).await?;
        Ok(Receiver::new::<C>(end, content_type))
    }

    /// Sends any number of requests, and receives one reply.
    ///
    /// # Errors
    /// See [`OpenStream`].
    pub async fn client_streaming<Q, R>(self) -> Result<ClientStream<Q, R>>
    where
        C: Encode<Q> + Decode<R>,
        Q: ?Sized,
    {
        let (sender, receiver) = self.both().await?;
        Ok(ClientStream::new(sender, receiver))
    }

    /// Sends and receives any number of messages.
    ///
    /// # Errors
    /// See [`OpenStream`].
    pub async fn bidirectional<Q, R>(self) -> Result<Bidirectional<Q, R>>
    where
        C: Encode<Q> + Decode<R>,
        Q: ?Sized,
    {
        let (sender, receiver) = self.both().await?;
        Ok(Bidirectional::new(sender, receiver))
    }

    async fn both<Q, R>(self) -> Result<(Sender<Q>, Receiver<R>)>
    where
        C: Encode<Q> + Decode<R>,
        Q: ?Sized,
    {
        let (end, content_type) = self.open(false).await?;
        let sender = Sender::new::<C>(end.clone(), content_type.clone());
        Ok((sender, Receiver::new::<C>(end, content_type)))
    }

    /// `only`: the body is the only message that we send.
    async fn open(self, only: bool) -> Result<(Arc<End>, Cow<'static, str>)> {
        let Self { mut call, idle, .. } = self;
        let slot = Arc::new(Slot { only, idle, opened: Mutex::default() });
        call.opens = Some(slot.clone());
        let content_type = call.options.content_type.clone();
        match call.client.call_stack() {
            Some(layers) => {
                call.began = Some(Instant::now());
                layers.run(call).await?;
            }
            None => {
                call.open().await?;
            }
        }
        let opened = lock(&slot.opened).take();
        let opened = opened.ok_or_else(|| {
            let detail = "a layer answered in place of the service, which a stream cannot take";
            Error::unsupported(detail).with_request(RequestState::NotSent)
        })?;
        Ok((opened, content_type))
    }
}

/// What makes a call the opening of a stream, and where the stream is put then.
pub(super) struct Slot {
    only: bool,
    idle: Option<Duration>,
    opened: Mutex<Option<Arc<End>>>,
}

impl OutgoingCall {
    /// Opens the stream at a node where somebody is.
    pub(super) async fn open(&self) -> Result<Reply> {
        let Some(slot) = &self.opens else {
            return Err(Error::internal("this call opens no stream"));
        };
        let client = &self.client;
        let now = Instant::now();
        let began = self.began.unwrap_or(now);
        // However long the stream may be, its opening is as a call.
        let most = client.inner.options.request_timeout;
        let limit = client.limit(began, self.options.timeout.map(|timeout| timeout.min(most)));
        let end = self.run_as(&OpensStream { slot, began }, limit).await?;
        *lock(&slot.opened) = Some(end);
        Ok(Reply::new("", Bytes::new()))
    }
}

/// Attempts to open a stream.
struct OpensStream<'a> {
    slot: &'a Slot,
    began: Instant,
}

impl Attempt for OpensStream<'_> {
    type Output = Arc<End>;

    async fn attempt(
        &self,
        call: &OutgoingCall,
        target: &Target<'_>,
        metadata: &Header,
        now: Instant,
        limit: Instant,
    ) -> Result<Arc<End>, Failure> {
        let inner = &*call.client.inner;
        let options = &inner.options;
        let load = target.begin();
        let lease = call.dial(target, now, limit).await?;
        let deadline = call.client.stream_deadline(self.began, call.options.timeout);
        let content_type = &*call.options.content_type;
        let opening = Opening {
            inbox: options.stream_limits.inbox(usize::MAX),
            times: StreamTimes {
                deadline,
                idle: self.slot.idle.or(options.stream_idle),
                keepalive: options.keepalive(),
            },
            wait: options.connect_wait,
        };
        let outgoing = Outgoing {
            service: &call.service,
            endpoint: &call.endpoint,
            content_type,
            timeout: deadline.map(|at| at.saturating_duration_since(Instant::now())),
            metadata,
            body: if content_type == codec::JSON { b"{}" } else { b"" },
        };
        let only = self.slot.only.then_some(&*call.body);
        let (half, opened) =
            lease.conn.open(&lease.hub, &outgoing, only, &opening).map_err(not_sent)?;
        let (hub, conn) = (lease.hub.clone(), lease.conn.clone());
        // The client too: whoever has the stream need not hold it.
        let end = End::opened(half, (lease, load, call.client.clone()));
        hub.send(&conn);
        match timeout_at(limit, opened).await {
            Ok(Ok(Ok(()))) => Ok(end),
            // It is told with the messages.
            Ok(Ok(Err(error))) if error.request() == Some(RequestState::Executed) => Ok(end),
            Ok(Ok(Err(error))) if error.kind() == ErrorKind::Unavailable => {
                Err(where_from(&call.service, conn.peer.remote(), error))
            }
            Ok(Ok(Err(error))) => Err(error.into()),
            Ok(Err(_)) => {
                let closed = Error::unavailable("the client was closed");
                Err(closed.with_request(RequestState::Unknown).into())
            }
            Err(_) => {
                let waited = in_millis(limit.saturating_duration_since(now));
                let detail =
                    format!("no sign of {} of {} within {waited:?}", call.endpoint, call.service);
                Err(Error::timeout(detail).with_request(RequestState::Unknown).into())
            }
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("only", &self.only).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for OpenStream<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").field("call", &self.call).finish_non_exhaustive()
    }
}
