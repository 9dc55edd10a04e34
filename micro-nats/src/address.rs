//! Where NATS is: a list of addresses, parsed.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use async_nats::ServerAddr;
use micro_core::{Error, Result};

use crate::Credentials;

const DEFAULT: &str = "127.0.0.1";
const DEFAULT_PORT: u16 = 4222;

/// The addresses of the servers of one NATS, and the credentials that were written into them.
///
/// It is read from a comma-separated list of `[nats://|tls://][USER:PASSWORD@|TOKEN@]HOST[:PORT]`:
///
/// * The scheme is `nats` where none is written; `tls` demands TLS.
/// * `HOST` is a name, an IPv4 address, or an IPv6 address in brackets; the port is 4222 where
///   none is written.
/// * User, password and token are percent-decoded. They hold for the whole list, so they are
///   written once or always alike: a client moves from server to server with one set of them.
/// * White space around an address, empty items and repetitions are dropped. An empty list means
///   127.0.0.1:4222.
///
/// `Display` gives the list back, without the credentials.
///
/// ```
/// # use micro_nats::Addresses;
/// let addresses: Addresses = "nats://u:secret@a.example, tls://b.example:4443, [::1]".parse()?;
/// assert_eq!(addresses.to_string(), "a.example:4222,tls://b.example:4443,[::1]:4222");
/// # Ok::<(), micro_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    servers: Vec<Server>,
    credentials: Option<Credentials>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    tls: bool,
    /// In lower case; an IPv6 address has its brackets.
    host: String,
    port: u16,
}

impl Addresses {
    /// One list from several, such as the values of a flag that may be repeated.
    ///
    /// # Errors
    /// `InvalidInput`, naming the address, never its password.
    pub fn parse<I>(lists: I) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let lists: Vec<I::Item> = lists.into_iter().collect();
        let mut items: Vec<&str> = (lists.iter())
            .flat_map(|list| list.as_ref().split(','))
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .collect();
        if items.is_empty() {
            items.push(DEFAULT);
        }
        let mut all = Self { servers: Vec::new(), credentials: None };
        for (index, item) in items.iter().enumerate() {
            all.add(item).map_err(|flaw| {
                let name = without_secrets(&items, index);
                Error::invalid_input(format!("{name} is no address of a NATS server: {flaw}"))
            })?;
        }
        Ok(all)
    }

    /// The credentials that were written into the list.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// Whether every address demands TLS.
    pub(crate) fn all_tls(&self) -> bool {
        self.servers.iter().all(|server| server.tls)
    }

    /// Each server as the client takes it.
    pub(crate) fn urls(&self) -> Result<Vec<ServerAddr>> {
        (self.servers.iter())
            .map(|server| {
                server.url().map_err(|error| {
                    Error::invalid_input(format!("{server} is no address of a NATS server"))
                        .with_source(error)
                })
            })
            .collect()
    }

    fn add(&mut self, item: &str) -> Result<(), String> {
        let (server, credentials) = Server::parse(item)?;
        match (&self.credentials, credentials) {
            (Some(before), Some(now)) if *before != now => {
                return Err("its credentials are not those of an address before it; \
                            one connection has one set of them"
                    .to_owned());
            }
            (None, Some(now)) => self.credentials = Some(now),
            _ => {}
        }
        if !self.servers.contains(&server) {
            self.servers.push(server);
        }
        Ok(())
    }
}

impl Default for Addresses {
    /// 127.0.0.1:4222.
    fn default() -> Self {
        let server = Server { tls: false, host: DEFAULT.to_owned(), port: DEFAULT_PORT };
        Self { servers: vec![server], credentials: None }
    }
}

impl FromStr for Addresses {
    type Err = Error;

    fn from_str(list: &str) -> Result<Self> {
        Self::parse([list])
    }
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.servers.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{server}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls://" } else { "" };
        write!(f, "{scheme}{}:{}", self.host, self.port)
    }
}

/// What is wrong with an address, in words that repeat nothing of it.
type Flaw = String;

impl Server {
    fn parse(item: &str) -> Result<(Self, Option<Credentials>), Flaw> {
        let (scheme, rest) = item.split_once("://").unwrap_or(("nats", item));
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "nats" => false,
            "tls" => true,
            _ => return Err("its scheme is neither nats nor tls".to_owned()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((userinfo, place)) => (Some(parse_userinfo(userinfo)?), place),
            None => (None, rest),
        };
        let (host, port) = split_port(place)?;
        let port = match port {
            None => DEFAULT_PORT,
            Some(port) => (port.parse().ok())
                .filter(|&number| number > 0 && port.bytes().all(|byte| byte.is_ascii_digit()))
                .ok_or("its port is no number from 1 to 65535")?,
        };
        let server = Self { tls, host: host.to_ascii_lowercase(), port };
        server.url().map_err(|error| error.to_string())?;
        Ok((server, credentials))
    }

    fn url(&self) -> std::io::Result<ServerAddr> {
        let scheme = if self.tls { "tls" } else { "nats" };
        format!("{scheme}://{}:{}", self.host, self.port).parse()
    }
}

fn split_port(place: &str) -> Result<(String, Option<&str>), Flaw> {
    if let Some(rest) = place.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or("its bracket is not closed")?;
        let address: Ipv6Addr =
            address.parse().map_err(|_| "what is in its brackets is no IPv6 address")?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or("after its brackets only a port may follow")?),
        };
        return Ok((format!("[{address}]"), port));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if place.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address is written in brackets, as in [::1]:4222".to_owned());
    }
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.len() > 255 || !host.chars().all(is_name) {
        return Err("its host is no name: up to 255 letters, digits, dots, - and _".to_owned());
    }
    Ok((host.to_owned(), port))
}

fn parse_userinfo(userinfo: &str) -> Result<Credentials, Flaw> {
    match userinfo.split_once(':') {
        Some(("", _)) => Err("it has a password but no user".to_owned()),
        Some((user, password)) => {
            Ok(Credentials::user_password(percent_decoded(user)?, percent_decoded(password)?))
        }
        None if userinfo.is_empty() => Err("its credentials are empty".to_owned()),
        None => Ok(Credentials::token(percent_decoded(userinfo)?)),
    }
}

fn percent_decoded(text: &str) -> Result<String, Flaw> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).ok_or_else(not_encoded)?;
        if !code.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(not_encoded());
        }
        bytes.push(u8::from_str_radix(code, 16).map_err(|_| not_encoded())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| not_encoded())
}

fn not_encoded() -> Flaw {
    "its credentials are not percent-encoded UTF-8; % itself is written %25".to_owned()
}

/// The item as an error may name it: without what is, or may be, a secret.
fn without_secrets(items: &[&str], index: usize) -> String {
    let item = items[index];
    let (scheme, rest) = match item.find("://") {
        Some(at) if item[..at].bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            item.split_at(at + 3)
        }
        _ => ("", item),
    };
    if let Some((_, place)) = rest.rsplit_once('@') {
        return format!("\"{scheme}***@{}\"", place.escape_debug());
    }
    // A comma in a password makes it look like two addresses; this may be the first half.
    if items[index + 1..].iter().any(|later| later.contains('@')) {
        return format!(
            "address {} of {} (a comma in a password is written %2C)",
            index + 1,
            items.len()
        );
    }
    // "user:password" without a host looks like "host:port".
    match rest.split_once(':') {
        Some((host, port))
            if !port.bytes().all(|byte| byte.is_ascii_digit())
                && !rest.starts_with('[')
                && rest.parse::<Ipv6Addr>().is_err() =>
        {
            format!("\"{scheme}{}:***\"", host.escape_debug())
        }
        _ => format!("\"{}\"", item.escape_debug()),
    }
}

#[cfg(test)]
mod tests;
