//! Under which address others reach this machine.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;

use crate::hub::lock;

/// The address of this machine that others reach, for a port that listens at all of them: the one
/// that packets to elsewhere leave from; without a way to elsewhere the first one that is not
/// loopback; else loopback.
///
/// Asked again it is the same one for as long as the machine has it and no better one: others know
/// it, and a VPN or another interface that comes beside it takes nothing away. While there is
/// loopback alone it is the last one: the machine may be back where it was in a moment.
#[derive(Debug, Default)]
pub(crate) struct Reachable(Mutex<Option<Found>>);

impl Reachable {
    /// `listening`: the unspecified address of a family. It takes a few calls of the system, and
    /// where there is no way to elsewhere a look at all interfaces; nothing is sent.
    pub(crate) fn now(&self, listening: IpAddr) -> IpAddr {
        let mut last = lock(&self.0);
        let found = next(*last, listening, is_here, || find(listening));
        *last = Some(found);
        found.ip
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Found {
    ip: IpAddr,
    way: Way,
}

/// Who probably reaches it, the better the later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Loopback,
    /// It is one of the addresses of this machine, perhaps of a network within it.
    Any,
    /// Packets to elsewhere leave from it.
    Elsewhere,
}

fn next(
    last: Option<Found>,
    listening: IpAddr,
    is_here: impl FnOnce(IpAddr) -> bool,
    find: impl FnOnce() -> Found,
) -> Found {
    // What listens at all IPv6 addresses also hears IPv4.
    let hears = |last: &Found| listening.is_ipv6() || last.ip.is_ipv4();
    let Some(last) = last.filter(hears) else { return find() };
    let stays = last.way != Way::Loopback && is_here(last.ip);
    if stays && last.way == Way::Elsewhere {
        return last;
    }
    let found = find();
    let better = if stays { found.way > last.way } else { found.way != Way::Loopback };
    if better { found } else { last }
}

fn find(listening: IpAddr) -> Found {
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
    let found = |way| move |ip| Found { ip, way };
    // More machines speak it.
    let v4 = || listening.is_ipv6().then(|| find(any_v4())).filter(|v4| v4.way != Way::Loopback);
    leaving_from(any, elsewhere)
        .map(found(Way::Elsewhere))
        .or_else(|| first_of(listening).map(found(Way::Any)))
        .or_else(v4)
        .unwrap_or(Found { ip: loopback, way: Way::Loopback })
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

/// Whether it is an address of this machine.
fn is_here(ip: IpAddr) -> bool {
    // Other errors, as without descriptors, say nothing of it.
    let bound = UdpSocket::bind(SocketAddr::new(ip, 0));
    !bound.is_err_and(|error| error.kind() == ErrorKind::AddrNotAvailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    const V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

    fn found(ip: &str, way: Way) -> Found {
        Found { ip: ip.parse().unwrap(), way }
    }

    /// What comes after `last` on a machine that has these addresses, where `first` would be found.
    fn after(last: Found, has: &[&str], first: Found) -> Found {
        let is_here = |ip: IpAddr| has.contains(&&*ip.to_string());
        next(Some(last), V4, is_here, || first)
    }

    #[test]
    fn an_address_of_this_machine_is_found_that_can_be_listened_at() {
        for family in [V4, V6] {
            let reachable = Reachable::default();
            let ip = reachable.now(family);
            assert!(!ip.is_unspecified(), "{ip}");
            let bound = std::net::TcpListener::bind((ip, 0));
            // Without IPv6 there is nothing to bind to.
            assert!(bound.is_ok() || (family.is_ipv6() && ip.is_loopback()), "{ip}: {bound:?}");
            assert_eq!(reachable.now(family), ip);
        }
    }

    #[test]
    fn an_address_is_this_machines_or_it_is_not() {
        assert!(is_here("127.0.0.1".parse().unwrap()));
        assert!(!is_here("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn an_address_stays_while_the_machine_has_it_whatever_comes_beside_it() {
        let (lan, vpn) = (found("10.0.0.7", Way::Elsewhere), found("10.8.0.2", Way::Elsewhere));
        assert_eq!(after(lan, &["10.0.0.7", "10.8.0.2"], vpn), lan);
        let (one, other) = (found("10.0.0.7", Way::Any), found("10.0.0.8", Way::Any));
        assert_eq!(after(one, &["10.0.0.7", "10.0.0.8"], other), one);
        // Nobody looks for another one.
        assert_eq!(next(Some(lan), V4, |_| true, || panic!("it was looked")), lan);
    }

    #[test]
    fn an_address_that_is_gone_is_followed_by_the_one_that_is_found() {
        let old = found("10.0.0.7", Way::Elsewhere);
        for new in [found("10.1.0.9", Way::Elsewhere), found("10.1.0.9", Way::Any)] {
            assert_eq!(after(old, &["10.1.0.9"], new), new);
        }
    }

    #[test]
    fn an_address_from_which_packets_leave_is_better_than_any_other() {
        let (bridge, lan) = (found("172.17.0.1", Way::Any), found("10.0.0.7", Way::Elsewhere));
        assert_eq!(after(bridge, &["172.17.0.1", "10.0.0.7"], lan), lan);
        let loopback = found("127.0.0.1", Way::Loopback);
        assert_eq!(after(loopback, &["127.0.0.1", "172.17.0.1"], bridge), bridge);
    }

    #[test]
    fn with_loopback_alone_it_is_the_last_address_that_others_knew() {
        let (lan, loopback) =
            (found("10.0.0.7", Way::Elsewhere), found("127.0.0.1", Way::Loopback));
        assert_eq!(after(lan, &["127.0.0.1"], loopback), lan);
        assert_eq!(after(loopback, &["127.0.0.1"], loopback), loopback);
    }

    #[test]
    fn an_address_of_a_family_that_is_not_heard_does_not_stay() {
        let (v6, v4) = (found("2001:db8::7", Way::Elsewhere), found("10.0.0.7", Way::Elsewhere));
        assert_eq!(next(Some(v6), V4, |_| true, || v4), v4);
        assert_eq!(next(Some(v4), V6, |_| true, || v6), v4);
    }
}
