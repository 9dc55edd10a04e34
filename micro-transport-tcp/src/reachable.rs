//! Under which address others reach this machine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// The address of this machine that others reach, for a port that listens at all of them: the one
/// that packets to elsewhere leave from; without a way to elsewhere the first one that is not
/// loopback; else loopback.
pub(crate) fn reachable(listening: IpAddr) -> IpAddr {
    // Addresses for documentation, which belong to nobody. Connecting sends nothing.
    let (any, elsewhere, loopback) = match listening {
        IpAddr::V4(_) => (
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V4(Ipv4Addr::LOCALHOST),
        ),
        IpAddr::V6(_) => (
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ),
    };
    // What listens at all IPv6 addresses also hears IPv4, which more machines speak.
    let v4 = || listening.is_ipv6().then(|| reachable(any_v4())).filter(|ip| !ip.is_loopback());
    leaving_from(any, elsewhere).or_else(|| first_of(listening)).or_else(v4).unwrap_or(loopback)
}

fn any_v4() -> IpAddr {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

fn leaving_from(any: IpAddr, elsewhere: IpAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(elsewhere, 9)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

fn first_of(family: IpAddr) -> Option<IpAddr> {
    let addresses = if_addrs::get_if_addrs().ok()?.into_iter().map(|interface| interface.ip());
    addresses.filter(|ip| ip.is_ipv4() == family.is_ipv4()).find(|ip| match ip {
        // Without its zone such an address means nothing elsewhere.
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        IpAddr::V4(ip) => !ip.is_loopback(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine_is_found_that_can_be_listened_at() {
        for family in [any_v4(), IpAddr::V6(Ipv6Addr::UNSPECIFIED)] {
            let ip = reachable(family);
            assert!(!ip.is_unspecified(), "{ip}");
            let bound = std::net::TcpListener::bind((ip, 0));
            // Without IPv6 there is nothing to bind to.
            assert!(bound.is_ok() || (family.is_ipv6() && ip.is_loopback()), "{ip}: {bound:?}");
        }
    }
}
