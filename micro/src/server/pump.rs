//! From what arrives at the port to handlers, and back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use micro_core::transport::{Arrival, Incoming, Port};
use micro_core::wire::{Event, Request, RequestId};
use micro_core::{Error, ErrorKind, Result};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::Instrument;

use super::callers::Callers;
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
    /// Ends the handlers that are still at work.
    abort: CancellationToken,
    stopping: AtomicBool,
    /// Why the port is over.
    over: watch::Sender<Option<Arc<Error>>>,
}

/// The task that serves, until it is dropped.
pub(super) struct Pump {
    serving: Arc<Serving>,
    /// Asks the task to say when all that has arrived has been dealt with.
    catch_up: mpsc::Sender<oneshot::Sender<()>>,
    _abort: DropGuard,
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
            abort: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            over: watch::Sender::new(None),
        })
    }

    pub(super) fn start(self: &Arc<Self>, incoming: Box<dyn Incoming>) -> Pump {
        let (catch_up, asked) = mpsc::channel(1);
        let task = tokio::spawn(self.clone().serve(incoming, asked));
        Pump {
            serving: self.clone(),
            catch_up,
            _abort: self.abort.clone().drop_guard(),
            _task: AbortOnDropHandle::new(task),
        }
    }

    async fn serve(
        self: Arc<Self>,
        mut incoming: Box<dyn Incoming>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut callers = Callers::new(&self.options, self.hub.dropped.clone());
        let mut arrivals = Vec::new();
        let period = SWEEP.min(self.options.caller_idle).max(Duration::from_millis(1));
        let mut sweep = tokio::time::interval(period);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
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
                        tracing::error!(service = self.service, %error, "the port is over");
                        self.over.send_replace(Some(Arc::new(error)));
                        return;
                    }
                    self.deal_with(&mut arrivals, &mut callers);
                }
                Some(ask) = asked.recv() => {
                    // Whoever asked may have given up.
                    let _ = ask.send(());
                }
                _ = sweep.tick() => callers.sweep(),
            }
        }
    }

    /// The answers to one batch go out together, at its end.
    fn deal_with(self: &Arc<Self>, arrivals: &mut Vec<Arrival>, callers: &mut Callers) {
        let (mut answered, mut requests) = (Vec::new(), Vec::new());
        for arrival in arrivals.drain(..) {
            match arrival {
                Arrival::Packet { peer, packet } => {
                    let conn = callers.of(peer);
                    if conn.on_packet(&packet, &mut requests) {
                        callers.keep(&conn);
                    }
                    let mut ready = conn.state().session.has_output();
                    for event in requests.drain(..) {
                        if let Event::Request { id, request } = event {
                            ready |= self.request(&conn, id, &request);
                            if request.closes() {
                                // Whoever still works for it holds it.
                                callers.remove(conn.peer.id());
                            }
                        }
                    }
                    if ready {
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
                let mut state = conn.state();
                if !state.session.is_open(id) {
                    // The caller went while the handler began.
                    context.token().cancel();
                    return false;
                }
                state.handlers.insert(id, context.token().clone());
                drop(state);
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
            () = self.abort.cancelled() => return token.cancel(),
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
            // One with code 0 is somebody's plain text, which stays as it is.
            Err(error) if error.id().is_empty() && error.code() != 0 => {
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
        serving.stopping.store(true, Ordering::Release);
        let stopped = serving.hub.port.stop_listening().await;
        let (caught_up, told) = oneshot::channel();
        if self.catch_up.send(caught_up).await.is_ok() {
            // Otherwise the port is over, and nothing can come.
            let _ = told.await;
        }
        serving.tasks.close();
        serving.tasks.wait().await;
        serving.hub.drained().await;
        serving.hub.port.flush().await.and(stopped)
    }

    pub(super) fn running(&self) -> usize {
        self.serving.tasks.len()
    }

    /// Tells why the port is over, once it is.
    pub(super) fn over(&self) -> watch::Receiver<Option<Arc<Error>>> {
        self.serving.over.subscribe()
    }
}
