//! The options of a connection.

use std::path::PathBuf;
use std::time::Duration;

use micro_core::{Error, Result};

use crate::{Addresses, Credentials};

/// How a connection is made and what it may use. `Debug` shows no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NatsOptions {
    /// Where NATS is; 127.0.0.1:4222.
    pub addresses: Addresses,
    /// Who we are; those of [`addresses`](Self::addresses) where `None`.
    pub credentials: Option<Credentials>,
    /// What the connection is called in the server's monitoring; nothing.
    pub name: Option<String>,
    /// Demand TLS of every server, not only of those with `tls://`. A server that demands it gets
    /// it in any case.
    pub tls_required: bool,
    /// PEM files of the certificates that servers are checked against, instead of the system's;
    /// read anew at every connect, as is the client's certificate.
    pub root_certificates: Vec<PathBuf>,
    /// PEM files of the certificate that we show to a server, and of its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// How long an operation waits for NATS before it fails; 5 s.
    pub connect_wait: Duration,
    /// How long one attempt to connect to one server may take; 2 s.
    pub attempt_timeout: Duration,
    /// How often the server is asked whether it is still there; two questions without an answer
    /// end the connection. 10 s.
    pub ping_interval: Duration,
    /// What the subjects of inboxes begin with; `_INBOX`. An account that may use only some
    /// subjects has its own here.
    pub inbox_prefix: String,
    /// How many messages may wait for the reader of one subscription; what comes beyond that is
    /// lost and counted. 65,536.
    pub subscription_capacity: usize,
    /// How many messages may wait to be written to the connection; 2,048.
    pub client_capacity: usize,
}

impl NatsOptions {
    /// Sets [`addresses`](Self::addresses).
    #[must_use]
    pub fn with_addresses(mut self, addresses: Addresses) -> Self {
        self.addresses = addresses;
        self
    }

    /// Sets [`credentials`](Self::credentials).
    #[must_use]
    pub fn with_credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sets [`name`](Self::name).
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets [`tls_required`](Self::tls_required).
    #[must_use]
    pub fn with_tls_required(mut self, required: bool) -> Self {
        self.tls_required = required;
        self
    }

    /// Adds to [`root_certificates`](Self::root_certificates).
    #[must_use]
    pub fn with_root_certificates(mut self, file: impl Into<PathBuf>) -> Self {
        self.root_certificates.push(file.into());
        self
    }

    /// Sets [`client_certificate`](Self::client_certificate).
    #[must_use]
    pub fn with_client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// Sets [`connect_wait`](Self::connect_wait).
    #[must_use]
    pub fn with_connect_wait(mut self, wait: Duration) -> Self {
        self.connect_wait = wait;
        self
    }

    /// Sets [`attempt_timeout`](Self::attempt_timeout).
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = timeout;
        self
    }

    /// Sets [`ping_interval`](Self::ping_interval).
    #[must_use]
    pub fn with_ping_interval(mut self, interval: Duration) -> Self {
        self.ping_interval = interval;
        self
    }

    /// Sets [`inbox_prefix`](Self::inbox_prefix).
    #[must_use]
    pub fn with_inbox_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.inbox_prefix = prefix.into();
        self
    }

    /// Sets [`subscription_capacity`](Self::subscription_capacity).
    #[must_use]
    pub fn with_subscription_capacity(mut self, messages: usize) -> Self {
        self.subscription_capacity = messages;
        self
    }

    /// Sets [`client_capacity`](Self::client_capacity).
    #[must_use]
    pub fn with_client_capacity(mut self, messages: usize) -> Self {
        self.client_capacity = messages;
        self
    }

    /// # Errors
    /// `InvalidInput`, naming the option.
    pub(crate) fn check(&self) -> Result<()> {
        let prefix = &self.inbox_prefix;
        let is_token = |token: &str| {
            let bad = |c: char| c.is_whitespace() || c.is_control() || c == '*' || c == '>';
            !token.is_empty() && !token.contains(bad)
        };
        if prefix.len() > 255 || !prefix.split('.').all(is_token) {
            return Err(Error::invalid_input(format!(
                "{prefix:?} is no prefix of inboxes: up to 255 bytes of dot-separated parts, \
                 none empty, without white space, control characters, * and >"
            )));
        }
        // The most that a channel of the runtime may hold is less than any number.
        const MOST: usize = 1 << 24;
        for (name, capacity) in [
            ("subscription_capacity", self.subscription_capacity),
            ("client_capacity", self.client_capacity),
        ] {
            if !(1..=MOST).contains(&capacity) {
                return Err(Error::invalid_input(format!(
                    "{name} is {capacity} messages; it has to be from 1 to {MOST}"
                )));
            }
        }
        for (name, time) in
            [("attempt_timeout", self.attempt_timeout), ("ping_interval", self.ping_interval)]
        {
            if time.is_zero() {
                return Err(Error::invalid_input(format!("{name} is zero")));
            }
        }
        // Times are added to the clock's.
        const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
        for (name, time) in [
            ("connect_wait", self.connect_wait),
            ("attempt_timeout", self.attempt_timeout),
            ("ping_interval", self.ping_interval),
        ] {
            if time > LONGEST {
                return Err(Error::invalid_input(format!("{name} is {time:?}, more than a day")));
            }
        }
        Ok(())
    }
}

impl Default for NatsOptions {
    fn default() -> Self {
        Self {
            addresses: Addresses::default(),
            credentials: None,
            name: None,
            tls_required: false,
            root_certificates: Vec::new(),
            client_certificate: None,
            connect_wait: Duration::from_secs(5),
            attempt_timeout: Duration::from_secs(2),
            ping_interval: Duration::from_secs(10),
            inbox_prefix: "_INBOX".to_owned(),
            subscription_capacity: 65_536,
            client_capacity: 2048,
        }
    }
}
