//! The connection behind the handles: made once, and watched.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use async_nats::connection::State as ClientState;
use async_nats::rustls::crypto::{CryptoProvider, ring};
use async_nats::{Client, ConnectOptions, Event, Server, ServerAddr, Statistics};
use futures_util::FutureExt;
use micro_core::{Error, LogThrottle, Result};
use tokio::sync::watch;

use crate::{NatsOptions, State};

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// What a server takes unless it says otherwise.
const USUAL_MAX_PAYLOAD: usize = 1 << 20;

pub(crate) struct Connection {
    options: NatsOptions,
    servers: Vec<ServerAddr>,
    addresses: String,
    client: OnceLock<Live>,
    /// Held while the client is made, so that it is made once.
    making: Mutex<()>,
    closing: tokio::sync::Mutex<()>,
    state: watch::Sender<State>,
    /// Why it is not connected.
    reason: Mutex<String>,
    connects: LogThrottle,
    losses: LogThrottle,
    slow: LogThrottle,
    failures: LogThrottle,
    complaints: LogThrottle,
}

struct Live {
    client: Client,
    statistics: Arc<Statistics>,
    greeted: AtomicBool,
}

impl Live {
    /// The client is connected a moment before it knows how much the server takes; only the first
    /// time matters.
    fn knows_server(&self) -> bool {
        if self.greeted.load(Ordering::Acquire) {
            return true;
        }
        let greeted = self.client.try_server_info().is_some();
        self.greeted.fetch_or(greeted, Ordering::Release);
        greeted
    }
}

impl Connection {
    pub(crate) fn new(options: NatsOptions) -> Result<Self> {
        options.check()?;
        Ok(Self {
            servers: options.addresses.urls()?,
            addresses: options.addresses.to_string(),
            options,
            client: OnceLock::new(),
            making: Mutex::new(()),
            closing: tokio::sync::Mutex::new(()),
            state: watch::Sender::new(State::Idle),
            reason: Mutex::new("nothing has used it yet".to_owned()),
            connects: LogThrottle::default(),
            losses: LogThrottle::default(),
            slow: LogThrottle::default(),
            failures: LogThrottle::default(),
            complaints: LogThrottle::default(),
        })
    }

    pub(crate) fn options(&self) -> &NatsOptions {
        &self.options
    }

    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The client, if there is one already.
    pub(crate) fn started(&self) -> Option<&Client> {
        self.client.get().map(|live| &live.client)
    }

    /// The client, made if there is none yet.
    pub(crate) fn client(this: &Arc<Self>) -> Result<&Client> {
        if *this.state.borrow() == State::Closed {
            return Err(this.closed());
        }
        if let Some(client) = this.started() {
            return Ok(client);
        }
        let _making = this.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = this.started() {
            return Ok(client);
        }
        let client = Self::connect(this)?;
        let statistics = client.statistics();
        Ok(&this.client.get_or_init(|| Live { client, statistics, greeted: false.into() }).client)
    }

    /// Held by whoever closes it, so that others who do wait for the same end.
    pub(crate) fn closing(&self) -> &tokio::sync::Mutex<()> {
        &self.closing
    }

    pub(crate) fn states(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> State {
        let told = *self.state.borrow();
        match (self.started(), told) {
            (None, told) => told,
            (_, State::Closed) => State::Closed,
            (Some(client), _) => match client.connection_state() {
                ClientState::Pending => State::Connecting,
                ClientState::Connected => State::Connected { epoch: self.epoch() },
                ClientState::Disconnected => State::Disconnected,
            },
        }
    }

    /// Whether what is published now goes out.
    pub(crate) fn is_connected(&self) -> bool {
        let Some(live) = self.client.get() else { return false };
        live.client.connection_state() == ClientState::Connected && live.knows_server()
    }

    /// How often it has been connected.
    pub(crate) fn epoch(&self) -> u64 {
        self.client.get().map_or(0, |live| live.statistics.connects.load(Ordering::Acquire))
    }

    pub(crate) fn max_payload(&self) -> usize {
        self.started().map_or(USUAL_MAX_PAYLOAD, Client::max_payload)
    }

    pub(crate) fn dropped_messages(&self) -> u64 {
        self.slow.total()
    }

    pub(crate) fn health(&self) -> Result<()> {
        match self.state() {
            State::Connected { .. } => Ok(()),
            State::Closed => Err(self.closed()),
            _ => {
                let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
                let addresses = &self.addresses;
                Err(Error::unavailable(format!("NATS at {addresses} is not reachable: {reason}")))
            }
        }
    }

    /// Nothing moves here any more: notes it, and gives the error that says so.
    pub(crate) fn ended(&self) -> Error {
        self.enter(State::Closed);
        self.closed()
    }

    fn closed(&self) -> Error {
        Error::unavailable(format!("the connection to NATS at {} is closed", self.addresses))
    }

    fn connect(this: &Arc<Self>) -> Result<Client> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(Error::internal("a connection to NATS is used outside of a Tokio runtime"));
        }
        // A server may ask for TLS at any time, and rustls panics where no provider is chosen and
        // the application compiles in several.
        if CryptoProvider::get_default().is_none() {
            // `Err` means that somebody was quicker, which is as good.
            let _ = ring::default_provider().install_default();
        }
        let options = Self::client_options(this)?;
        this.set_reason("not connected yet");
        this.enter(State::Connecting);
        // With `retry_on_initial_connect` it waits for nothing.
        match options.connect(this.servers.clone()).now_or_never() {
            Some(Ok(client)) => Ok(client),
            Some(Err(error)) => Err(Error::invalid_input(format!(
                "NATS at {} cannot be connected to",
                this.addresses
            ))
            .with_source(error)),
            None => Err(Error::internal("the NATS client waited for the network")),
        }
    }

    fn client_options(this: &Arc<Self>) -> Result<ConnectOptions> {
        let ours = &this.options;
        let mut options = ConnectOptions::new()
            .retry_on_initial_connect()
            .max_reconnects(None)
            // Servers that others tell of come without a scheme, so without a demand for TLS.
            .require_tls(ours.tls_required || ours.addresses.all_tls())
            .connection_timeout(ours.attempt_timeout)
            .ping_interval(ours.ping_interval)
            .custom_inbox_prefix(&ours.inbox_prefix)
            .subscription_capacity(ours.subscription_capacity)
            .client_capacity(ours.client_capacity);
        if let Some(name) = &ours.name {
            options = options.name(name);
        }
        for file in &ours.root_certificates {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = &ours.client_certificate {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        if let Some(credentials) = ours.credentials.as_ref().or(ours.addresses.credentials()) {
            options = credentials.apply(options)?;
        }
        // None of these may keep the connection: its client ends when the last handle goes.
        let (event, delay, failed) =
            (Arc::downgrade(this), Arc::downgrade(this), Arc::downgrade(this));
        Ok(options
            .event_callback(move |happened| {
                with(&event, |connection| connection.on_event(happened));
                std::future::ready(())
            })
            .reconnect_delay_callback(move |attempt| {
                let first = with(&delay, |connection| connection.epoch() == 0).unwrap_or(false);
                pause_before(attempt, first)
            })
            // It is told why each server failed, which no event says, and leaves the choice to
            // the client.
            .reconnect_to_server_callback(move |servers, _| {
                with(&failed, |connection| connection.on_failures(&servers));
                std::future::ready(None)
            }))
    }

    fn on_event(&self, event: Event) {
        let addresses = &self.addresses;
        match event {
            Event::Connected => {
                // The first one may come before the client is in its place.
                let epoch = self.epoch().max(1);
                if self.connects.count().is_some() {
                    tracing::info!(%addresses, epoch, "connected to NATS");
                }
                self.enter(State::Connected { epoch });
                return;
            }
            Event::Disconnected => {
                if let Some(losses) = self.losses.count() {
                    tracing::warn!(%addresses, losses, "the connection to NATS is lost");
                }
                self.set_reason("the connection was lost");
                self.enter(State::Disconnected);
                return;
            }
            Event::Closed => {
                self.enter(State::Closed);
                return;
            }
            Event::SlowConsumer(_) => {
                if let Some(dropped) = self.slow.count() {
                    tracing::warn!(%addresses, dropped, "a subscription's reader is too slow: messages are lost");
                }
            }
            Event::ClientError(error) => {
                let kind = error.to_string();
                self.set_reason_unless_known(kind.strip_prefix("nats: ").unwrap_or(&kind));
            }
            Event::ServerError(error) => {
                if let Some(complaints) = self.complaints.count() {
                    tracing::warn!(%addresses, complaints, %error, "NATS complains");
                }
            }
            Event::LameDuckMode => tracing::info!(%addresses, "NATS is about to shut down"),
            Event::Draining => {}
        }
        // The client drops events when there are many, also those that tell its state.
        let state = self.state();
        if state != State::Idle {
            self.enter(state);
        }
    }

    fn on_failures(&self, servers: &[Server]) {
        let failures: Vec<String> = (servers.iter())
            .filter_map(|server| {
                let error = server.last_error.as_ref()?;
                Some(match servers.len() {
                    1 => error.clone(),
                    _ => format!("{}:{}: {error}", server.addr.host(), server.addr.port()),
                })
            })
            .take(5)
            .collect();
        if failures.is_empty() {
            return;
        }
        let (reason, addresses) = (failures.join("; "), &self.addresses);
        if let Some(attempts) = self.failures.count() {
            tracing::warn!(%addresses, attempts, %reason, "NATS is not reachable");
        }
        self.set_reason(&reason);
    }

    /// `Closed` is for ever.
    fn enter(&self, next: State) {
        self.state.send_if_modified(|state| {
            let changes = *state != State::Closed && *state != next;
            if changes {
                *state = next;
            }
            changes
        });
    }

    fn set_reason(&self, reason: &str) {
        let mut last = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone_into(&mut last);
    }

    /// An event names the kind of a failure alone; often more is known already.
    fn set_reason_unless_known(&self, kind: &str) {
        let mut last = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        if !last.contains(kind) {
            kind.clone_into(&mut last);
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

fn with<T>(connection: &Weak<Connection>, work: impl FnOnce(&Connection) -> T) -> Option<T> {
    connection.upgrade().map(|connection| work(&connection))
}

/// A random time of at most 50 ms before the first attempt, doubling up to 1 s, so that those who
/// lost a server together do not come back together. The very first connect waits for nothing.
fn pause_before(attempt: usize, never_connected: bool) -> Duration {
    if never_connected && attempt <= 1 {
        return Duration::ZERO;
    }
    let doublings = attempt.saturating_sub(1).min(16);
    let longest = Duration::from_millis(50 << doublings).min(LONGEST_PAUSE);
    longest.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_pauses_are_short_and_none_is_over_the_longest() {
        for _ in 0..1000 {
            assert_eq!(pause_before(1, true), Duration::ZERO);
            assert!(pause_before(1, false) <= Duration::from_millis(50));
            assert!(pause_before(3, false) <= Duration::from_millis(200));
            assert!(pause_before(usize::MAX, false) <= LONGEST_PAUSE);
        }
    }

    #[test]
    fn pauses_differ() {
        let pauses: Vec<Duration> = (0..10).map(|_| pause_before(8, false)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{pauses:?}");
    }
}
