//! Addresses, read once: what is dialled, and where is listened.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
#[cfg(unix)]
use std::path::{Path, PathBuf};

use micro_core::{Error, Result};

/// Names a listening port for as long as it lives: whoever dials with it reaches this one or nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Id(Box<str>);

/// What is dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) tls: bool,
    pub(crate) place: Place,
    /// Whom it must be; otherwise whoever is there.
    pub(crate) id: Option<Id>,
}

/// A place that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp(Host, u16),
    #[cfg(unix)]
    Unix(PathBuf),
}

/// Where a port listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) tls: bool,
    pub(crate) spot: Spot,
}

/// A place to listen at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Port 0 is any free one.
    Tcp(Host, u16),
    /// A socket of this name.
    #[cfg(unix)]
    Unix(PathBuf),
    /// A socket of a fresh name in this folder.
    #[cfg(unix)]
    UnixIn(PathBuf),
}

/// A machine, by address or name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Ip(IpAddr),
    Name(Box<str>),
}

const ID_DIGITS: usize = 16;
const ID_MOST: usize = 32;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LOOPBACK: Host = Host::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
/// What every system can name a Unix socket, at least.
#[cfg(unix)]
const PATH_MOST: usize = 100;
/// The length of a fresh socket's name, `ID.sock`.
#[cfg(unix)]
const SOCKET_NAME: usize = ID_DIGITS + ".sock".len();

impl Id {
    /// One that nobody guesses.
    pub(crate) fn fresh() -> Self {
        let mut random = uuid::Uuid::new_v4().as_u128();
        let digits = (0..ID_DIGITS).map(|_| {
            let digit = ALPHABET[(random % 62) as usize];
            random /= 62;
            char::from(digit)
        });
        Self(digits.collect::<String>().into())
    }

    /// Letters and digits, not too many.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let fits = (1..=ID_MOST).contains(&text.len());
        let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (fits && plain).then(|| Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Target {
    /// `HOST:PORT`, `HOST:PORT/ID`, either with `tls://` before it, or `unix:/PATH`.
    pub(crate) fn parse(address: &str) -> Result<Self> {
        let flawed = |flaw: &str| flaw_of(address, flaw);
        let (tls, rest) = scheme(address);
        #[cfg(unix)]
        if let Some(path) = unix_path(address) {
            let place = Place::Unix(socket_path(path).map_err(flawed)?);
            return Ok(Self { tls: false, place, id: None });
        }
        let (rest, id) = rest.split_once('/').map_or((rest, None), |(rest, id)| (rest, Some(id)));
        let place = match host_and_port(rest).map_err(flawed)? {
            (Some(host), Some(port)) if port != 0 => Place::Tcp(host, port),
            (None, _) => return Err(flawed("it names no host")),
            _ => return Err(flawed("it names no port")),
        };
        let id = id.map(|id| Id::parse(id).ok_or_else(|| flawed(BAD_ID))).transpose()?;
        Ok(Self { tls, place, id })
    }
}

impl Listen {
    /// `HOST`, `HOST:PORT` or `:PORT`, each with `tls://` before it or not; `unix:/PATH`; or
    /// `unix:/PATH/` for any name in this folder. Without a host it is the loopback address,
    /// without a port any.
    pub(crate) fn parse(address: &str) -> Result<Self> {
        let flawed = |flaw: &str| flaw_of(address, flaw);
        let (tls, rest) = scheme(address);
        #[cfg(unix)]
        if let Some(path) = unix_path(address) {
            let folder = path.ends_with('/');
            if folder && path.len() + SOCKET_NAME > PATH_MOST {
                return Err(flawed("a socket in this folder has a path longer than 100 bytes"));
            }
            let path = socket_path(path).map_err(flawed)?;
            let spot = if folder { Spot::UnixIn(path) } else { Spot::Unix(path) };
            return Ok(Self { tls: false, spot });
        }
        if rest.is_empty() && !tls {
            return Err(flawed("it is empty"));
        }
        let (host, port) = host_and_port(rest).map_err(flawed)?;
        let spot = Spot::Tcp(host.unwrap_or(LOOPBACK), port.unwrap_or(0));
        Ok(Self { tls, spot })
    }

    /// Whether it can be listened there with TLS, whose certificates are for hosts.
    pub(crate) fn has_host(&self) -> bool {
        matches!(self.spot, Spot::Tcp(..))
    }

    /// Whether only this machine reaches it.
    pub(crate) fn is_local(&self) -> bool {
        match &self.spot {
            Spot::Tcp(host, _) => host.is_loopback(),
            #[cfg(unix)]
            Spot::Unix(_) | Spot::UnixIn(_) => true,
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self { tls: false, spot: Spot::Tcp(LOOPBACK, 0) }
    }
}

impl Host {
    fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name.eq_ignore_ascii_case("localhost"),
        }
    }
}

/// A host, perhaps with a port: of what stands for a whole port elsewhere.
pub(crate) fn host_and_port(text: &str) -> Result<(Option<Host>, Option<u16>), &'static str> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Ok((Some(Host::Ip(ip.into())), None));
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("a bracket is not closed")?;
            let ip: Ipv6Addr = host.parse().map_err(|_| "there is no IPv6 address in brackets")?;
            (Some(Host::Ip(ip.into())), port)
        }
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (if host.is_empty() { None } else { Some(self::host(host)?) }, port)
        }
    };
    let port = match port.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(port.parse().map_err(|_| "its port is no number up to 65535")?)
        }
        None if port.is_empty() => None,
        _ => return Err("its port is no number up to 65535"),
    };
    Ok((host, port))
}

const BAD_ID: &str = "its id is not of up to 32 letters and digits";

fn scheme(address: &str) -> (bool, &str) {
    match address.strip_prefix("tls://") {
        Some(rest) => (true, rest),
        None => (false, address),
    }
}

fn host(text: &str) -> Result<Host, &'static str> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(Host::Ip(ip));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.len() > 253 || !text.bytes().all(plain) {
        return Err("its host is neither an address nor a name");
    }
    Ok(Host::Name(text.into()))
}

/// Absolute, so that a machine called `unix` is none.
#[cfg(unix)]
fn unix_path(address: &str) -> Option<&str> {
    address.strip_prefix("unix:").filter(|path| path.starts_with('/'))
}

#[cfg(unix)]
fn socket_path(path: &str) -> Result<PathBuf, &'static str> {
    if path.len() > PATH_MOST {
        return Err("its path is longer than 100 bytes");
    }
    if path.chars().any(char::is_control) {
        return Err("there is a control character in it");
    }
    Ok(Path::new(path).to_owned())
}

fn flaw_of(address: &str, flaw: &str) -> Error {
    // A file's name may stand in it, but no secret.
    Error::invalid_input(format!("{address:?} is no address: {flaw}"))
}

/// As it stands in an address.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
