//! One call, before it is awaited.

use std::borrow::Cow;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;

use micro_core::codec::Decode;
use micro_core::{Error, RequestState, Result};
use tokio::time::Instant;
use tracing::Instrument;

use super::{Filter, OutgoingCall};

/// A call that is sent when it is awaited.
///
/// # Errors
/// The other side's own error as it was, or one of ours; [`request`](micro_core::Error::request)
/// says what is known of the request. The kinds: `NotFound` (no such service or endpoint),
/// `Unavailable` (nobody there, or the network is away), `Timeout`, `TooLarge`, `InvalidInput`,
/// `UnsupportedMediaType`, `Overloaded`.
///
/// # Cancel safety
/// Dropping the future gives the call up: a request that was not sent will not be.
#[must_use = "a call is sent when it is awaited"]
pub struct Call<C, R> {
    pub(super) call: OutgoingCall,
    /// The request has no encoding.
    pub(super) flaw: Option<Error>,
    pub(super) types: PhantomData<fn() -> (C, R)>,
}

impl<C, R> Call<C, R> {
    /// How long the call may take, instead of the client's
    /// [`request_timeout`](super::ClientOptions::request_timeout). Inside of a handler the
    /// deadline of the call that it serves holds too.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.call.options.timeout = Some(timeout);
        self
    }

    /// How long one attempt may take; see
    /// [`attempt_timeout`](super::ClientOptions::attempt_timeout).
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.call.options.attempt_timeout = Some(timeout);
        self
    }

    /// How often it is tried again, where that is safe.
    pub fn retries(mut self, retries: usize) -> Self {
        self.call.options.retries = Some(retries);
        self
    }

    /// Running it twice does no harm: so it is tried again also when it is not known whether a
    /// node that went silent ran it.
    pub fn idempotent(mut self) -> Self {
        self.call.options.idempotent = true;
        self
    }

    /// Sent beside the body. A key that belongs to the wire is an error of the call.
    pub fn metadata(mut self, key: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        self.call.options.metadata.insert(key, value.into());
        self
    }

    /// Calls this address, and asks no registry.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.call.options.address = Some(address.into());
        self
    }

    /// Calls only nodes that pass this filter, and the client's own.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.call.add_filter(filter);
        self
    }

    /// The content type of the body, where the codec does not say the right one.
    pub fn content_type(mut self, content_type: impl Into<Cow<'static, str>>) -> Self {
        self.call.options.content_type = content_type.into();
        self
    }
}

impl<C, R> IntoFuture for Call<C, R>
where
    C: Decode<R>,
    R: 'static,
{
    type Output = Result<R>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<R>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let Self { mut call, flaw, .. } = self;
        let span = tracing::debug_span!("call", service = call.service, endpoint = call.endpoint);
        let calling = async move {
            if let Some(flaw) = flaw {
                return Err(flaw.with_request(RequestState::NotSent));
            }
            let reply = match call.client.call_stack() {
                Some(layers) => {
                    call.began = Some(Instant::now());
                    layers.run(call).await?
                }
                None => call.run().await?,
            };
            C::decode(reply.body).map_err(|error| {
                Error::internal(format!("the reply cannot be read: {error}"))
                    .with_request(RequestState::Executed)
            })
        };
        // Without a span there is nothing to enter and leave at each poll.
        match span.is_disabled() {
            true => Box::pin(calling),
            false => Box::pin(calling.instrument(span)),
        }
    }
}

impl<C, R> fmt::Debug for Call<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.call.service)
            .field("endpoint", &self.call.endpoint)
            .field("options", &self.call.options)
            .finish_non_exhaustive()
    }
}
