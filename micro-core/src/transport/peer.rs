//! One other end, as a port sees it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// One other end: dialled by us, or accepted. Cheap to clone; no task and no channel stands
/// behind it. When the last clone goes, the port forgets the peer and its return address.
#[derive(Clone)]
pub struct Peer(Arc<dyn Link>);

/// Names a peer within its port; never used again there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub u64);

/// Why a packet was not taken; it is handed back.
#[non_exhaustive]
pub enum Refused {
    /// No room, or the network is away: wait for [`Peer::ready`].
    Full(Bytes),
    /// Larger than [`Peer::max_packet`].
    TooLarge(Bytes),
    /// Nobody is there any more: dial again.
    Closed(Bytes),
}

/// What a backend implements for each peer.
///
/// After an [`Undelivered`](super::Arrival::Undelivered) or a `Closed` arrival, and after `close`,
/// it takes nothing: the check and the send are one atomic step, so that the count in the arrival
/// covers every packet that was ever taken.
#[async_trait]
pub trait Link: Send + Sync {
    /// Its name within the port.
    fn id(&self) -> PeerId;

    /// True if it dialled us.
    fn accepted(&self) -> bool;

    /// Its address, as far as it is known.
    fn remote(&self) -> &str;

    /// The largest packet in bytes; may change when the network is back.
    fn max_packet(&self) -> usize;

    /// Takes the packet at once or hands it back; never waits; from any thread; packets leave in
    /// the order in which they were taken.
    ///
    /// # Errors
    /// See [`Refused`].
    fn try_send(&self, packet: Bytes) -> Result<(), Refused>;

    /// Until another attempt is worth it; reserves nothing. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` once it takes nothing any more.
    async fn ready(&self) -> Result<()>;

    /// Ends it: tells the other end where the wire can, and frees the return address. Polls of
    /// [`Incoming`](super::Incoming) that begin after it yield nothing of this peer. A second
    /// call does nothing.
    fn close(&self);
}

impl Peer {
    /// A peer over a backend's link.
    pub fn new(link: Arc<dyn Link>) -> Self {
        Self(link)
    }

    /// Its name within the port.
    pub fn id(&self) -> PeerId {
        self.0.id()
    }

    /// True if it dialled us.
    pub fn accepted(&self) -> bool {
        self.0.accepted()
    }

    /// Its address, as far as it is known.
    pub fn remote(&self) -> &str {
        self.0.remote()
    }

    /// The largest packet in bytes; may change when the network is back.
    pub fn max_packet(&self) -> usize {
        self.0.max_packet()
    }

    /// Takes the packet at once or hands it back; never waits; from any thread; packets leave in
    /// the order in which they were taken.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        self.0.try_send(packet)
    }

    /// Until another attempt is worth it; reserves nothing. Cancel safe.
    ///
    /// # Errors
    /// `Unavailable` once it takes nothing any more.
    pub async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    /// Ends it: tells the other end where the wire can, and frees the return address. Polls of
    /// [`Incoming`](super::Incoming) that begin after it yield nothing of this peer. A second
    /// call does nothing.
    pub fn close(&self) {
        self.0.close();
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id().0)
            .field("remote", &self.remote())
            .field("accepted", &self.accepted())
            .finish()
    }
}

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(packet) => write!(f, "Full({} bytes)", packet.len()),
            Self::TooLarge(packet) => write!(f, "TooLarge({} bytes)", packet.len()),
            Self::Closed(packet) => write!(f, "Closed({} bytes)", packet.len()),
        }
    }
}
