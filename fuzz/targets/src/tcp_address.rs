//! An address of the TCP transport, as it comes from a registry or a flag.

/// An address that is taken is the same once printed and read again.
pub fn tcp_address(data: &[u8]) -> bool {
    match micro_transport_tcp::fuzzing::address(&String::from_utf8_lossy(data)) {
        Ok(taken) => taken,
        Err(flaw) => panic!("{flaw}"),
    }
}
