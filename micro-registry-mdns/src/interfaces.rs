//! Network interfaces: how they are named, and which of those there are to use.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use micro_core::{Error, Reach, Result};

/// One or more interfaces of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interface {
    /// `loopback`: this machine alone.
    Loopback,
    /// By its name: `eth0`.
    Name(String),
    /// The one that has this address.
    Address(IpAddr),
}

impl FromStr for Interface {
    type Err = Error;

    /// # Errors
    /// `InvalidInput` for what cannot name an interface. Whether there is one is found out when
    /// it is used.
    fn from_str(text: &str) -> Result<Self> {
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        let flaw = if text.is_empty() {
            "is empty"
        } else if text.parse::<SocketAddr>().is_ok() {
            "has a port; multicast DNS has one of its own"
        } else if text.len() > 255 {
            "has more than 255 bytes"
        } else if text.contains('/') || text.chars().any(char::is_control) {
            "contains a slash or a control character"
        } else {
            return Ok(Self::Name(text.to_owned()));
        };
        Err(Error::invalid_input(format!(
            "{text:?} names no network interface: it {flaw}; give a name such as eth0, an IP \
             address of this machine, or loopback"
        )))
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl Interface {
    /// Reads names, each of which may be a comma-separated list.
    pub(crate) fn parse_list<I>(items: I) -> Result<Vec<Self>>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut interfaces = Vec::new();
        for item in items {
            for text in item.as_ref().split(',').map(str::trim).filter(|text| !text.is_empty()) {
                interfaces.push(text.parse()?);
            }
        }
        Ok(interfaces)
    }

    fn is(&self, there: &if_addrs::Interface) -> bool {
        match self {
            Self::Loopback => there.is_loopback(),
            Self::Name(name) => *name == there.name,
            Self::Address(address) => *address == there.ip(),
        }
    }
}

/// The addresses that are up now on these interfaces; none are named: on all.
///
/// # Errors
/// `Unavailable` if there is none, naming what there is instead.
pub(crate) fn present(wanted: &[Interface]) -> Result<Vec<if_addrs::Interface>> {
    let all = all()?;
    let used: Vec<_> = all.iter().filter(|there| is_wanted(wanted, there)).cloned().collect();
    if !used.is_empty() {
        return Ok(used);
    }
    if wanted.is_empty() {
        return Err(Error::unavailable(
            "multicast DNS needs a network interface that is up, and there is none, not even \
             loopback",
        ));
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let there: Vec<String> = all.iter().map(|i| format!("{} ({})", i.name, i.ip())).collect();
    Err(Error::unavailable(format!(
        "multicast DNS has no network interface {} that is up; those that are: {}",
        wanted.join(" or "),
        if there.is_empty() { "none".to_owned() } else { there.join(", ") }
    )))
}

/// Those of the wanted ones that are not there now.
pub(crate) fn missing(wanted: &[Interface]) -> Vec<&Interface> {
    let all = all().unwrap_or_default();
    wanted.iter().filter(|wanted| !all.iter().any(|there| wanted.is(there))).collect()
}

/// How far somebody is heard who speaks on these interfaces alone.
pub(crate) fn reach(wanted: &[Interface]) -> Reach {
    let is_local = |interface: &Interface| match interface {
        Interface::Loopback => true,
        Interface::Address(address) => address.is_loopback(),
        Interface::Name(_) => {
            all().unwrap_or_default().iter().any(|there| interface.is(there) && there.is_loopback())
        }
    };
    if !wanted.is_empty() && wanted.iter().all(is_local) { Reach::Machine } else { Reach::Network }
}

fn is_wanted(wanted: &[Interface], there: &if_addrs::Interface) -> bool {
    wanted.is_empty() || wanted.iter().any(|wanted| wanted.is(there))
}

/// All that may be used: what is up, without tunnels and Apple's peer-to-peer links.
fn all() -> Result<Vec<if_addrs::Interface>> {
    let mut all = if_addrs::get_if_addrs().map_err(|error| {
        Error::unavailable("the network interfaces of this machine cannot be listed")
            .with_source(error)
    })?;
    let is_apple_link = |name: &str| name.starts_with("awdl") || name.starts_with("llw");
    all.retain(|i| i.is_oper_up() && !i.is_p2p() && !is_apple_link(&i.name));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use micro_core::ErrorKind;

    use super::*;

    #[test]
    fn an_interface_is_a_name_an_address_or_loopback() {
        let parsed = Interface::parse_list(["loopback, eth0", "", "10.0.0.7,fe80::1"]).unwrap();
        let address = |text: &str| Interface::Address(text.parse().unwrap());
        let expected = [
            Interface::Loopback,
            Interface::Name("eth0".into()),
            address("10.0.0.7"),
            address("fe80::1"),
        ];
        assert_eq!(parsed, expected);
    }

    #[test]
    fn what_cannot_be_an_interface_is_refused_in_words() {
        for (text, word) in
            [("127.0.0.1:5353", "port"), ("nats://x", "slash"), ("a\nb", "control"), ("", "empty")]
        {
            let error = text.parse::<Interface>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.detail().contains(word), "{error}");
        }
    }

    #[test]
    fn loopback_alone_reaches_this_machine_alone() {
        let list = |text: &str| Interface::parse_list([text]).unwrap();
        assert_eq!(reach(&list("loopback")), Reach::Machine);
        assert_eq!(reach(&list("127.0.0.1,loopback")), Reach::Machine);
        assert_eq!(reach(&list("loopback,eth0")), Reach::Network);
        assert_eq!(reach(&[]), Reach::Network);
    }

    #[test]
    fn an_interface_that_is_not_there_is_named_beside_those_that_are() {
        let error = present(&[Interface::Name("nowhere0".into())]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.detail().contains("nowhere0"), "{error}");
        assert!(error.detail().contains("127.0.0.1"), "{error}");
        let both = [Interface::Name("nowhere0".into()), Interface::Loopback];
        assert!(present(&both).unwrap().iter().all(if_addrs::Interface::is_loopback));
        assert_eq!(missing(&both), [&both[0]]);
    }
}
