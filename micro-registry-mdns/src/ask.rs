//! One-shot queries (RFC 6762, 5.1): from a port of its own, so that the answers come at once and
//! to whoever asked alone. What must be multicast no more than once a second is in them too.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tracing::debug;

use crate::dns::{Answer, Question, decode_response, encode_query};

const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
/// As many questions as surely have room in a packet.
const QUESTIONS: usize = 12;
/// Larger packets are none of multicast DNS (RFC 6762, 17).
const MAX_PACKET: usize = 9000;
/// Many may answer at once.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The sockets that ask. They are closed when nobody waits for an answer.
#[derive(Debug)]
pub(crate) struct Asker {
    v4: Option<UdpSocket>,
    v6: Option<UdpSocket>,
    port: u16,
    id: u16,
    buffer: Vec<u8>,
}

impl Asker {
    /// # Errors
    /// Those of the operating system, if there is no socket to be had.
    pub(crate) fn open(port: u16) -> io::Result<Self> {
        let v4 = open(Domain::IPV4, SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
        let v6 = open(Domain::IPV6, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        if let (Err(error), Err(_)) = (&v4, &v6) {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        let buffer = vec![0; MAX_PACKET];
        Ok(Self { v4: v4.ok(), v6: v6.ok(), port, id: fastrand::u16(..), buffer })
    }

    /// Asks on each of these interfaces, once for each family of addresses.
    pub(crate) fn ask(
        &self,
        service_type: &str,
        questions: &[Question],
        interfaces: &[if_addrs::Interface],
    ) {
        let mut asked = Vec::new();
        for interface in interfaces {
            let family = (interface.index, interface.ip().is_ipv4());
            if asked.contains(&family) {
                continue;
            }
            asked.push(family);
            for questions in questions.chunks(QUESTIONS) {
                let query = encode_query(self.id, service_type, questions);
                // Who cannot be asked does not answer: whoever waits has a limit.
                if let Err(error) = self.send(&query, interface) {
                    debug!(interface = interface.name, %error, "a query could not be sent");
                }
            }
        }
    }

    /// The next answers. Cancel safe.
    pub(crate) async fn answers(&mut self, service_type: &str) -> Vec<Answer> {
        loop {
            // Who sends garbage takes no more than their share of the thread.
            tokio::task::consume_budget().await;
            let (v4, v6) = (self.v4.as_ref(), self.v6.as_ref());
            let readable = async |socket: Option<&UdpSocket>| match socket {
                Some(socket) => socket.readable().await,
                None => std::future::pending().await,
            };
            let ready = tokio::select! {
                ready = readable(v4) => ready.map(|()| v4),
                ready = readable(v6) => ready.map(|()| v6),
            };
            let Ok(Some(socket)) = ready else { return std::future::pending().await };
            // An error is one of a packet that was sent, and says nothing of the next one.
            let Ok((length, from)) = socket.try_recv_from(&mut self.buffer) else { continue };
            // Others than responders have no business here.
            if from.port() != self.port {
                continue;
            }
            let answers = decode_response(&self.buffer[..length], self.id, service_type);
            if let Some(answers) = answers.filter(|answers| !answers.is_empty()) {
                return answers;
            }
        }
    }

    fn send(&self, query: &[u8], interface: &if_addrs::Interface) -> io::Result<()> {
        let (socket, to): (_, SocketAddr) = match interface.ip() {
            IpAddr::V4(address) => {
                let Some(socket) = &self.v4 else { return Ok(()) };
                SockRef::from(socket).set_multicast_if_v4(&address)?;
                (socket, (GROUP_V4, self.port).into())
            }
            IpAddr::V6(_) => {
                let (Some(socket), Some(index)) = (&self.v6, interface.index) else {
                    return Ok(());
                };
                SockRef::from(socket).set_multicast_if_v6(index)?;
                (socket, SocketAddrV6::new(GROUP_V6, self.port, 0, index).into())
            }
        };
        // Not by tokio, which does not know yet whether a new socket can send.
        SockRef::from(socket).send_to(query, &to.into()).map(drop)
    }
}

fn open(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if domain == Domain::IPV6 {
        socket.set_only_v6(true)?;
        socket.set_multicast_hops_v6(255)?;
    } else {
        socket.set_multicast_ttl_v4(255)?;
    }
    // As much of it as there may be.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
