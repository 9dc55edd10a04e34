//! How a call is carried out: node after node, until one answers or there is no use in trying.

use std::time::Duration;

use bytes::Bytes;
use micro_core::registry::ServiceName;
use micro_core::wire::{Outgoing, Reply};
use micro_core::{Error, ErrorKind, Header, RequestState, Result};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Client;
use super::options::CallOptions;
use super::pool::Lease;
use super::select::Target;
use crate::clock::after;
use crate::hub::Conn;

impl Client {
    /// Tries nodes until one answers, as far as that is safe and there is time.
    pub(super) async fn run(
        &self,
        service: &str,
        endpoint: &str,
        body: &Bytes,
        options: &CallOptions,
    ) -> Result<Reply> {
        let inner = &*self.inner;
        let deadline = self.limit(options.timeout);
        let merged;
        let metadata = match &self.inherited {
            Some(inherited) => {
                merged = merge(&inherited.metadata, &options.metadata);
                &merged
            }
            None => &options.metadata,
        };
        let retries = options.retries.unwrap_or(inner.options.retries);
        let mut failed: Vec<String> = Vec::new();
        let mut backoff = Backoff::new();
        loop {
            if Instant::now() >= deadline {
                let detail = format!("no time was left to call {endpoint} of {service}");
                return Err(not_sent(Error::timeout(detail)));
            }
            let target = self.target(service, options, &failed, deadline).await?;
            let lease = self.lease(&target, options, deadline).await?;
            // Only what may be tried again has attempts; the last one has all the time.
            let limit = match options.idempotent && failed.len() < retries {
                true => deadline.min(after(self.attempt_limit(options, deadline))),
                false => deadline,
            };
            let call = Outgoing {
                service,
                endpoint,
                content_type: &options.content_type,
                timeout: Some(limit.saturating_duration_since(Instant::now())),
                metadata,
                body,
            };
            let error = match self.attempt(&lease, &call, limit).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let unanswered = matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
                && error.request() != Some(RequestState::Executed);
            if unanswered && !target.explicit {
                inner.selector.avoid(service, &target.id);
            }
            let safe = options.idempotent || error.request() == Some(RequestState::NotSent);
            if !unanswered || !safe || failed.len() >= retries {
                return Err(error);
            }
            tracing::debug!(service, endpoint, node = target.id, %error, "trying again");
            failed.push(target.id);
            // Another node is tried at once, one that failed only after a pause.
            if !target.others {
                sleep_until(deadline.min(after(backoff.next()))).await;
            }
        }
    }

    fn attempt_limit(&self, options: &CallOptions, deadline: Instant) -> Duration {
        options.attempt_timeout.or(self.inner.options.attempt_timeout).unwrap_or_else(|| {
            let whole = deadline.saturating_duration_since(Instant::now());
            (whole / 3).min(Duration::from_secs(1))
        })
    }

    /// The node to try next.
    async fn target(
        &self,
        service: &str,
        options: &CallOptions,
        failed: &[String],
        deadline: Instant,
    ) -> Result<Target> {
        let inner = &*self.inner;
        if let Some(address) = &options.address {
            return Ok(Target::explicit(address));
        }
        let known = match inner.cache.known(service) {
            Some(known) => known,
            None => {
                let name = ServiceName::new(service).map_err(not_sent)?;
                match timeout_at(self.connect_deadline(deadline), inner.cache.find(&name)).await {
                    Ok(found) => found.map_err(not_sent)?,
                    Err(_) => {
                        let late =
                            || Error::timeout(format!("no answer about service {name} in time"));
                        return Err(not_sent(inner.registry.health().err().unwrap_or_else(late)));
                    }
                }
            }
        };
        inner.selector.pick(service, &known, inner.transport.name(), failed).map_err(not_sent)
    }

    /// The session with that node, on a network that is there.
    async fn lease(
        &self,
        target: &Target,
        options: &CallOptions,
        deadline: Instant,
    ) -> Result<Lease> {
        let inner = &*self.inner;
        let wait = self.connect_deadline(deadline);
        let opened =
            timeout_at(wait, inner.pool.conn(&target.address, &options.content_type)).await;
        let lease = opened.unwrap_or_else(|_| Err(self.no_room())).map_err(not_sent)?;
        if inner.transport.health().is_err() {
            // Waited for once: if it is not there by then, no other node is either.
            self.room(&lease.conn, wait).await?;
        }
        Ok(lease)
    }

    async fn room(&self, conn: &Conn, wait: Instant) -> Result<()> {
        let ready = timeout_at(wait, conn.peer.ready()).await;
        ready.unwrap_or_else(|_| Err(self.no_room())).map_err(not_sent)
    }

    fn no_room(&self) -> Error {
        let no_room = || Error::unavailable("the transport has no room");
        self.inner.transport.health().err().unwrap_or_else(no_room)
    }

    /// One request to one node, and its answer.
    async fn attempt(&self, lease: &Lease, call: &Outgoing<'_>, limit: Instant) -> Result<Reply> {
        let in_flight = lease.hub.begin();
        let pending = lease.conn.call(call)?;
        lease.hub.send(&lease.conn);
        let answer = pending.until(limit, self.connect_deadline(limit)).await;
        drop(in_flight);
        let (service, endpoint) = (call.service, call.endpoint);
        match answer {
            Ok(Err(error)) if error.kind() == ErrorKind::Unavailable && error.code() == 503 => {
                match error.request() {
                    // Ours: it says where.
                    Some(state @ (RequestState::NotSent | RequestState::Unknown)) => {
                        let address = lease.conn.peer.remote();
                        let detail = format!("{service} at {address}: {error}");
                        Err(Error::unavailable(detail).with_request(state))
                    }
                    _ => Err(error),
                }
            }
            Ok(reply) => reply,
            Err(RequestState::NotSent) => Err(not_sent(self.no_room())),
            Err(state) => {
                let waited = call.timeout.unwrap_or_default();
                let detail = format!("no answer from {endpoint} of {service} within {waited:?}");
                Err(Error::timeout(detail).with_request(state))
            }
        }
    }

    fn connect_deadline(&self, deadline: Instant) -> Instant {
        deadline.min(after(self.inner.options.connect_wait))
    }
}

fn not_sent(error: Error) -> Error {
    error.with_request(RequestState::NotSent)
}

/// What is inherited, and what the call itself says, which counts more.
fn merge(inherited: &Header, own: &Header) -> Header {
    let mut merged = inherited.clone();
    merged.extend(own.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
    merged
}

/// Exponential with full jitter: up to 10 ms, 20 ms … 1 s.
struct Backoff(u32);

impl Backoff {
    fn new() -> Self {
        Self(10)
    }

    fn next(&mut self) -> Duration {
        let limit = self.0;
        self.0 = (limit * 2).min(1000);
        Duration::from_millis(u64::from(fastrand::u32(1..=limit)))
    }
}
