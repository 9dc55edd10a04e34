//! What comes over a connection of the TCP transport.

/// A greeting that is taken survives being encoded again; frames give the same packets however their
/// bytes are cut, and are the same bytes once written again; nothing is over its limit, and a length
/// alone reserves no memory.
pub fn connection(data: &[u8]) -> bool {
    match micro_transport_tcp::fuzzing::connection(data) {
        Ok(taken) => taken,
        Err(flaw) => panic!("{flaw}"),
    }
}
