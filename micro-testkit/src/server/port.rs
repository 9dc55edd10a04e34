//! Ports that stay ours.

use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, SocketAddrV4, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt,
};
use std::net::Ipv4Addr;

/// A free port of 127.0.0.1.
///
/// A socket that is bound to it and does not listen keeps it: the system gives it to nobody who
/// asks for any port, not even to an outgoing connection, but a server that names it may still
/// listen there. So a server can be stopped and started again at its port.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: Option<OwnedFd>,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        Self::try_reserve().expect("the system has a free port")
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    fn try_reserve() -> rustix::io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        let address = SocketAddrV4::try_from(getsockname(&socket)?)?;
        // Elsewhere a bound socket would keep the server itself away.
        let held = cfg!(target_os = "linux").then_some(socket);
        Ok(Self { number: address.port(), _held: held })
    }
}
