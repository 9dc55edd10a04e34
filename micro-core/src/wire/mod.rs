//! The meaning of packets.
