//! The networks that multicast goes over: an interface, once for each family of addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use if_addrs::{IfAddr, Interface};

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) id: LinkId,
    pub(crate) name: String,
    pub(crate) is_loopback: bool,
    /// Those that its interface has, of both families, the one that packets come from first.
    pub(crate) addresses: Vec<IpAddr>,
    /// Who is reached without a router: addresses, and how many of their bits count.
    pub(crate) networks: Vec<(IpAddr, u8)>,
}

/// Which interface, and which family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LinkId {
    pub(crate) index: u32,
    pub(crate) is_v4: bool,
}

impl Link {
    /// Those of these addresses of interfaces.
    pub(crate) fn all(interfaces: &[Interface]) -> Vec<Self> {
        let mut links: Vec<Self> = Vec::new();
        for interface in interfaces {
            let Some(index) = interface.index else { continue };
            let id = LinkId { index, is_v4: interface.ip().is_ipv4() };
            if links.iter().all(|link| link.id != id) {
                let same: Vec<_> =
                    interfaces.iter().filter(|other| other.index == Some(index)).collect();
                links.push(Self::of(id, interface, &same));
            }
        }
        links.sort_by_key(|link| link.id);
        links
    }

    /// For what needs no network: IPv4 on loopback.
    pub(crate) fn loopback() -> Self {
        Self {
            id: LinkId { index: 1, is_v4: true },
            name: "lo".to_owned(),
            is_loopback: true,
            addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
            networks: Vec::new(),
        }
    }

    fn of(id: LinkId, interface: &Interface, same: &[&Interface]) -> Self {
        let mut addresses: Vec<_> = same.iter().map(|other| other.ip()).collect();
        // A stable order, so that what has not changed is equal: of IPv6 the address that packets
        // to neighbours leave from comes first, of IPv4 the one that is no makeshift.
        let is_later = |ip: &IpAddr| is_link_local(ip) == ip.is_ipv4();
        addresses.sort_by_key(|ip| (ip.is_ipv4() != id.is_v4, is_later(ip), *ip));
        let network = |other: &&Interface| match &other.addr {
            IfAddr::V4(v4) => (v4.ip.into(), v4.prefixlen),
            IfAddr::V6(v6) => (v6.ip.into(), v6.prefixlen),
        };
        let mut networks: Vec<_> = same.iter().map(network).collect();
        networks.sort();
        Self {
            id,
            name: interface.name.clone(),
            is_loopback: interface.is_loopback(),
            addresses,
            networks,
        }
    }

    /// Whether it is a neighbour, whom no router is needed to reach.
    pub(crate) fn reaches(&self, ip: IpAddr) -> bool {
        // What is on loopback is of this machine, whatever its address.
        self.is_loopback
            || is_link_local(&ip)
            || self.networks.iter().any(|(network, bits)| shares(*network, ip, *bits))
    }

    /// Whether what comes from there comes over this link, as far as an address says so.
    pub(crate) fn carries(&self, ip: IpAddr) -> bool {
        if self.is_loopback { ip.is_loopback() } else { self.reaches(ip) }
    }
}

fn is_link_local(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// Whether their first bits are the same.
fn shares(network: IpAddr, ip: IpAddr, bits: u8) -> bool {
    let differ = match (network, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_known_by_the_network_of_an_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(shares(ip("10.1.2.3"), ip("10.1.2.255"), 24));
        assert!(!shares(ip("10.1.2.3"), ip("10.1.3.3"), 24));
        assert!(shares(ip("10.1.2.3"), ip("192.0.2.1"), 0));
        assert!(shares(ip("2001:db8::1"), ip("2001:db8::2"), 64));
        assert!(!shares(ip("2001:db8::1"), ip("2001:db9::2"), 64));
        assert!(!shares(ip("10.1.2.3"), ip("2001:db8::1"), 0));
        assert!(shares(ip("10.1.2.3"), ip("10.1.2.3"), 32));
        assert!(!shares(ip("10.1.2.3"), ip("10.1.2.2"), 32));
    }

    #[test]
    fn what_a_neighbour_sends_did_not_come_over_loopback() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let loopback = Link::loopback();
        let networks = vec![(ip("10.1.2.3"), 24)];
        let network = Link { is_loopback: false, networks, ..Link::loopback() };
        for (from, over) in [("127.0.0.1", [true, false]), ("10.1.2.4", [false, true])] {
            assert_eq!([&loopback, &network].map(|link| link.carries(ip(from))), over, "{from}");
        }
    }

    #[test]
    fn an_interface_is_a_link_for_each_family_that_it_has() {
        let interfaces = if_addrs::get_if_addrs().unwrap();
        let loopback: Vec<_> = interfaces.into_iter().filter(Interface::is_loopback).collect();
        let links = Link::all(&loopback);
        let families: Vec<_> = links.iter().map(|link| link.id.is_v4).collect();
        let there: Vec<_> = [false, true]
            .into_iter()
            .filter(|is_v4| loopback.iter().any(|there| there.ip().is_ipv4() == *is_v4))
            .collect();
        assert_eq!(families, there);
        for link in links {
            assert_eq!(link.addresses.len(), loopback.len(), "it tells both families");
            assert_eq!(link.addresses[0].is_ipv4(), link.id.is_v4, "its own first");
            assert!(link.is_loopback && link.reaches([192, 0, 2, 1].into()));
        }
    }
}
