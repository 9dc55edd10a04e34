//! From what arrives at the port to handlers, and back.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use micro_core::transport::{Arrival, Incoming, Peer, PeerId, Port};
use micro_core::wire::{Event, Limits, Request, RequestId, Session};
use micro_core::{Error, ErrorKind, Result};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use super::handler::{Answer, Handler, Running};
use super::options::ServerOptions;
use crate::client::Client;
use crate::context::{Context, Source};
use crate::hub::{Conn, Hub, InFlight, lock};

/// A server that is silent for so long has been heard of by everybody who called it.
const QUIET: Duration = Duration::from_millis(200);
/// How often silent callers are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What is needed to answer calls.
pub(super) struct Serving {
    service: String,
    handlers: BTreeMap<String, Handler>,
    hub: Arc<Hub>,
    client: Client,
    options: ServerOptions,
    tasks: TaskTracker,
    last_call: Mutex<Instant>,
}

/// The task that serves, until it is dropped.
pub(super) struct Pump {
    serving: Arc<Serving>,
    _task: AbortOnDropHandle<()>,
}

impl Serving {
    pub(super) fn new(
        service: &str,
        handlers: BTreeMap<String, Handler>,
        port: Arc<dyn Port>,
        client: Client,
        options: &ServerOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            service: service.to_owned(),
            handlers,
            hub: Arc::new(Hub::new(port)),
            client,
            options: options.clone(),
            tasks: TaskTracker::new(),
            last_call: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn start(self: &Arc<Self>, incoming: Box<dyn Incoming>) -> Pump {
        let task = tokio::spawn(self.clone().serve(incoming));
        Pump { serving: self.clone(), _task: AbortOnDropHandle::new(task) }
    }

    async fn serve(self: Arc<Self>, mut incoming: Box<dyn Incoming>) {
        let mut callers: HashMap<PeerId, Arc<Conn>> = HashMap::new();
        let mut arrivals = Vec::new();
        let mut sweep = tokio::time::interval(SWEEP.min(self.options.caller_idle));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = micro_core::transport::recv(&mut *incoming, &mut arrivals) => {
                    if let Err(error) = received {
                        tracing::error!(service = self.service, %error, "the server's port is over");
                        return;
                    }
                }
                _ = sweep.tick() => {
                    let idle = self.options.caller_idle;
                    callers.retain(|_, conn| {
                        let state = conn.state();
                        !state.session.is_idle() || state.last_used.elapsed() < idle
                    });
                    continue;
                }
            }
            // The answers to one batch go out together, at its end.
            let mut answered: Vec<Arc<Conn>> = Vec::new();
            let mut requests = Vec::new();
            for arrival in arrivals.drain(..) {
                match arrival {
                    Arrival::Packet { peer, packet } => {
                        let conn = self.caller(&mut callers, peer);
                        conn.on_packet(&packet, &mut requests);
                        let mut ready = conn.state().session.has_output();
                        for event in requests.drain(..) {
                            if let Event::Request { id, request } = event {
                                ready |= self.request(&conn, id, &request);
                                if request.closes() {
                                    // Whoever still works for it holds it.
                                    callers.remove(&conn.peer.id());
                                }
                            }
                        }
                        if ready {
                            answered.push(conn);
                        }
                    }
                    Arrival::Undelivered { peer, packets } | Arrival::Closed { peer, packets } => {
                        if let Some(conn) = callers.remove(&peer.id()) {
                            tracing::debug!(peer = peer.remote(), packets, "a caller is gone");
                            conn.undelivered(packets, true);
                        }
                    }
                    _ => {}
                }
            }
            self.hub.send_all(answered);
        }
    }

    /// The session of a caller; one of its own, that refuses, where there are too many.
    fn caller(&self, callers: &mut HashMap<PeerId, Arc<Conn>>, peer: Peer) -> Arc<Conn> {
        let id = peer.id();
        if let Some(conn) = callers.get(&id) {
            return conn.clone();
        }
        if callers.len() >= self.options.max_callers {
            tracing::warn!(service = self.service, limit = callers.len(), "too many callers");
            return Conn::new(peer, Session::server(Limits::default().with_open(0)));
        }
        let conn = Conn::new(peer, Session::server(Limits::default()));
        callers.insert(id, conn.clone());
        conn
    }

    /// Begins to serve one call; true if its answer waits to be sent already.
    fn request(self: &Arc<Self>, conn: &Arc<Conn>, id: RequestId, request: &Request) -> bool {
        let now = Instant::now();
        *lock(&self.last_call) = now;
        let Some(handler) = self.handlers.get(request.endpoint()) else {
            return self.answer(conn, id, Err(self.unknown(request.endpoint())));
        };
        if self.hub.in_flight() >= self.options.max_calls {
            let detail = format!("{} calls are being served already", self.options.max_calls);
            return self.answer(conn, id, Err(Error::new(ErrorKind::Overloaded, detail)));
        }
        let names =
            (self.service.clone(), request.endpoint().to_owned(), conn.peer.remote().to_owned());
        // A deadline beyond what the clock can say is none.
        let deadline = request.timeout().and_then(|timeout| now.checked_add(timeout));
        let source = Source::Request(request.clone());
        let context = Context::new(names, source, deadline, self.client.clone());
        let in_flight = self.hub.begin();
        let span = tracing::debug_span!(
            "serve",
            service = self.service,
            endpoint = request.endpoint(),
            peer = conn.peer.remote()
        );
        let polled = span.in_scope(|| {
            let mut running = handler.start(context.clone(), request);
            let cx = &mut TaskContext::from_waker(Waker::noop());
            match Pin::new(&mut running).poll(cx) {
                Poll::Ready(answer) => Ok(answer),
                Poll::Pending => Err(running),
            }
        });
        match polled {
            Ok(answer) => self.answer(conn, id, answer),
            Err(running) => {
                conn.state().handlers.insert(id, context.token().clone());
                let work = self.clone().work(conn.clone(), id, running, context, in_flight);
                self.tasks.spawn(work.instrument(span));
                false
            }
        }
    }

    /// Finishes a handler that had to wait.
    async fn work(
        self: Arc<Self>,
        conn: Arc<Conn>,
        id: RequestId,
        running: Running,
        context: Context,
        in_flight: InFlight,
    ) {
        let token = context.token();
        let deadline = context.deadline();
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let answer = tokio::select! {
            answer = running => answer,
            () = token.cancelled() => return,
            () = late => {
                token.cancel();
                let detail = format!("{} was not done in the caller's time", context.endpoint());
                Err(Error::timeout(detail))
            }
        };
        conn.state().handlers.remove(&id);
        if self.answer(&conn, id, answer) {
            self.hub.send(&conn);
        }
        drop(in_flight);
    }

    fn answer(&self, conn: &Conn, id: RequestId, answer: Answer) -> bool {
        if let Err(error) = &answer {
            let (service, peer) = (&self.service, conn.peer.remote());
            tracing::debug!(service, peer, code = error.code(), %error, "answering with an error");
        }
        let mut state = conn.state();
        match answer {
            Ok((content_type, body)) => state.session.reply(id, Ok((&content_type, &body))),
            Err(error) if error.id().is_empty() => {
                state.session.reply(id, Err(&error.with_id(&self.service)))
            }
            Err(error) => state.session.reply(id, Err(&error)),
        }
    }

    fn unknown(&self, endpoint: &str) -> Error {
        Error::not_found(format!("service {} has no endpoint {endpoint:?}", self.service))
    }
}

impl Pump {
    /// Returns when no new call has come for a while, at the latest at `limit`.
    pub(super) async fn quiet(&self, limit: Instant) {
        loop {
            let quiet = *lock(&self.serving.last_call) + QUIET;
            let now = Instant::now();
            if now >= quiet || now >= limit {
                return;
            }
            tokio::time::sleep_until(quiet.min(limit)).await;
        }
    }

    /// Stops listening, waits for the handlers that run, and flushes.
    pub(super) async fn finish(&self) -> Result<()> {
        let serving = &self.serving;
        let stopped = serving.hub.port.stop_listening().await;
        serving.tasks.close();
        serving.tasks.wait().await;
        serving.hub.drained().await;
        serving.hub.port.flush().await.and(stopped)
    }

    pub(super) fn running(&self) -> usize {
        self.serving.tasks.len()
    }
}
