//! What can be set.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::frames::LONGEST;

/// Options of a [`TcpTransport`](crate::TcpTransport).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// The largest packet, sent or received, in bytes; below 4 GiB. 96 MiB: a body of 64 MiB, the
    /// runtime's largest, is a third longer in go-micro's dialect, where it is base64.
    pub max_packet: usize,
    /// How many accepted connections a port has at most; further ones are closed before they were
    /// greeted, so that their packets are known to be undelivered. 16,384.
    pub max_connections: usize,
    /// How many accepted connections may be without a first packet (or 64 KiB of one); beyond, the
    /// oldest is closed. 4,096.
    pub max_half_open: usize,
    /// How long an accepted connection may be so. 10 s.
    pub half_open_timeout: Duration,
    /// How many packets of a peer wait to be written before it is full. 4,096.
    pub queue_packets: usize,
    /// How many bytes of a peer's packets do; the last packet may exceed it, so that any size goes
    /// through. 64 MiB.
    pub queue_bytes: usize,
    /// How long a dial may take: name, connection, TLS and greeting. 900 ms, less than the second
    /// that an attempt of the runtime has, so that another node is tried in time.
    pub connect_timeout: Duration,
    /// How long a closed peer's packets may take to be written and its end to be seen, and how
    /// long [`flush`](micro_core::transport::Port::flush) waits. 5 s.
    pub linger: Duration,
    /// How an end that vanished is found out.
    pub keepalive: Keepalive,
    /// Whether a Unix socket is beside each TCP listener, and tried first by those who dial on
    /// the same machine. On; Linux only.
    pub unix_socket: bool,
    /// With which files everything is encrypted; without, nothing is. None.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::Tls>,
}

/// How an end that vanished without a word is found out: after `idle + interval * probes` it is
/// gone, also if it does not take what is sent to it for so long (the latter on Linux only).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Keepalive {
    /// For how long nothing comes before it is asked, in whole seconds as `interval`. 15 s.
    pub idle: Duration,
    /// How long an answer is waited for. 5 s.
    pub interval: Duration,
    /// How often it is asked. 3.
    pub probes: u32,
}

/// What every system takes.
const SECONDS: RangeInclusive<u64> = 1..=32_767;
const PROBES: RangeInclusive<u32> = 1..=127;

impl Default for Options {
    fn default() -> Self {
        Self {
            max_packet: 96 << 20,
            max_connections: 16_384,
            max_half_open: 4_096,
            half_open_timeout: Duration::from_secs(10),
            queue_packets: 4_096,
            queue_bytes: 64 << 20,
            connect_timeout: Duration::from_millis(900),
            linger: Duration::from_secs(5),
            keepalive: Keepalive::default(),
            unix_socket: true,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { idle: Duration::from_secs(15), interval: Duration::from_secs(5), probes: 3 }
    }
}

impl Options {
    /// Why they cannot be.
    pub(crate) fn flaw(&self) -> Option<&'static str> {
        let Keepalive { idle, interval, probes } = self.keepalive;
        let fits = |time: Duration| SECONDS.contains(&time.as_secs());
        if !u32::try_from(self.max_packet).is_ok_and(|max| max <= LONGEST) {
            Some("a packet has less than 4 GiB")
        } else if self.queue_packets == 0 || self.queue_bytes == 0 {
            Some("a queue without room takes nothing, ever")
        } else if !fits(idle) || !fits(interval) || !PROBES.contains(&probes) {
            // Whoever set them on a socket would fail at each connection.
            Some("keepalive counts whole seconds, 1 to 32,767, and 1 to 127 probes")
        } else {
            None
        }
    }

    /// Sets [`max_packet`](Self::max_packet).
    #[must_use]
    pub fn with_max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = bytes;
        self
    }

    /// Sets [`max_connections`](Self::max_connections).
    #[must_use]
    pub fn with_max_connections(mut self, connections: usize) -> Self {
        self.max_connections = connections;
        self
    }

    /// Sets [`max_half_open`](Self::max_half_open).
    #[must_use]
    pub fn with_max_half_open(mut self, connections: usize) -> Self {
        self.max_half_open = connections;
        self
    }

    /// Sets [`half_open_timeout`](Self::half_open_timeout).
    #[must_use]
    pub fn with_half_open_timeout(mut self, timeout: Duration) -> Self {
        self.half_open_timeout = timeout;
        self
    }

    /// Sets [`queue_packets`](Self::queue_packets).
    #[must_use]
    pub fn with_queue_packets(mut self, packets: usize) -> Self {
        self.queue_packets = packets;
        self
    }

    /// Sets [`queue_bytes`](Self::queue_bytes).
    #[must_use]
    pub fn with_queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// Sets [`connect_timeout`](Self::connect_timeout).
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets [`linger`](Self::linger).
    #[must_use]
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets [`keepalive`](Self::keepalive).
    #[must_use]
    pub fn with_keepalive(mut self, keepalive: Keepalive) -> Self {
        self.keepalive = keepalive;
        self
    }

    /// Sets [`unix_socket`](Self::unix_socket).
    #[must_use]
    pub fn with_unix_socket(mut self, yes: bool) -> Self {
        self.unix_socket = yes;
        self
    }

    /// Sets [`tls`](Self::tls).
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn with_tls(mut self, tls: crate::Tls) -> Self {
        self.tls = Some(tls);
        self
    }
}

impl Keepalive {
    /// Sets [`idle`](Self::idle).
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.idle = idle;
        self
    }

    /// Sets [`interval`](Self::interval).
    #[must_use]
    pub fn with_interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets [`probes`](Self::probes).
    #[must_use]
    pub fn with_probes(mut self, probes: u32) -> Self {
        self.probes = probes;
        self
    }
}
