//! Where a port is heard.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use micro_core::{Error, ErrorKind, Result};
use tokio::net::{TcpListener, TcpSocket, lookup_host};

use crate::address::{Host, Id, Listen, Spot};
use crate::config::{Keepalive, Options};
use crate::hub::lock;
use crate::reachable::Reachable;
use crate::stream::{self, Stream};
#[cfg(unix)]
use crate::unix::UnixDoor;

/// How many connections wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Where a port listens.
pub(crate) struct Listening {
    address: String,
    id: Arc<Id>,
    /// How others get to it: whether with TLS, and the TCP port if there is one.
    pub(crate) tls: bool,
    pub(crate) port: Option<u16>,
    /// Where it listens at all addresses of this machine: the unspecified one.
    everywhere: Option<IpAddr>,
    pub(crate) reachable: Reachable,
    state: Mutex<State>,
}

struct State {
    /// `None` once nobody listens.
    doors: Option<Vec<Door>>,
    waker: Waker,
}

enum Door {
    Tcp(TcpListener, Keepalive),
    #[cfg(unix)]
    Unix(UnixDoor),
}

type Accepted = (Box<dyn Stream>, String);

impl Listening {
    pub(crate) async fn open(listen: &Listen, options: &Options) -> Result<Self> {
        let (id, reachable) = (Id::fresh(), Reachable::default());
        let mut everywhere = None;
        let (address, port, doors) = match &listen.spot {
            Spot::Tcp(host, port) => {
                let scheme = scheme(listen.tls);
                let bound = bind(host, *port).await;
                let asked = || format!("{scheme}{host}:{port}");
                let (listener, bound) = bound.map_err(|error| cannot_listen(&asked(), &error))?;
                let named = match host {
                    Host::Ip(ip) if ip.is_unspecified() => {
                        everywhere = Some(*ip);
                        Host::Ip(reachable.now(*ip))
                    }
                    host => host.clone(),
                };
                let address = format!("{scheme}{named}:{}/{id}", bound.port());
                #[allow(unused_mut, reason = "there is more than one on Linux alone")]
                let mut doors = vec![Door::Tcp(listener, options.keepalive)];
                #[cfg(target_os = "linux")]
                if options.unix_socket {
                    match UnixDoor::beside(&id) {
                        Ok(door) => doors.push(Door::Unix(door)),
                        // TCP does all of it, only a little slower.
                        Err(error) => tracing::debug!(%error, address, "no Unix socket beside it"),
                    }
                }
                (address, Some(bound.port()), doors)
            }
            #[cfg(unix)]
            Spot::Unix(path) => {
                let door = UnixDoor::bind(path)?;
                (format!("unix:{}", path.display()), None, vec![Door::Unix(door)])
            }
            #[cfg(unix)]
            Spot::UnixIn(folder) => {
                let path = folder.join(format!("{id}.sock"));
                let door = UnixDoor::bind(&path)?;
                (format!("unix:{}", path.display()), None, vec![Door::Unix(door)])
            }
        };
        let state = Mutex::new(State { doors: Some(doors), waker: Waker::noop().clone() });
        let (id, tls) = (Arc::new(id), listen.tls);
        Ok(Self { address, id, tls, port, everywhere, reachable, state })
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The same at the address that this machine has now.
    pub(crate) fn address_now(&self) -> String {
        match (self.everywhere, self.port) {
            (Some(everywhere), Some(port)) => {
                self.address_at(&Host::Ip(self.reachable.now(everywhere)), port)
            }
            _ => self.address.clone(),
        }
    }

    /// This port's address where it is reached at this host and port.
    pub(crate) fn address_at(&self, host: &Host, port: u16) -> String {
        format!("{}{host}:{port}/{}", scheme(self.tls), self.id)
    }

    pub(crate) fn id(&self) -> Arc<Id> {
        self.id.clone()
    }

    /// Who is waked when nobody listens any more.
    pub(crate) fn set_waker(&self, waker: Waker) {
        lock(&self.state).waker = waker;
    }

    /// Who waits to be accepted is sent away by the system, ungreeted.
    pub(crate) fn stop(&self) {
        let mut state = lock(&self.state);
        let doors = state.doors.take();
        let waker = state.waker.clone();
        drop(state);
        drop(doors);
        waker.wake();
    }

    /// The next connection, and where it comes from; `None` when nobody listens any more.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Accepted>>> {
        let mut state = lock(&self.state);
        let Some(doors) = &mut state.doors else { return Poll::Ready(None) };
        for at in 0..doors.len() {
            if let Poll::Ready(accepted) = doors[at].poll_accept(cx) {
                // A crowd at this one keeps nobody from the others.
                doors.rotate_left(at + 1);
                return Poll::Ready(Some(accepted));
            }
        }
        Poll::Pending
    }
}

impl Door {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Accepted>> {
        match self {
            Self::Tcp(listener, keepalive) => loop {
                let Poll::Ready(accepted) = listener.poll_accept(cx) else { return Poll::Pending };
                match accepted {
                    Ok((stream, remote)) => {
                        if stream::set_up(&stream, *keepalive).is_ok() {
                            return Poll::Ready(Ok((Box::new(stream), remote.to_string())));
                        }
                        // It is gone already.
                    }
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            },
            #[cfg(unix)]
            Self::Unix(door) => door.poll_accept(cx),
        }
    }
}

fn scheme(tls: bool) -> &'static str {
    if tls { "tls://" } else { "" }
}

async fn bind(host: &Host, port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let addresses: Vec<SocketAddr> = match host {
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => lookup_host((&**name, port)).await?.collect(),
    };
    let mut last = io::Error::other("the name has no address");
    for address in addresses {
        let listener = listen(address);
        match listener.and_then(|listener| listener.local_addr().map(|bound| (listener, bound))) {
            Ok(listening) => return Ok(listening),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restart need not wait for what is left of old connections. On Windows it would mean
    // something else.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Why it cannot be listened at an address.
pub(crate) fn cannot_listen(address: &str, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            Error::new(ErrorKind::Conflict, format!("somebody listens at {address} already"))
        }
        io::ErrorKind::PermissionDenied => {
            Error::new(ErrorKind::PermissionDenied, format!("may not listen at {address}: {error}"))
        }
        _ => Error::invalid_input(format!("cannot listen at {address}: {error}")),
    }
}
