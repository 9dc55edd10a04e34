//! What the address of a node says: it may be anything that a transport dials.

use std::net::IpAddr;

/// The port, where an address has a host and a port, perhaps after a scheme and before a path;
/// else 0.
pub(crate) fn port(address: &str) -> u16 {
    let (host, port) = host_and_port(address);
    if host.is_empty() { 0 } else { port.and_then(|port| port.parse().ok()).unwrap_or(0) }
}

/// Whether only this machine can dial it: a loopback address, or a socket in its file system.
/// Where it names no host, nobody knows.
pub(crate) fn is_local(address: &str) -> bool {
    if address.starts_with("unix:") {
        return true;
    }
    let (host, _) = host_and_port(address);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match host.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

fn host_and_port(address: &str) -> (&str, Option<&str>) {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        // More than one colon without brackets is an IPv6 address without a port.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_that_of_an_address_that_has_one() {
        for (address, expected) in [
            ("127.0.0.1:4000", 4000),
            ("127.0.0.1:4000/AbCd", 4000),
            ("tls://host.example:443/x?y=1:2", 443),
            ("[::1]:9", 9),
            ("::1", 0),
            ("a.nats.subject", 0),
            ("a:b", 0),
            (":80", 0),
            ("host:65536", 0),
            ("", 0),
        ] {
            assert_eq!(port(address), expected, "{address}");
        }
    }

    #[test]
    fn what_only_this_machine_can_dial_is_known_by_its_address() {
        for local in [
            "127.0.0.1:4000/AbCd",
            "tls://127.1.2.3:4000",
            "[::1]:4000",
            "::1",
            "[::ffff:127.0.0.1]:1",
            "localhost:4000",
            "LOCALHOST",
            "unix:/run/x.sock",
            "unix:///run/x.sock",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in [
            "10.0.0.7:4000",
            "[fe80::1]:4000",
            "0.0.0.0:1",
            "localhost.example:4000",
            "greeter.127.0.0.1",
            "_INBOX.abc",
            "",
        ] {
            assert!(!is_local(other), "{other}");
        }
    }
}
