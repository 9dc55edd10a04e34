//! Packets as frames of a stream of bytes: the length in four bytes, big endian, and the packet. A
//! length that no packet has begins the farewell.

use std::collections::VecDeque;
use std::fmt;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

const HEAD: usize = 4;
/// What the farewell has in place of a length.
const FAREWELL: u32 = u32::MAX;
/// A packet is shorter.
pub(crate) const LONGEST: u32 = FAREWELL - 1;
/// How many packets one write takes at most.
pub(crate) const AT_ONCE: usize = 64;
/// A packet up to here, or of less than a quarter of what is behind it, is copied out of the buffer
/// that it was read into, so that whoever keeps a small one keeps no large buffer.
const COPIED: usize = 16 * 1024;
/// A buffer for one frame grows by no more than it already holds, but by this at least: a length
/// alone reserves little.
pub(crate) const READ: usize = 64 * 1024;

/// The packets of a peer that have not been written in full, in order.
#[derive(Default)]
pub(crate) struct Frames {
    frames: VecDeque<([u8; HEAD], Bytes)>,
    /// The sum of their sizes.
    bytes: usize,
    /// How much of the first one has been written, with its head.
    written: usize,
}

/// What comes over a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Packet(Bytes),
    /// The last word of a side that ends in order: how many packets it has heard.
    Farewell(u64),
}

/// A frame that is longer than a packet may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong(pub(crate) usize);

impl Frames {
    /// The packet has [`LONGEST`] bytes at most.
    pub(crate) fn push(&mut self, packet: Bytes) {
        self.bytes += packet.len();
        self.frames.push_back(((packet.len() as u32).to_be_bytes(), packet));
    }

    /// Counts as a packet until it has been written.
    pub(crate) fn push_farewell(&mut self, heard: u64) {
        let heard = Bytes::copy_from_slice(&heard.to_be_bytes());
        self.bytes += heard.len();
        self.frames.push_back((FAREWELL.to_be_bytes(), heard));
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The size of all packets together.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn longest(&self) -> usize {
        self.frames.iter().map(|(_, packet)| packet.len()).max().unwrap_or_default()
    }

    /// What is to be written next; how many of the slices have something.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; 2 * AT_ONCE]) -> usize {
        let (mut skip, mut filled) = (self.written, 0);
        for (head, packet) in self.frames.iter().take(AT_ONCE) {
            for part in [&head[..], packet] {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if skipped < part.len() {
                    slices[filled] = IoSlice::new(&part[skipped..]);
                    filled += 1;
                }
            }
        }
        filled
    }

    /// So many bytes have been written; how many packets that completed.
    pub(crate) fn advance(&mut self, bytes: usize) -> usize {
        self.written += bytes;
        let mut completed = 0;
        while let Some((_, packet)) = self.frames.front()
            && let Some(more) = self.written.checked_sub(HEAD + packet.len())
        {
            self.written = more;
            self.bytes -= packet.len();
            self.frames.pop_front();
            completed += 1;
        }
        if self.frames.is_empty() {
            // A burst's room is not kept for ever.
            self.frames.shrink_to(AT_ONCE);
        }
        completed
    }

    /// Forgets them all; how many they were.
    pub(crate) fn clear(&mut self) -> u64 {
        let count = self.frames.len() as u64;
        *self = Self::default();
        count
    }
}

/// Takes the next frame off the front, if it is there in full.
pub(crate) fn next(buffer: &mut BytesMut, max: usize) -> Result<Option<Frame>, TooLong> {
    let Some(size) = size(buffer) else { return Ok(None) };
    if buffer.starts_with(&FAREWELL.to_be_bytes()) {
        let heard = buffer[HEAD..].first_chunk().map(|heard| u64::from_be_bytes(*heard));
        return Ok(heard.map(Frame::Farewell));
    }
    if size > max {
        return Err(TooLong(size));
    }
    if buffer.len() < HEAD + size {
        return Ok(None);
    }
    buffer.advance(HEAD);
    if size <= COPIED || size < buffer.capacity() / 4 {
        let packet = Bytes::copy_from_slice(&buffer[..size]);
        buffer.advance(size);
        return Ok(Some(Frame::Packet(packet)));
    }
    Ok(Some(Frame::Packet(buffer.split_to(size).freeze())))
}

/// How much room the next read is worth.
pub(crate) fn room(buffer: &BytesMut) -> usize {
    let missing = size(buffer).map_or(0, |size| (HEAD + size).saturating_sub(buffer.len()));
    missing.clamp(READ, buffer.len().max(READ))
}

fn size(buffer: &BytesMut) -> Option<usize> {
    let head = buffer.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*head)).ok()
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it sent a frame of {} bytes, more than a packet may have", self.0)
    }
}

impl std::error::Error for TooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(frames: &Frames) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); 2 * AT_ONCE];
        let filled = frames.slices(&mut slices);
        assert!(slices[..filled].iter().all(|slice| !slice.is_empty()), "an empty slice");
        slices.iter().flat_map(|slice| slice.to_vec()).collect()
    }

    #[test]
    fn whatever_a_write_takes_the_bytes_are_the_same() {
        let packets = ["", "a", "bc", "", "defghij"].map(Bytes::from);
        let mut all = Frames::default();
        packets.iter().cloned().for_each(|packet| all.push(packet));
        let whole = written(&all);
        for step in 1..=whole.len() {
            let mut frames = Frames::default();
            packets.iter().cloned().for_each(|packet| frames.push(packet));
            let (mut out, mut completed) = (Vec::new(), 0);
            while !frames.is_empty() {
                let next = written(&frames);
                let taken = step.min(next.len());
                out.extend(&next[..taken]);
                completed += frames.advance(taken);
            }
            assert_eq!((out, completed, frames.bytes()), (whole.clone(), 5, 0), "{step} at a time");
        }
    }

    #[test]
    fn frames_come_back_as_packets_wherever_they_are_cut() {
        let packets = [vec![], vec![1; 3], vec![2; COPIED], vec![3; COPIED + 1]].map(Bytes::from);
        let mut frames = Frames::default();
        packets.iter().cloned().for_each(|packet| frames.push(packet));
        let whole = written(&frames);
        for cut in [0, 1, 3, 4, 5, 10, 11, 12, COPIED, whole.len()] {
            let (mut buffer, mut out) = (BytesMut::new(), Vec::new());
            for part in [&whole[..cut], &whole[cut..]] {
                buffer.extend_from_slice(part);
                while let Some(Frame::Packet(packet)) = next(&mut buffer, COPIED + 1).unwrap() {
                    out.push(packet);
                }
            }
            assert_eq!(out, packets, "cut at {cut}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn whoever_keeps_a_small_packet_keeps_no_large_buffer() {
        for (size, room, shares) in
            [(3_000, READ, false), (COPIED + 1, COPIED, true), (READ, 100 * READ, false)]
        {
            let mut buffer = BytesMut::with_capacity(HEAD + size + room);
            buffer.extend_from_slice(&(size as u32).to_be_bytes());
            buffer.resize(HEAD + size + 1, 0);
            let Some(Frame::Packet(packet)) = next(&mut buffer, size).unwrap() else {
                panic!("no packet")
            };
            assert_eq!(packet.is_unique(), !shares, "{size} of {room}");
        }
    }

    #[test]
    fn a_farewell_comes_after_the_packets_and_is_no_frame_too_long() {
        let mut frames = Frames::default();
        frames.push("last".into());
        frames.push_farewell(3);
        let whole = written(&frames);
        for cut in 0..=whole.len() {
            let (mut buffer, mut out) = (BytesMut::from(&whole[..cut]), Vec::new());
            while let Some(frame @ Frame::Packet(_)) = next(&mut buffer, 4).unwrap() {
                out.push(frame);
            }
            buffer.extend_from_slice(&whole[cut..]);
            while let Some(frame) = next(&mut buffer, 4).unwrap() {
                out.push(frame.clone());
                if frame == Frame::Farewell(3) {
                    break;
                }
            }
            assert_eq!(out, [Frame::Packet("last".into()), Frame::Farewell(3)], "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_too_long_is_refused_by_its_head_alone_and_reserves_nothing() {
        let mut buffer = BytesMut::from(&[0, 0, 1, 0][..]);
        assert_eq!(next(&mut buffer, 255), Err(TooLong(256)));
        assert_eq!(next(&mut buffer, 256), Ok(None));
        let huge = BytesMut::from(&[0xff; 4][..]);
        assert_eq!(room(&huge), READ);
    }

    #[test]
    fn a_large_frames_buffer_grows_with_what_has_come() {
        let mut buffer = BytesMut::from(&(10_u32 << 20).to_be_bytes()[..]);
        assert_eq!(room(&buffer), READ);
        buffer.resize(3 * READ, 0);
        assert_eq!(room(&buffer), 3 * READ);
        buffer.resize((10 << 20) - 1, 0);
        assert_eq!(room(&buffer), READ);
    }
}
