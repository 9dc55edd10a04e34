//! The responder and browser of multicast DNS: a thread of the library, and how it is used here.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use mdns_sd::{IfKind, Metrics, Receiver, ServiceDaemon, ServiceEvent, ServiceInfo, TxtProperty};
use micro_core::{Error, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

use crate::config::Options;
use crate::interfaces;
use crate::own::{Announcement, Say};

/// The largest packet that is sent: what goes through every network in one piece, since IPv6 asks
/// for an MTU of 1280 bytes, less its header of 40 bytes and that of UDP of 8.
pub(crate) const MAX_PACKET: usize = 1232;
/// The addresses of a node that only this machine can dial.
const LOCAL: &str = "127.0.0.1,::1";
/// How long whoever drops a daemon waits for room in its queue of commands.
const DROPPED_WITHIN: Duration = Duration::from_millis(500);

/// What a record takes that the library remembers: measured, with the texts of its names.
const RECORD: usize = 750;
/// What the text of a record takes beside: ours have 1 KiB at most, others' may have 9 KiB.
const TEXT: usize = 3 * 1024;
/// What a timer takes.
const TIMER: usize = 16;

/// One thread with its sockets. It ends with this, without a word to anybody.
pub(crate) struct Daemon {
    daemon: ServiceDaemon,
    service_type: String,
}

impl Daemon {
    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable`, if there is none of the interfaces, or the port cannot be had.
    pub(crate) fn start(options: &Options, service_type: &str) -> Result<Self> {
        interfaces::present(&options.interfaces)?;
        for missing in interfaces::missing(&options.interfaces) {
            warn!(interface = %missing, "there is no such network interface; it is used when there is");
        }
        check_port(options.port)?;
        let failed = |error| {
            Error::unavailable("multicast DNS cannot be started on this machine").with_source(error)
        };
        let daemon = ServiceDaemon::new_with_port(options.port).map_err(failed)?;
        // From here on the thread ends with it.
        let this = Self { daemon, service_type: service_type.to_owned() };
        if !options.interfaces.is_empty() {
            let kinds = options.interfaces.iter().flat_map(|i| i.kinds()).collect::<Vec<_>>();
            this.daemon.disable_interface(IfKind::All).map_err(failed)?;
            this.daemon.enable_interface(kinds).map_err(failed)?;
        }
        this.daemon.set_max_packet_size(IfKind::All, MAX_PACKET).map_err(failed)?;
        Ok(this)
    }

    /// Tells, or tells no more. `false`: it has too much to do, try again.
    pub(crate) fn say(&self, say: &Say) -> Result<bool> {
        let outcome = match say {
            Say::Announce(announcement) => self.daemon.register(self.info(announcement)?),
            Say::Withdraw(label) => {
                self.daemon.unregister(&format!("{label}.{}", self.service_type)).map(drop)
            }
        };
        Ok(answer(outcome)?.is_some())
    }

    /// Begins to listen, with nothing remembered of before. `None`: it has too much to do.
    pub(crate) fn browse(&self) -> Result<Option<Receiver<ServiceEvent>>> {
        // What is remembered would be told at once, more than the queue of events may hold.
        if answer(self.daemon.stop_browse(&self.service_type))?.is_none() {
            return Ok(None);
        }
        answer(self.daemon.browse(&self.service_type))
    }

    /// Is told something when all that was said before has been sent. `None`: too much to do.
    pub(crate) fn barrier(&self) -> Result<Option<Receiver<mdns_sd::DaemonStatus>>> {
        answer(self.daemon.status())
    }

    /// Is told how much it remembers, for [`weight`]. `None`: too much to do.
    pub(crate) fn metrics(&self) -> Result<Option<Receiver<Metrics>>> {
        answer(self.daemon.get_metrics())
    }

    /// The label of an instance.
    pub(crate) fn label<'a>(&self, name: &'a str) -> Option<&'a str> {
        name.strip_suffix(&self.service_type)?.strip_suffix('.')
    }

    fn info(&self, said: &Announcement) -> Result<ServiceInfo> {
        let Announcement { label, host, port, is_local, txt } = said;
        let txt: Vec<TxtProperty> = txt.iter().cloned().map(TxtProperty::from).collect();
        // On each interface the library tells what has an address there.
        let addresses = if *is_local { LOCAL } else { "" };
        let info = ServiceInfo::new(&self.service_type, label, host, addresses, *port, txt);
        let mut info = info.map_err(|error| {
            Error::internal(format!("instance {label:?} cannot be told")).with_source(error)
        })?;
        // The names are unique by what is random in them.
        info.set_requires_probe(false);
        Ok(if *is_local { info } else { info.enable_addr_auto() })
    }

    /// The thread says goodbye for what it still tells, unless it has nowhere to say it.
    fn end(&self) {
        let until = std::time::Instant::now() + DROPPED_WITHIN;
        let mut silent = false;
        while std::time::Instant::now() < until {
            silent = silent
                || !matches!(
                    self.daemon.disable_interface(IfKind::All),
                    Err(mdns_sd::Error::Again)
                );
            if silent && !matches!(self.daemon.shutdown(), Err(mdns_sd::Error::Again)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        warn!("the thread of multicast DNS takes no command, and was left behind");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for Daemon {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Daemon").field("service_type", &self.service_type).finish_non_exhaustive()
    }
}

/// About how many bytes a thread takes that remembers this.
pub(crate) fn weight(metrics: &Metrics) -> usize {
    let count = |(key, count): (&String, &i64)| {
        let count = usize::try_from(*count).unwrap_or(0);
        if key == "cached-txt" {
            count.saturating_mul(RECORD + TEXT)
        } else if key.starts_with("cached-") {
            count.saturating_mul(RECORD)
        } else if key == "timer" {
            count.saturating_mul(TIMER)
        } else {
            0
        }
    };
    metrics.iter().map(count).fold(0, usize::saturating_add)
}

/// `None`: its queue is full.
fn answer<T>(outcome: mdns_sd::Result<T>) -> Result<Option<T>> {
    match outcome {
        Ok(answer) => Ok(Some(answer)),
        Err(mdns_sd::Error::Again) => Ok(None),
        Err(error) => Err(gone(error)),
    }
}

fn gone(error: mdns_sd::Error) -> Error {
    Error::unavailable("the thread of multicast DNS has ended").with_source(error)
}

/// The library says nothing of a port that it cannot have.
fn check_port(port: u16) -> Result<()> {
    let v4 = bind(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, port).into()).err();
    let v6 = bind(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, port).into()).err();
    let both = v4.is_some() && v6.is_some();
    // A machine may have one family of addresses alone; a port that somebody has is another thing.
    let counts = |error: &io::Error| both || error.kind() == io::ErrorKind::AddrInUse;
    match [v4, v6].into_iter().flatten().find(counts) {
        None => Ok(()),
        Some(error) => Err(Error::unavailable(format!(
            "multicast DNS needs UDP port {port}, which cannot be had; a program that does not \
             share it may be using it"
        ))
        .with_source(error)),
    }
}

fn bind(domain: Domain, address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())
}
