//! A socket of multicast DNS, for one family of addresses.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use quinn_udp::{RecvMeta, UdpSocketState};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use crate::links::{Link, LinkId};

pub(crate) const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
pub(crate) const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// Many may speak at once.
const SOCKET_BUFFER: usize = 1 << 20;

/// What hears everybody, and speaks to them, from a port that is shared.
pub(crate) struct Channel {
    socket: Socket,
    /// The same socket, while the runtime is to wake for it: each packet wakes it, read or not.
    ears: Option<UdpSocket>,
    state: UdpSocketState,
    /// Members of groups for which it has no place: on Linux, whoever listens at the port hears
    /// what anybody on the machine is a member of.
    members: Vec<Socket>,
}

impl Channel {
    pub(crate) fn open(domain: Domain, address: SocketAddr) -> io::Result<Self> {
        let socket = open(domain)?;
        socket.set_reuse_address(true)?;
        #[cfg(unix)]
        socket.set_reuse_port(true)?;
        socket.bind(&address.into())?;
        let state = UdpSocketState::new((&socket).into())?;
        let mut channel = Self { socket, ears: None, state, members: Vec::new() };
        channel.listen(true)?;
        Ok(channel)
    }

    /// The `address` is one of the interface. A socket has place for few, 20 by default on Linux.
    pub(crate) fn join(&mut self, id: LinkId, address: IpAddr) -> io::Result<()> {
        let has_place = |socket: &Socket| match join(socket, id, address) {
            // It has been there before.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            joined => joined,
        };
        let Err(error) = has_place(&self.socket) else { return Ok(()) };
        if self.members.iter().any(|member| has_place(member).is_ok()) {
            return Ok(());
        }
        let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let member = open(domain)?;
        // What keeps one from joining keeps the other one too.
        has_place(&member).map_err(|_| error)?;
        self.members.push(member);
        Ok(())
    }

    /// The `address` is the one that was joined by.
    pub(crate) fn leave(&self, id: LinkId, address: IpAddr) -> io::Result<()> {
        let left = leave(&self.socket, id, address);
        left.or_else(|error| {
            let mut members = self.members.iter().map(|member| leave(member, id, address));
            members.find(Result::is_ok).unwrap_or(Err(error))
        })
    }

    /// Is woken by what comes, or not.
    pub(crate) fn listen(&mut self, listens: bool) -> io::Result<()> {
        if !listens {
            self.ears = None;
        } else if self.ears.is_none() {
            self.ears = Some(UdpSocket::from_std(self.socket.try_clone()?.into())?);
        }
        Ok(())
    }

    /// Until something has come. Cancel safe.
    pub(crate) async fn readable(&self) {
        match &self.ears {
            Some(ears) => drop(ears.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Reads as much as there are buffers for, and says how many it filled.
    pub(crate) fn read(
        &self,
        buffers: &mut [Vec<u8>],
        metas: &mut [RecvMeta],
    ) -> io::Result<usize> {
        let Some(ears) = &self.ears else { return Err(io::ErrorKind::WouldBlock.into()) };
        ears.try_io(Interest::READABLE, || {
            let mut slices: Vec<_> = buffers.iter_mut().map(|b| IoSliceMut::new(b)).collect();
            self.state.recv((&self.socket).into(), &mut slices, metas)
        })
    }

    /// To everybody on this link.
    pub(crate) fn say(&self, link: &Link, port: u16, message: &[u8]) -> io::Result<()> {
        say(SockRef::from(&self.socket), link, port, message)
    }

    /// To one alone.
    pub(crate) fn send(&self, to: SocketAddr, message: &[u8]) -> io::Result<()> {
        self.socket.send_to(message, &to.into()).map(drop)
    }
}

fn join(socket: &Socket, id: LinkId, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => socket.join_multicast_v4(&GROUP_V4, &address),
        IpAddr::V6(_) => socket.join_multicast_v6(&GROUP_V6, id.index),
    }
}

fn leave(socket: &Socket, id: LinkId, address: IpAddr) -> io::Result<()> {
    match address {
        IpAddr::V4(address) => socket.leave_multicast_v4(&GROUP_V4, &address),
        IpAddr::V6(_) => socket.leave_multicast_v6(&GROUP_V6, id.index),
    }
}

/// Whether multicast goes over it: not by IPv6 over loopback on Linux, which has no route for it.
pub(crate) fn carries_multicast(link: &Link, port: u16) -> bool {
    if link.id.is_v4 {
        return true;
    }
    let to = SocketAddrV6::new(GROUP_V6, port, 0, link.id.index);
    // Nothing is sent. Other errors, as without descriptors, say nothing of it.
    let connected =
        open(Domain::IPV6).and_then(|socket| socket.connect(&SocketAddr::from(to).into()));
    !connected.is_err_and(|error| error.kind() == io::ErrorKind::NetworkUnreachable)
}

/// A socket that sends multicast as far as it goes, which is no router, and does not wait.
pub(crate) fn open(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // RFC 6762, 11.
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        socket.set_multicast_hops_v6(255)?;
    } else {
        socket.set_multicast_ttl_v4(255)?;
    }
    // As much of it as there may be.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    Ok(socket)
}

/// Sends it to whoever listens on this link.
pub(crate) fn say(socket: SockRef<'_>, link: &Link, port: u16, message: &[u8]) -> io::Result<()> {
    let to: SocketAddr = match link.addresses.first() {
        Some(IpAddr::V4(address)) => {
            socket.set_multicast_if_v4(address)?;
            (GROUP_V4, port).into()
        }
        _ => {
            socket.set_multicast_if_v6(link.id.index)?;
            SocketAddrV6::new(GROUP_V6, port, 0, link.id.index).into()
        }
    };
    socket.send_to(message, &to.into()).map(drop)
}
