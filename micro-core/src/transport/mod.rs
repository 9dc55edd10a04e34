//! Packets between peers.
//!
//! A transport moves packets and knows nothing of calls: what the bytes mean is
//! [`wire`](crate::wire)'s, and batching, splitting and streams exist once, above every backend.

mod classic;
mod peer;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;

pub use self::classic::{Dialer, Listener, Pump, Socket, SocketOptions, classic, classic_with};
pub use self::peer::{Link, Peer, PeerId, Refused};
use crate::{Reach, Result};

/// A way to move packets.
///
/// What every implementation keeps:
///
/// * **Opening** a port is local: it needs no network to be there, and it starts no task. Nothing
///   moves unless its [`Incoming`] is polled.
/// * **Order.** The packets that one [`Peer`] took arrive in this order, or not at all.
/// * **Any content.** A packet is any bytes, also none. What comes from outside and is no packet is
///   counted, logged once in a while and dropped; it ends no port.
/// * **Closing.** Dropping a port, its receiver and all of its peers closes it.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// The name by which flags choose it and nodes say how they are reached, such as `nats`.
    fn name(&self) -> &'static str;

    /// A port and its only receiver.
    ///
    /// # Errors
    /// `InvalidInput` if the address cannot be listened on, `Conflict` if it is seen to be taken.
    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)>;

    /// What it can tell.
    fn capabilities(&self) -> Capabilities;

    /// `Ok` if packets can move now; otherwise the reason, for whoever waited in vain.
    ///
    /// # Errors
    /// `Unavailable`, naming what is not reachable.
    fn health(&self) -> Result<()> {
        Ok(())
    }
}

/// Where a port listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bind {
    /// At an address of its own, that nobody else has.
    #[default]
    Any,
    /// At this address. What others dial, [`Port::local`], is the same, or the same with `/` and
    /// more behind it.
    Address(String),
    /// Nowhere: it only dials.
    ClientOnly,
}

impl From<&str> for Bind {
    /// `:0` and the empty text are [`Bind::Any`], as in go-micro.
    fn from(address: &str) -> Self {
        match address {
            "" | ":0" => Self::Any,
            other => Self::Address(other.to_owned()),
        }
    }
}

/// What a transport can tell: data for the runtime and the conformance suite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// It says when nobody listens: [`Arrival::Undelivered`].
    pub undelivered: bool,
    /// The other end sees an orderly close: [`Arrival::Closed`]. Without it a `Closed` may come
    /// all the same, of an end that was found to be gone.
    pub closed: bool,
    /// A packet that was taken arrives, unless an `Arrival` says otherwise.
    pub reliable: bool,
    /// The largest packet, in bytes, that surely goes through; `None`: no limit of its own.
    pub max_packet: Option<usize>,
    /// Who can dial what listens at an address of its own ([`Bind::Any`]).
    pub reach: Reach,
}

impl Capabilities {
    /// Sets [`undelivered`](Self::undelivered).
    #[must_use]
    pub fn with_undelivered(mut self, yes: bool) -> Self {
        self.undelivered = yes;
        self
    }

    /// Sets [`closed`](Self::closed).
    #[must_use]
    pub fn with_closed(mut self, yes: bool) -> Self {
        self.closed = yes;
        self
    }

    /// Sets [`reliable`](Self::reliable).
    #[must_use]
    pub fn with_reliable(mut self, yes: bool) -> Self {
        self.reliable = yes;
        self
    }

    /// Sets [`max_packet`](Self::max_packet).
    #[must_use]
    pub fn with_max_packet(mut self, bytes: usize) -> Self {
        self.max_packet = Some(bytes);
        self
    }

    /// Sets [`reach`](Self::reach).
    #[must_use]
    pub fn with_reach(mut self, reach: Reach) -> Self {
        self.reach = reach;
        self
    }
}

/// The sending and managing half of an open transport; shared.
#[async_trait]
pub trait Port: Send + Sync {
    /// The address that others dial; `None` if it only dials. It may say more than the address
    /// that was asked for, behind a `/`, such as which of all ports that ever listened there this
    /// is.
    fn local(&self) -> Option<&str>;

    /// What others dial, where they reach this port at another address than it listens at: behind
    /// a proxy, or under a name. As given, unless the transport adds what makes it whole, such as
    /// a port.
    ///
    /// Of the port's own, [`local`](Self::local), it is the address at which it is reached now, which
    /// another network may have changed. A server asks again at each renewal of its registration, so
    /// an answer waits for nothing, a name server least of all.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be an address.
    fn advertise(&self, address: &str) -> Result<String> {
        Ok(address.to_owned())
    }

    /// A new peer with a return address of its own: local, no round trip, no task. Whether
    /// anybody is there comes out with the first packet. Two dials of one address are two peers.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be an address.
    fn dial(&self, address: &str) -> Result<Peer>;

    /// From now on nobody listens at [`local`](Self::local). Return addresses live on: replies
    /// still arrive, and every peer, also an accepted one, can still be sent to and heard.
    ///
    /// # Errors
    /// `Unavailable` if the network could not be told.
    async fn stop_listening(&self) -> Result<()>;

    /// Waits, bounded, until what `try_send` took so far has left the process; of peers that were
    /// closed, where the wire tells it, until the other end has it.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn flush(&self) -> Result<()>;

    /// How often packets that were on the way, in either direction, may have been lost for all
    /// peers at once, such as with a connection. After the loss of a connection it grows before
    /// anything is received that was sent later, so that whoever needs each packet looks here after
    /// each receive; other losses may be told a moment late.
    fn interruptions(&self) -> u64 {
        0
    }
}

/// The receiving half of a port.
pub trait Incoming: Send {
    /// Appends what is ready, at most a few hundred arrivals; `Pending` only if nothing was
    /// appended, so that a poll that is given up loses nothing.
    ///
    /// # Errors
    /// Only when the port is over for good.
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>>;
}

/// Waits for the next arrivals: [`Incoming::poll_recv`] for `async` code. Cancel safe.
///
/// # Errors
/// When the port is over.
pub async fn recv(incoming: &mut dyn Incoming, out: &mut Vec<Arrival>) -> Result<()> {
    std::future::poll_fn(|cx| incoming.poll_recv(cx, out)).await
}

/// What a port receives.
#[non_exhaustive]
pub enum Arrival {
    /// A packet from a peer; the first one of an unknown peer makes it known (accepted).
    Packet {
        /// Who sent it, and where an answer goes.
        peer: Peer,
        /// What was sent.
        packet: Bytes,
    },
    /// Nobody listens there, which comes at most once for a peer. It takes nothing any more;
    /// replies to earlier packets may still come: whoever drains listens no more and answers yet.
    /// Where some may be missing and the backend finds out that nobody answers either,
    /// [`Arrival::Closed`] follows, as long as the peer is held.
    Undelivered {
        /// Whose packets.
        peer: Peer,
        /// The last so many packets that the peer took, in all, reached nobody; of earlier ones
        /// nothing is known. Never too many.
        packets: u64,
    },
    /// The other end is gone. The peer takes nothing any more, and nothing comes of it after this.
    /// After an [`Arrival::Undelivered`], or without one.
    Closed {
        /// Who.
        peer: Peer,
        /// As for [`Arrival::Undelivered`]; after one, the same number.
        packets: u64,
    },
}

impl Arrival {
    /// The peer that it belongs to.
    pub fn peer(&self) -> &Peer {
        match self {
            Self::Packet { peer, .. }
            | Self::Undelivered { peer, .. }
            | Self::Closed { peer, .. } => peer,
        }
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Packet { peer, packet } => {
                write!(f, "Packet({:?}, {} bytes)", peer.id(), packet.len())
            }
            Self::Undelivered { peer, packets } => {
                write!(f, "Undelivered({:?}, {packets})", peer.id())
            }
            Self::Closed { peer, packets } => write!(f, "Closed({:?}, {packets})", peer.id()),
        }
    }
}
