//! The names of multicast DNS: service types, instances and hosts.

use crate::description::hash;
use crate::record::cut;

const TYPE: &str = "_micro._tcp.local.";
/// The longest label of a name (RFC 1035).
pub(crate) const MAX_LABEL: usize = 63;
/// The letters and digits that nobody mistakes for others.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The service type of a namespace. That two share one is seen in the records.
pub(crate) fn service_type(namespace: Option<&str>) -> String {
    match namespace {
        None => TYPE.to_owned(),
        // With the underscore 15 characters, as many as there may be (RFC 6335).
        Some(namespace) => {
            let hash = hash(namespace.as_bytes());
            format!("_micro-{:08x}._tcp.local.", (hash ^ (hash >> 32)) & 0xffff_ffff)
        }
    }
}

/// What nobody else's instances have: 40 random bits.
pub(crate) fn token() -> String {
    let letter = |_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())]);
    (0..8).map(letter).collect()
}

/// The host of all instances of who has this token, in lower case, as hosts are usually written.
pub(crate) fn host(token: &str) -> String {
    format!("micro-{}.local.", token.to_lowercase())
}

/// The label of an instance: for people the service and the node, then what makes it unique.
pub(crate) fn instance(service: &str, id: &str, token: &str, number: u64) -> String {
    let unique = format!(" {token}-{number}");
    // By convention an id begins with the name of its service.
    let readable = if id.starts_with(service) { id.to_owned() } else { format!("{service} {id}") };
    // A dot in a label would have to be escaped, and not all tools read that in the same way.
    let is_plain = |c: char| !c.is_control() && c != '.' && c != '\\';
    let plain: String = readable.chars().map(|c| if is_plain(c) { c } else { '-' }).collect();
    // A part's number has to have room too.
    let room = MAX_LABEL - unique.len() - part(0).len().max(" 64".len());
    format!("{}{unique}", cut(&plain, room).trim())
}

/// The label of a part of an instance.
pub(crate) fn part_of(instance: &str, number: u16) -> String {
    format!("{instance}{}", part(number))
}

/// The instance that a part belongs to.
pub(crate) fn whole_of(label: &str, number: u16) -> Option<&str> {
    label.strip_suffix(&part(number))
}

/// Whether it is an instance, or a part of one, of who has this token.
pub(crate) fn is_own(label: &str, token: &str) -> bool {
    label.contains(&format!(" {token}-"))
}

fn part(number: u16) -> String {
    format!(" {number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_have_service_types_of_their_own_as_long_as_they_may_be() {
        let types = [service_type(None), service_type(Some("a")), service_type(Some("b"))];
        assert_eq!(types[0], "_micro._tcp.local.");
        assert_ne!(types[1], types[2]);
        for name in &types[1..] {
            let service = name.strip_suffix("._tcp.local.").unwrap();
            assert_eq!(service.len(), 15, "{service}");
            assert!(!service.contains("--") && !service.ends_with('-'), "{service}");
        }
        assert_eq!(types[1], service_type(Some("a")), "it is the same everywhere and always");
        assert_eq!(types[1], "_micro-296230c0._tcp.local.");
    }

    #[test]
    fn an_instance_is_readable_and_has_room_for_the_number_of_its_part() {
        assert_eq!(instance("greeter", "greeter-1", "K3F7Q2XZ", 1), "greeter-1 K3F7Q2XZ-1");
        assert_eq!(instance("greeter", "a.b\\c\n", "K3F7Q2XZ", 12), "greeter a-b-c- K3F7Q2XZ-12");
        let long = instance(&"ö".repeat(100), "id", &token(), u64::MAX);
        assert!(part_of(&long, 64).len() <= MAX_LABEL, "{long}");
    }

    #[test]
    fn a_part_names_the_instance_that_it_is_of() {
        let label = part_of("greeter-1 K3F7Q2XZ-1", 12);
        assert_eq!(whole_of(&label, 12), Some("greeter-1 K3F7Q2XZ-1"));
        assert_eq!(whole_of(&label, 2), None);
        assert_eq!(host("K3F7Q2XZ"), "micro-k3f7q2xz.local.");
        assert!(is_own(&label, "K3F7Q2XZ") && !is_own(&label, "Q2XZ"));
    }
}
