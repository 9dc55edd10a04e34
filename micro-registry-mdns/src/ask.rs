//! One-shot queries (RFC 6762, 5.1): from a port of its own, so that the answers come at once and
//! to whoever asked alone. What must be multicast no more than once a second is in them too.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use simple_dns::Name;
use socket2::{Domain, SockRef};
use tokio::net::UdpSocket;
use tracing::debug;

use crate::channel;
use crate::dns::{self, Answer, MAX_MESSAGE, Question};
use crate::links::Link;
use crate::state::State;

/// As many questions as surely have room in a packet.
const QUESTIONS: usize = 12;

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
        // One more, so that what is too large is seen to be.
        let buffer = vec![0; MAX_MESSAGE + 1];
        Ok(Self { v4: v4.ok(), v6: v6.ok(), port, id: fastrand::u16(..), buffer })
    }

    /// Asks on each of these links.
    pub(crate) fn ask(
        &self,
        service_type: &Name<'static>,
        questions: &[Question],
        state: &State,
        links: &[Link],
    ) {
        for questions in questions.chunks(QUESTIONS) {
            let asks_all = questions.contains(&Question::Instances);
            let known = state.known().filter(|_| asks_all);
            let query = dns::query(self.id, service_type, questions, known);
            for link in links {
                let socket = if link.id.is_v4 { &self.v4 } else { &self.v6 };
                let Some(socket) = socket else { continue };
                // Who cannot be asked does not answer: whoever waits has a limit.
                // Not by tokio, which does not know yet whether a new socket can send.
                let asked = channel::say(SockRef::from(socket), link, self.port, &query);
                if let Err(error) = asked {
                    debug!(interface = link.name, %error, "a query could not be sent");
                }
            }
        }
    }

    /// Until something has come. Cancel safe.
    pub(crate) async fn readable(&self) {
        let readable = async |socket: Option<&UdpSocket>| match socket {
            Some(socket) => drop(socket.readable().await),
            None => std::future::pending().await,
        };
        tokio::select! {
            () = readable(self.v4.as_ref()) => {}
            () = readable(self.v6.as_ref()) => {}
        }
    }

    /// Reads some of what has come, without waiting; false if that was all.
    pub(crate) fn read(
        &mut self,
        service_type: &Name<'static>,
        mut hear: impl FnMut(Vec<Answer>),
    ) -> bool {
        let mut is_more = false;
        for socket in [&self.v4, &self.v6].into_iter().flatten() {
            match socket.try_recv_from(&mut self.buffer) {
                Ok((length, from)) => {
                    is_more = true;
                    let packet = dns::read(&self.buffer[..length]);
                    // Others than responders have no business here.
                    let is_answer = |packet: &simple_dns::Packet<'_>| {
                        from.port() == self.port
                            && packet.id() == self.id
                            && dns::is_response(packet)
                    };
                    if let Some(packet) = packet.filter(is_answer) {
                        hear(dns::answers(&packet, service_type));
                    }
                }
                // An error is one of a packet that was sent, and says nothing of the next one.
                Err(error) => is_more |= error.kind() != io::ErrorKind::WouldBlock,
            }
        }
        is_more
    }
}

fn open(domain: Domain, address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = channel::open(domain)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}
