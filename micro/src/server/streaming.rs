//! From a request that opens a stream to its handler, and its end.

use std::sync::Arc;
use std::time::Duration;

use micro_core::codec::known_content_type;
use micro_core::wire::{Request, RequestId};
use micro_core::{Error, Result};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::endpoint::{Endpoint, Place};
use super::handler::{Answer, Handler, Running};
use super::incoming::IncomingCall;
use super::pump::{Serving, busy, late};
use crate::context::{Context, Source};
use crate::hub::Conn;
use crate::stream::{End, Ends, StreamHandler};

/// How long a message of a handler waits while the network takes nothing: as long as a client's
/// call does.
const SEND_WAIT: Duration = Duration::from_secs(5);

impl Serving {
    /// Begins to serve a stream; true if something waits to be sent already.
    pub(super) fn stream(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        id: RequestId,
        request: &Request,
        endpoint: &Endpoint,
        handler: &StreamHandler,
        now: Instant,
    ) -> bool {
        let begun = match self.begin_stream(endpoint, request) {
            Ok(begun) => begun,
            Err(error) if request.names_stream() => return conn.refuse(id, &self.named(error)),
            Err(error) => return self.answer(conn, id, Err(error)),
        };
        let stop = CancellationToken::new();
        let limits = self.options.stream_limits.inbox(self.options.max_body);
        let Some(half) = conn.accept(&self.hub, id, limits, SEND_WAIT, stop.clone()) else {
            // The caller is gone.
            return false;
        };
        let deadline = request.timeout().and_then(|timeout| now.checked_add(timeout));
        let source = Source::Request(request.clone(), conn.peer.clone());
        let context =
            Context::stopped_by(stop, self.service.clone(), source, deadline, self.client.clone());
        let span = tracing::debug_span!(
            "serve",
            service = &*self.service,
            endpoint = request.endpoint(),
            peer = conn.peer.remote()
        );
        let end = End::accepted(half);
        let content_type = request.content_type().map(known_content_type);
        let ends = Ends { end: end.clone(), content_type: content_type.clone() };
        let call = IncomingCall {
            context: context.clone(),
            content_type,
            body: request.body().clone(),
            handler: Handler::of_stream(handler.clone(), ends),
            is_stream: true,
        };
        let layers = self.layers.clone();
        let running = Running::start(|| match layers {
            None => call.run(),
            Some(layers) => Box::pin(async move { layers.run(call).await }),
        });
        let work = self.clone().work_stream(end, running, context, begun);
        self.tasks.spawn(work.instrument(span));
        false
    }

    /// Takes a place for one more stream, or says why there is none.
    fn begin_stream(&self, endpoint: &Endpoint, request: &Request) -> Result<(Place, Place)> {
        if !request.names_stream() {
            let detail = format!("{} is a stream, and cannot be called", request.endpoint());
            return Err(Error::invalid_input(detail));
        }
        let Some(place) = self.streams.take() else {
            return Err(busy(self.streams.limit, &self.service));
        };
        match endpoint.places.take() {
            Some(own) => Ok((place, own)),
            None => Err(busy(endpoint.places.limit, request.endpoint())),
        }
    }

    /// Serves a stream to its end.
    async fn work_stream(
        self: Arc<Self>,
        end: Arc<End>,
        running: Running,
        context: Context,
        begun: (Place, Place),
    ) {
        let token = context.token();
        let answer = tokio::select! {
            answer = running => answer,
            // It is over already.
            () = token.cancelled() => return,
            () = self.abort.cancelled() => return token.cancel(),
            () = self.end_streams.cancelled() => Err(Error::unavailable("the service is stopping")),
            error = late(&context) => Err(error),
        };
        self.end(&end, answer).await;
        token.cancel();
        drop(begun);
    }

    async fn end(&self, end: &End, answer: Answer) {
        let half = &end.half;
        let sent = match answer {
            Ok(reply) if !reply.content_type.is_empty() => half.send(&reply.body).await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let sent = sent.map_err(|error| self.named(error));
        if let Err(error) = &sent {
            let (service, peer) = (&*self.service, half.conn.peer.remote());
            tracing::debug!(service, peer, code = error.code(), %error, "a stream ends with an error");
        }
        if half.conn.end(half.id, sent.as_ref().copied()) {
            self.hub.send(&half.conn);
        }
    }
}
