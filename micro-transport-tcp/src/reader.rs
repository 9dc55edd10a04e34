//! From the bytes of a connection to packets, for one poll of the receiver.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{BufMut, BytesMut};
use micro_core::transport::{Arrival, Peer};
use tokio_util::io::poll_read_buf;

use crate::frames::{self, Frame};
use crate::peer::{Held, Shared};
use crate::stream::Reading;

/// What one poll of the receiver may bring, and where.
pub(crate) struct Turn<'a> {
    pub(crate) arrivals: &'a mut Vec<Arrival>,
    pub(crate) packets: usize,
    pub(crate) bytes: usize,
    /// How many bytes were read, whole packets or not.
    pub(crate) read: usize,
    /// What small packets are read into, of whichever connection.
    pub(crate) scratch: &'a mut BytesMut,
}

/// How many packets one poll of the receiver brings, and how many bytes, but for the last packet.
pub(crate) const AT_ONCE: usize = 256;
pub(crate) const BYTES_AT_ONCE: usize = 4 << 20;
/// How often one connection is read from before the others have their turn.
pub(crate) const READS: usize = 4;
/// How many bytes are read of one before that, but for the last read, and how many at once.
const READ_OF_ONE: usize = 256 * 1024;

/// How reading ends.
pub(crate) enum End {
    /// In order: so many of our packets were heard.
    Farewell(u64),
    Eof,
    Failed(io::Error),
    TooLong(frames::TooLong),
}

/// Reads packets of one peer, for one turn.
pub(crate) struct Reader<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) peer: Option<Peer>,
    /// No packet has come of it.
    pub(crate) half_open: bool,
    /// How many packets of it were heard.
    pub(crate) heard: &'a mut u64,
}

impl Reader<'_> {
    /// Pending when the turn is over or nothing is there; then the peer is waked for in time.
    pub(crate) fn read(
        &mut self,
        reading: &mut Reading,
        buffer: &mut BytesMut,
        cx: &mut Context<'_>,
        turn: &mut Turn<'_>,
    ) -> Poll<End> {
        let max_packet = self.shared.hub.options.max_packet;
        let before = turn.read;
        for _ in 0..READS {
            while !turn.is_over() {
                let packet = match frames::next(buffer, max_packet) {
                    Ok(Some(Frame::Packet(packet))) => packet,
                    Ok(Some(Frame::Farewell(heard))) => return Poll::Ready(End::Farewell(heard)),
                    Ok(None) => break,
                    Err(error) => return Poll::Ready(End::TooLong(error)),
                };
                let Some(peer) = self.peer() else {
                    // Nobody holds it any more, so it is being closed, and wakes us for that.
                    return Poll::Pending;
                };
                turn.packets += 1;
                turn.bytes += packet.len();
                *self.heard += 1;
                turn.arrivals.push(Arrival::Packet { peer, packet });
            }
            if turn.is_over() || turn.read - before >= READ_OF_ONE {
                break;
            }
            buffer.reserve(frames::room(buffer));
            let mut room = (&mut *buffer).limit(READ_OF_ONE);
            match poll_read_buf(pin!(&mut *reading), cx, &mut room) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Eof),
                Poll::Ready(Ok(bytes)) => turn.read += bytes,
                Poll::Ready(Err(error)) => return Poll::Ready(End::Failed(error)),
            }
        }
        // There may be more; first the others.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn peer(&mut self) -> Option<Peer> {
        if self.peer.is_none() {
            self.peer = match self.shared.peer() {
                Some(Held::By(peer)) => Some(peer),
                Some(Held::Forgotten) => None,
                None => Some(self.shared.known()),
            };
            self.half_open = false;
        }
        self.peer.clone()
    }
}

impl Turn<'_> {
    fn is_over(&self) -> bool {
        self.packets >= AT_ONCE || self.bytes >= BYTES_AT_ONCE
    }
}
