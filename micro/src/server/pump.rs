//! From what arrives at the port to handlers, and back.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use micro_core::codec::known_content_type;
use micro_core::transport::{Arrival, Incoming, Port};
use micro_core::wire::{Event, PROBE_ENDPOINT, RETRY_AFTER, Reply, Request, RequestId};
use micro_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use super::callers::Callers;
use super::endpoint::{Endpoint, Place, Places, Serves};
use super::handler::{Answer, Handler, Running};
use super::health::{HEALTH, health};
use super::incoming::IncomingCall;
use super::options::ServerOptions;
use crate::client::Client;
use crate::clock::after;
use crate::context::{Context, Source};
use crate::hub::{Conn, Hub, InFlight, Scratch, lock};
use crate::middleware::Stack;

/// A server that is silent for so long has been heard of by everybody who called it.
const QUIET: Duration = Duration::from_millis(200);
/// How often silent callers are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// What is needed to answer calls.
pub(super) struct Serving {
    pub(super) service: Arc<str>,
    endpoints: HashMap<String, Endpoint>,
    pub(super) layers: Option<Stack<IncomingCall, Reply>>,
    pub(super) hub: Arc<Hub>,
    pub(super) client: Client,
    pub(super) options: ServerOptions,
    pub(super) tasks: TaskTracker,
    pub(super) streams: Places,
    last_call: Mutex<Instant>,
    /// Ends the handlers that are still at work.
    pub(super) abort: CancellationToken,
    /// Ends the streams, which may have no end of their own; their callers are told.
    pub(super) end_streams: CancellationToken,
    stopping: AtomicBool,
    /// Why the port is over.
    over: watch::Sender<Option<Arc<Error>>>,
}

/// The task that serves, until it is dropped.
pub(super) struct Pump {
    serving: Arc<Serving>,
    asks: mpsc::Sender<Ask>,
    _abort: DropGuard,
    _task: AbortOnDropHandle<()>,
}

/// What the task is asked for, and who is told when it is done.
enum Ask {
    /// To deal with all that has arrived.
    CatchUp(oneshot::Sender<()>),
    /// To say goodbye to all callers.
    Leave(oneshot::Sender<()>),
}

impl Serving {
    pub(super) fn new(
        service: Arc<str>,
        endpoints: HashMap<String, Endpoint>,
        layers: Option<Stack<IncomingCall, Reply>>,
        port: Arc<dyn Port>,
        client: Client,
        options: &ServerOptions,
    ) -> Arc<Self> {
        Arc::new(Self {
            service,
            endpoints,
            layers,
            hub: Arc::new(Hub::new(port)),
            client,
            options: options.clone(),
            tasks: TaskTracker::new(),
            streams: Places::new(options.max_streams),
            last_call: Mutex::new(Instant::now()),
            abort: CancellationToken::new(),
            end_streams: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            over: watch::Sender::new(None),
        })
    }

    pub(super) fn start(self: &Arc<Self>, incoming: Box<dyn Incoming>) -> Pump {
        let (asks, asked) = mpsc::channel(1);
        let task = tokio::spawn(self.clone().serve(incoming, asked));
        Pump {
            serving: self.clone(),
            asks,
            _abort: self.abort.clone().drop_guard(),
            _task: AbortOnDropHandle::new(task),
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut incoming: Box<dyn Incoming>,
        mut asked: mpsc::Receiver<Ask>,
    ) {
        let mut callers = Callers::new(&self.options, self.hub.dropped.clone());
        let mut arrivals = Vec::new();
        let period = SWEEP.min(self.options.caller_idle).max(Duration::from_millis(1));
        let mut sweep = tokio::time::interval(period);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut interruptions = self.hub.port.interruptions();
        loop {
            tokio::select! {
                // In this order: whoever asks is answered when nothing has arrived.
                biased;
                received = micro_core::transport::recv(&mut *incoming, &mut arrivals) => {
                    if let Err(error) = received {
                        if self.stopping.load(Ordering::Acquire) {
                            // What is closed is closed by those who stop it.
                            return;
                        }
                        tracing::error!(service = &*self.service, %error, "the port is over");
                        self.over.send_replace(Some(Arc::new(error)));
                        return;
                    }
                    // Before what was sent after that.
                    self.interrupted(&callers, &mut interruptions);
                    self.deal_with(&mut arrivals, &mut callers);
                }
                Some(ask) = asked.recv() => {
                    let done = match ask {
                        Ask::CatchUp(done) => done,
                        Ask::Leave(done) => {
                            callers.leave();
                            done
                        }
                    };
                    // Whoever asked may have given up.
                    let _ = done.send(());
                }
                _ = sweep.tick() => {
                    self.interrupted(&callers, &mut interruptions);
                    self.hub.send_all(callers.sweep());
                }
            }
        }
    }

    /// Ends the streams if packets may have been lost since it was looked.
    fn interrupted(&self, callers: &Callers, seen: &mut u64) {
        let now = self.hub.port.interruptions();
        if std::mem::replace(seen, now) != now {
            self.hub.send_all(callers.interrupted());
        }
    }

    /// The answers to one batch go out together, at its end.
    fn deal_with(self: &Arc<Self>, arrivals: &mut Vec<Arrival>, callers: &mut Callers) {
        let (mut answered, mut scratch) = (Vec::<Arc<Conn>>::new(), Scratch::default());
        let now = Instant::now();
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Packet { peer, packet } => {
                    let conn = callers.of(peer);
                    if conn.on_packet(&packet, now, &mut scratch) {
                        callers.keep(&conn);
                    }
                    let mut ready = scratch.output;
                    for event in scratch.requests.drain(..) {
                        if let Event::Request { id, request } = event {
                            ready |= self.request(&conn, id, &request, now);
                            if request.closes() && !conn.has_streams() {
                                // Whoever still works for it holds it.
                                callers.remove(conn.peer.id());
                            }
                        }
                    }
                    // Usually many come from one caller, and its answers are sent once.
                    if ready && !answered.last().is_some_and(|last| Arc::ptr_eq(last, &conn)) {
                        answered.push(conn);
                    }
                }
                Arrival::Undelivered { peer, packets } | Arrival::Closed { peer, packets } => {
                    if let Some(conn) = callers.remove(peer.id()) {
                        tracing::debug!(peer = peer.remote(), packets, "a caller is gone");
                        conn.undelivered(packets, true);
                    }
                }
                _ => {}
            }
        }
        self.hub.send_all(answered);
    }

    /// Begins to serve one call; true if its answer waits to be sent already.
    fn request(
        self: &Arc<Self>,
        conn: &Arc<Conn>,
        id: RequestId,
        request: &Request,
        now: Instant,
    ) -> bool {
        let Some(endpoint) = self.endpoints.get(request.endpoint()) else {
            if request.endpoint() == PROBE_ENDPOINT {
                return conn.answer_probe(id, &self.named(self.unknown(PROBE_ENDPOINT)));
            }
            let answer = match request.endpoint() {
                HEALTH => health(request.content_type()),
                unknown => Err(self.unknown(unknown)),
            };
            return self.answer(conn, id, answer);
        };
        *lock(&self.last_call) = now;
        let handler = match &endpoint.serves {
            Serves::Calls(handler) => handler,
            Serves::Streams(handler) => {
                return self.stream(conn, id, request, endpoint, handler, now);
            }
        };
        let begun = match self.begin(endpoint, request) {
            Ok(begun) => begun,
            Err(error) => return self.answer(conn, id, Err(error)),
        };
        // A deadline beyond what the clock can say is none.
        let deadline = request.timeout().and_then(|timeout| now.checked_add(timeout));
        let source = Source::Request(request.clone(), conn.peer.clone());
        let context = Context::new(self.service.clone(), source, deadline, self.client.clone());
        let span = tracing::debug_span!(
            "serve",
            service = &*self.service,
            endpoint = request.endpoint(),
            peer = conn.peer.remote()
        );
        let polled = span.in_scope(|| {
            let mut running = self.run(handler, context.clone(), request);
            let cx = &mut TaskContext::from_waker(Waker::noop());
            match Pin::new(&mut running).poll(cx) {
                Poll::Ready(answer) => Ok(answer),
                Poll::Pending => Err(running),
            }
        });
        match polled {
            Ok(answer) => self.answer(conn, id, answer),
            Err(running) => {
                let mut state = conn.state();
                if !state.session.is_open(id) {
                    // The caller went while the handler began.
                    context.token().cancel();
                    return false;
                }
                state.handlers.insert(id, context.token().clone());
                drop(state);
                let work = self.clone().work(conn.clone(), id, running, context, begun);
                self.tasks.spawn(work.instrument(span));
                false
            }
        }
    }

    /// Takes a place for one more call, or says why there is none.
    fn begin(&self, endpoint: &Endpoint, request: &Request) -> Result<(InFlight, Place)> {
        let (size, most) = (request.body().len(), self.options.max_body);
        if size > most {
            return Err(Error::too_large("the request's body", size, most));
        }
        if self.hub.in_flight() >= self.options.max_calls {
            return Err(busy(self.options.max_calls, &self.service));
        }
        match endpoint.places.take() {
            Some(place) => Ok((self.hub.begin(), place)),
            None => Err(busy(endpoint.places.limit, request.endpoint())),
        }
    }

    fn run(&self, handler: &Handler, context: Context, request: &Request) -> Running {
        let content_type = request.content_type().map(known_content_type);
        let body = request.body().clone();
        match &self.layers {
            None => Running::start(|| handler.answer(context, content_type, body)),
            Some(layers) => {
                let (layers, handler) = (layers.clone(), handler.clone());
                let is_stream = false;
                let call = IncomingCall { context, content_type, body, handler, is_stream };
                Running::start(|| Box::pin(async move { layers.run(call).await }))
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
        begun: (InFlight, Place),
    ) {
        let token = context.token();
        let answer = tokio::select! {
            answer = running => answer,
            () = token.cancelled() => return,
            () = self.abort.cancelled() => return token.cancel(),
            error = late(&context) => {
                token.cancel();
                Err(error)
            }
        };
        conn.state().handlers.remove(&id);
        if self.answer(&conn, id, answer) {
            self.hub.send(&conn);
        }
        drop(begun);
    }

    pub(super) fn answer(&self, conn: &Conn, id: RequestId, answer: Answer) -> bool {
        if let Err(error) = &answer {
            let (service, peer) = (&*self.service, conn.peer.remote());
            tracing::debug!(service, peer, code = error.code(), %error, "answering with an error");
        }
        let mut state = conn.state();
        match answer {
            Ok(Reply { content_type, body, .. }) => {
                state.session.reply(id, Ok((&content_type, &body)))
            }
            Err(error) => state.session.reply(id, Err(&self.named(error))),
        }
    }

    /// An error says whose it is; one with code 0 is somebody's plain text, which stays as it is.
    pub(super) fn named(&self, error: Error) -> Error {
        match error.id().is_empty() && error.code() != 0 {
            true => error.with_id(&*self.service),
            false => error,
        }
    }

    fn unknown(&self, endpoint: &str) -> Error {
        Error::not_found(format!("service {} has no endpoint {endpoint:?}", self.service))
    }
}

/// Returns when the caller's time is over.
pub(super) async fn late(context: &Context) -> Error {
    match context.deadline() {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
    Error::timeout(format!("{} was not done in the caller's time", context.endpoint()))
}

pub(super) fn busy(limit: usize, what: &str) -> Error {
    let detail = format!("{limit} calls of {what} are being served already");
    Error::new(ErrorKind::Overloaded, detail).with_retry_after(RETRY_AFTER)
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

    /// When streams are ended, if it stops from now until `limit`: their callers are to be told yet.
    pub(super) fn end_streams_at(&self, limit: Instant) -> Instant {
        let whole = limit.saturating_duration_since(Instant::now());
        let telling = (whole / 4).min(Duration::from_secs(1));
        after(self.serving.options.stream_grace).min(limit - telling)
    }

    /// Stops listening, waits for the handlers that run, and flushes. Streams that have not ended
    /// by then are ended.
    pub(super) async fn finish(&self, end_streams: Instant) -> Result<()> {
        let serving = &self.serving;
        serving.stopping.store(true, Ordering::Release);
        let stopped = serving.hub.port.stop_listening().await;
        self.ask(Ask::CatchUp).await;
        serving.tasks.close();
        if tokio::time::timeout_at(end_streams, serving.tasks.wait()).await.is_err() {
            serving.end_streams.cancel();
            serving.tasks.wait().await;
        }
        serving.hub.drained().await;
        // Where the wire has a word for it, so that each knows what was heard and what was not.
        self.ask(Ask::Leave).await;
        serving.hub.port.flush().await.and(stopped)
    }

    /// Returns when the task has done it, or is over: then nothing can come.
    async fn ask(&self, what: impl FnOnce(oneshot::Sender<()>) -> Ask) {
        let (done, told) = oneshot::channel();
        if self.asks.send(what(done)).await.is_ok() {
            let _ = told.await;
        }
    }

    pub(super) fn running(&self) -> usize {
        self.serving.tasks.len()
    }

    pub(super) fn port(&self) -> &Arc<dyn Port> {
        &self.serving.hub.port
    }

    /// Tells why the port is over, once it is.
    pub(super) fn over(&self) -> watch::Receiver<Option<Arc<Error>>> {
        self.serving.over.subscribe()
    }
}
