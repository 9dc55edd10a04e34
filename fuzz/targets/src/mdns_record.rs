//! What instances of multicast DNS say.

/// A TXT record, an answer to a query or a description that is taken survives being encoded again
/// and is within the limits; nobody who is heard stays for ever, or takes more than there is room
/// for. Why one is dropped is a fixed text, so it can repeat nothing.
pub fn mdns_record(data: &[u8]) -> bool {
    match micro_registry_mdns::fuzzing::check(data) {
        Ok(taken) => taken,
        Err(flaw) => panic!("{flaw}"),
    }
}
