//! What is still to be written to a peer.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use crate::config::Options;
use crate::frames::{AT_ONCE, Frames};
use crate::stream::Writing;

/// What is still to be written to a peer, and whether it takes more.
pub(crate) struct Out {
    pub(crate) phase: Phase,
    pub(crate) frames: Frames,
    /// There once the other side has greeted.
    pub(crate) writing: Option<Writing>,
    pub(crate) max_packet: usize,
    /// How many packets were taken, and how many have left the process.
    pub(crate) taken: u64,
    pub(crate) left: u64,
    /// The last word is said: nothing may be written after it.
    pub(crate) farewell: bool,
    /// Something that was written may not have left yet.
    pub(crate) unflushed: bool,
    /// The receiver's turn in which it was written to last.
    pub(crate) written_in: Option<u64>,
    /// Somebody waits for room, or for packets to leave.
    pub(crate) awaited: bool,
    pub(crate) watched: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Dialled, and nothing sent yet.
    Idle,
    /// Packets wait for the other side's greeting.
    Opening,
    Open,
    /// Writing failed; what had come before is still read.
    Broken,
    /// Closed here: what was taken is still written.
    Closing,
    Over,
}

impl Out {
    pub(crate) fn new(phase: Phase, max_packet: usize) -> Self {
        Self {
            phase,
            frames: Frames::default(),
            writing: None,
            max_packet,
            taken: 0,
            left: 0,
            farewell: false,
            unflushed: false,
            written_in: None,
            awaited: false,
            watched: false,
        }
    }

    /// The last packet may go over the limit of bytes, so that any size goes through.
    pub(crate) fn has_room(&self, options: &Options) -> bool {
        self.frames.len() < options.queue_packets && self.frames.bytes() < options.queue_bytes
    }

    /// Whether there is so much room that it is worth to wake somebody.
    fn is_roomy(&self, options: &Options) -> bool {
        self.frames.len() <= options.queue_packets / 2
            && self.frames.bytes() <= options.queue_bytes / 2
    }

    /// Whether those who wait are to look again.
    pub(crate) fn tells(&mut self, options: &Options) -> bool {
        let worth = self.is_roomy(options) || !self.phase.takes();
        let tells = (self.awaited && worth) || self.watched;
        if tells {
            (self.awaited, self.watched) = (false, false);
        }
        tells
    }

    /// Nothing waits to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.frames.is_empty() && !self.unflushed
    }

    /// Writes what waits: ready when all of it has left.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, turn: u64) -> Poll<io::Result<()>> {
        self.written_in = Some(turn);
        let written = self.poll_write_all(cx);
        if let Poll::Ready(Err(_)) = written
            && self.phase == Phase::Open
        {
            self.phase = Phase::Broken;
        }
        written
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(writing) = &mut self.writing else { return Poll::Pending };
        while self.unflushed || !self.frames.is_empty() {
            if !self.frames.is_empty() {
                let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
                let filled = self.frames.slices(&mut slices);
                let bytes =
                    ready!(Pin::new(&mut *writing).poll_write_vectored(cx, &slices[..filled]))?;
                if bytes == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.frames.advance(bytes);
                self.unflushed = true;
            }
            // TLS may hold some of it back; TCP does not.
            ready!(Pin::new(&mut *writing).poll_flush(cx))?;
            self.unflushed = false;
            self.left = self.taken.saturating_sub(self.frames.len() as u64);
        }
        Poll::Ready(Ok(()))
    }
}

impl Phase {
    pub(crate) fn takes(self) -> bool {
        matches!(self, Self::Idle | Self::Opening | Self::Open)
    }
}
