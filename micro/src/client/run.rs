//! How a call is carried out: node after node, until one answers or there is no use in trying.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::ServiceName;
use micro_core::wire::{Outgoing, Reply};
use micro_core::{Error, ErrorKind, Header, RequestState, Result};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::OutgoingCall;
use super::nodes::Nodes;
use super::pool::Lease;
use super::select::{Failed, pick};
use super::target::Target;
use crate::clock::{NEVER, after, in_millis};
use crate::hub::Limit;

impl OutgoingCall {
    /// Makes the call, or opens the stream.
    pub(super) async fn run(&self) -> Result<Reply> {
        if self.opens.is_some() {
            // Boxed, so that the usual call is small.
            return Box::pin(self.open()).await;
        }
        let began = self.began.unwrap_or_else(Instant::now);
        self.run_as(&Calls, self.client.limit(began, self.options.timeout)).await
    }

    /// Tries nodes until one answers, as far as that is safe and there is time.
    pub(super) async fn run_as<A: Attempt>(&self, how: &A, deadline: Instant) -> Result<A::Output> {
        let mut left = false;
        self.tried(how, deadline, &mut left).await.map_err(|error| match error.request() {
            // Only of the last attempt: an earlier one may have been run.
            Some(RequestState::NotSent) if left => error.with_request(RequestState::Unknown),
            _ => error,
        })
    }

    /// `left`: set when a request may have reached a node.
    async fn tried<A: Attempt>(
        &self,
        how: &A,
        deadline: Instant,
        left: &mut bool,
    ) -> Result<A::Output> {
        let (client, options) = (&self.client, &self.options);
        let inner = &*client.inner;
        let mut now = Instant::now();
        let merged;
        let metadata = match &client.inherited {
            Some(inherited) => {
                merged = merge(&inherited.metadata, &options.metadata);
                &merged
            }
            None => &options.metadata,
        };
        let retries = options.retries.unwrap_or(inner.options.retries);
        let (mut attempts, mut failed, mut last) = (0, Failed::new(), None);
        let mut backoff = Backoff::new();
        loop {
            if now >= deadline {
                return Err(last.unwrap_or_else(|| self.no_time()));
            }
            let target = self.target(&failed, &mut now, deadline).await?;
            if attempts > 0 && target.has_failed(&failed) {
                // Another node is tried at once, one that failed only after a pause.
                sleep_until(deadline.min(after(backoff.next()))).await;
                now = Instant::now();
                if now >= deadline {
                    return Err(last.unwrap_or_else(|| self.no_time()));
                }
            }
            // Only what may be tried again has attempts; the last one has all the time.
            let limit = match options.idempotent && attempts < retries {
                true => deadline.min(now + self.attempt_limit(now, deadline)),
                false => deadline,
            };
            let failure = match how.attempt(self, &target, metadata, now, limit).await {
                Ok(reply) => {
                    target.trust();
                    return Ok(reply);
                }
                Err(failure) => failure,
            };
            let Failure { error, nobody } = failure;
            let unanswered = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
                && error.request() != Some(RequestState::Executed);
            if unanswered {
                target.avoid();
            }
            let not_sent = error.request() == Some(RequestState::NotSent);
            // Too much waits for that node here; another one may have room.
            let refused = not_sent && error.kind() == ErrorKind::Overloaded;
            let again = refused || (unanswered && (not_sent || options.idempotent));
            if !again || attempts >= retries {
                return Err(error);
            }
            let (service, endpoint, node) = (&self.service, &self.endpoint, target.id());
            tracing::debug!(service, endpoint, node, %error, "trying again");
            last = Some(error);
            *left |= !not_sent;
            // Where nobody listens costs nothing but a moment: there may be many such nodes, as
            // when a zone is gone, before one at which somebody does.
            if !nobody || target.has_failed(&failed) {
                attempts += 1;
            }
            target.note(&mut failed);
            now = Instant::now();
        }
    }

    fn no_time(&self) -> Error {
        let detail = format!("no time was left to call {} of {}", self.endpoint, self.service);
        not_sent(Error::timeout(detail))
    }

    fn attempt_limit(&self, now: Instant, deadline: Instant) -> Duration {
        let given = self.options.attempt_timeout.or(self.client.inner.options.attempt_timeout);
        given.map(|given| given.min(NEVER)).unwrap_or_else(|| {
            let whole = deadline.saturating_duration_since(now);
            (whole / 3).min(Duration::from_secs(1))
        })
    }

    /// The node to try next. `now` is what it was when this began, and is when it ends.
    async fn target(
        &self,
        failed: &Failed,
        now: &mut Instant,
        deadline: Instant,
    ) -> Result<Target<'_>> {
        let inner = &*self.client.inner;
        if let Some(address) = &self.options.address {
            return Ok(Target::Address(address));
        }
        let nodes = match inner.cache.known(&self.service) {
            Some(known) => known,
            // Boxed, so that the usual call is small.
            None => {
                let found = Box::pin(self.find(*now, deadline)).await?;
                *now = Instant::now();
                found
            }
        };
        let filters = [inner.options.filter.as_ref(), self.options.filter.as_ref()];
        match pick(&nodes, inner.options.strategy, filters, failed) {
            Some(node) => Ok(Target::Node(node)),
            None => Err(not_sent(nodes.nobody(&inner.own))),
        }
    }

    async fn find(&self, now: Instant, deadline: Instant) -> Result<Arc<Nodes>> {
        let inner = &*self.client.inner;
        let name = ServiceName::new(self.service.as_str()).map_err(not_sent)?;
        match timeout_at(self.connect_deadline(now, deadline), inner.cache.find(&name)).await {
            Ok(found) => found.map_err(not_sent),
            Err(_) => {
                let late = || Error::timeout(format!("no answer about service {name} in time"));
                Err(not_sent(inner.registry.health().err().unwrap_or_else(late)))
            }
        }
    }

    /// One request to one node, and its answer.
    async fn ask(
        &self,
        target: &Target<'_>,
        metadata: &Header,
        mut now: Instant,
        limit: Instant,
    ) -> Result<Reply, Failure> {
        let mut call = Outgoing {
            service: &self.service,
            endpoint: &self.endpoint,
            content_type: &self.options.content_type,
            timeout: Some(limit.saturating_duration_since(now)),
            metadata,
            body: &self.body,
        };
        let limits = Limit { answer: limit, taken: self.connect_deadline(now, limit) };
        let _load = target.begin();
        let mut lease = target.lease(&call);
        let (pending, lease, in_flight) = loop {
            let lease = match lease.take() {
                Some(lease) => lease,
                None => {
                    let lease = Box::pin(self.lease(target, now, limit)).await?;
                    now = Instant::now();
                    // Less than before, if the network was waited for.
                    call.timeout = Some(limit.saturating_duration_since(now));
                    lease
                }
            };
            let in_flight = lease.hub.begin();
            // A session that cannot be used any more is dialled anew.
            if let Some(pending) = lease.conn.call(&lease.hub, &call, now, limits) {
                break (pending?, lease, in_flight);
            }
            now = Instant::now();
        };
        lease.hub.send(&lease.conn);
        let answer = pending.answer().await;
        drop(in_flight);
        let (service, endpoint) = (call.service, call.endpoint);
        match answer {
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable && error.code() == 503 => {
                Err(where_from(service, lease.conn.peer.remote(), error))
            }
            Ok(reply) => Ok(reply?),
            Err(RequestState::NotSent) => Err(not_sent(self.no_room()).into()),
            Err(state) => {
                let waited = in_millis(call.timeout.unwrap_or_default());
                let detail = format!("no answer from {endpoint} of {service} within {waited:?}");
                Err(Error::timeout(detail).with_request(state).into())
            }
        }
    }

    /// The session with that node, on a network that is there.
    async fn lease(&self, target: &Target<'_>, now: Instant, limit: Instant) -> Result<Arc<Lease>> {
        let inner = &*self.client.inner;
        let wait = self.connect_deadline(now, limit);
        let opened = inner.pool.lease(target.address(), &self.options.content_type);
        let lease = Arc::new(self.leased(target, opened, wait).await?);
        target.keep(&lease);
        Ok(lease)
    }

    /// A session with that node for a stream, on a network that is there.
    pub(super) async fn dial(
        &self,
        target: &Target<'_>,
        now: Instant,
        limit: Instant,
    ) -> Result<Lease> {
        let dialled = self.client.inner.pool.dial(target.address());
        self.leased(target, dialled, self.connect_deadline(now, limit)).await
    }

    async fn leased(
        &self,
        target: &Target<'_>,
        opened: impl Future<Output = Result<Lease>>,
        wait: Instant,
    ) -> Result<Lease> {
        let opened = timeout_at(wait, opened).await;
        let opened = opened.unwrap_or_else(|_| Err(self.no_room()));
        let lease = opened.map_err(|error| not_sent(target.blame(error)))?;
        if self.client.inner.transport.health().is_err() {
            // Waited for once: if it is not there by then, no other node is either.
            let ready = timeout_at(wait, lease.conn.peer.ready()).await;
            ready.unwrap_or_else(|_| Err(self.no_room())).map_err(not_sent)?;
        }
        Ok(lease)
    }

    fn no_room(&self) -> Error {
        let no_room = || Error::unavailable("the transport has no room");
        self.client.inner.transport.health().err().unwrap_or_else(no_room)
    }

    fn connect_deadline(&self, now: Instant, deadline: Instant) -> Instant {
        deadline.min(now + self.client.inner.options.connect_wait.min(NEVER))
    }
}

/// What is tried at one node after the other.
pub(super) trait Attempt {
    /// What comes of it.
    type Output;

    /// Tries it at this node. `now` is when it begins, `limit` when it ends.
    fn attempt(
        &self,
        call: &OutgoingCall,
        target: &Target<'_>,
        metadata: &Header,
        now: Instant,
        limit: Instant,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// Attempts at a call.
struct Calls;

impl Attempt for Calls {
    type Output = Reply;

    fn attempt(
        &self,
        call: &OutgoingCall,
        target: &Target<'_>,
        metadata: &Header,
        now: Instant,
        limit: Instant,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send {
        call.ask(target, metadata, now, limit)
    }
}

/// Why an attempt failed.
pub(super) struct Failure {
    error: Error,
    /// Nobody listens there.
    nobody: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { error, nobody: false }
    }
}

pub(super) fn not_sent(error: Error) -> Error {
    error.with_request(RequestState::NotSent)
}

/// An error of ours about a node says which.
pub(super) fn where_from(service: &str, address: &str, error: Error) -> Failure {
    match error.request() {
        Some(state @ (RequestState::NotSent | RequestState::Unknown)) => {
            let detail = format!("{service} at {address}: {error}");
            let error = Error::unavailable(detail).with_request(state);
            Failure { error, nobody: state == RequestState::NotSent }
        }
        _ => error.into(),
    }
}

/// What is inherited, and what the call itself says, which counts more.
fn merge(inherited: &Header, own: &Header) -> Header {
    let mut merged = inherited.clone();
    merged.extend(own.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    merged
}

/// Exponential with full jitter: up to 50 ms, 100 ms … 1 s. With the usual five retries that is
/// three quarters of a second: about as long as a service takes that comes back to NATS after its
/// callers.
struct Backoff(u32);

impl Backoff {
    fn new() -> Self {
        Self(50)
    }

    fn next(&mut self) -> Duration {
        let limit = self.0;
        self.0 = (limit * 2).min(1000);
        Duration::from_millis(u64::from(fastrand::u32(1..=limit)))
    }
}
