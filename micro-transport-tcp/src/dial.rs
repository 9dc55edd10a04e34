//! From an address to a connection whose other side has greeted, and the same from inside.

use std::sync::Arc;

use micro_core::{Error, Result};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout_at};

use crate::address::{Host, Id, Place, Target};
use crate::conn::Opened;
use crate::frames::LONGEST;
use crate::greeting::{Greeting, Role};
use crate::hub::{Hub, after};
use crate::stream::{self, Stream, failed};

/// Tries all ways to this address, one after the other.
pub(crate) async fn dial(target: Target, hub: Arc<Hub>) -> Result<Opened> {
    let deadline = after(hub.options.connect_timeout);
    let (host, port) = match &target.place {
        Place::Tcp(host, port) => (host, *port),
        #[cfg(unix)]
        Place::Unix(path) => return greet(unix(path, deadline).await?, &target, &hub).await,
    };
    #[cfg(target_os = "linux")]
    {
        // Half of the time, so that one that is silent leaves some for the other ways.
        let share = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 2;
        let attempt = async { greet(beside(&target, &hub).await?, &target, &hub).await.ok() };
        if let Ok(Some(opened)) = timeout_at(share, attempt).await {
            return Ok(opened);
        }
    }
    let addresses = match host {
        Host::Ip(ip) => vec![(*ip, port).into()],
        Host::Name(name) => {
            let found = tokio::net::lookup_host((&**name, port)).await;
            found.map_err(|error| failed("the name is not known", &error))?.collect()
        }
    };
    let mut last = Error::unavailable("the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        // Each has its share of what is left, so that one that is silent leaves time for the next.
        let left = deadline.saturating_duration_since(Instant::now());
        let share = Instant::now() + left / (addresses.len() - tried) as u32;
        let attempt = async {
            let stream = TcpStream::connect(address).await;
            let stream = stream.map_err(|error| failed("no connection", &error))?;
            stream::set_up(&stream, hub.options.keepalive)
                .map_err(|error| failed("a socket cannot be set up", &error))?;
            greet(Box::new(stream), &target, &hub).await
        };
        match timeout_at(share, attempt).await {
            Ok(Ok(opened)) => return Ok(opened),
            Ok(Err(error)) => last = error,
            Err(_) => last = Error::timeout(format!("{address} does not answer")),
        }
    }
    Err(last)
}

/// The other side of a new connection says who it is.
pub(crate) async fn welcome(
    mut stream: Box<dyn Stream>,
    id: Arc<Id>,
    hub: Arc<Hub>,
) -> Result<Opened> {
    if let Some(tls) = &hub.tls {
        stream = tls.accept(stream).await?;
    }
    let theirs = stream::hear(&mut *stream, Role::Dialler).await?;
    let id = Some(Id::clone(&id));
    let ours = Greeting { role: Role::Acceptor, max_packet: max_packet(&hub), id };
    stream::say(&mut *stream, &ours).await.map_err(|error| failed("it went", &error))?;
    Ok(opened(stream, &ours, &theirs))
}

async fn greet(mut stream: Box<dyn Stream>, target: &Target, hub: &Hub) -> Result<Opened> {
    if let (Some(tls), Place::Tcp(host, _)) = (&hub.tls, &target.place) {
        stream = tls.connect(stream, host).await?;
    }
    let ours = Greeting { role: Role::Dialler, max_packet: max_packet(hub), id: None };
    stream::say(&mut *stream, &ours).await.map_err(|error| failed("it went", &error))?;
    let theirs = stream::hear(&mut *stream, Role::Acceptor).await?;
    if target.id.is_some() && theirs.id != target.id {
        return Err(Error::unavailable("another port is there by now"));
    }
    Ok(opened(stream, &ours, &theirs))
}

fn opened(stream: Box<dyn Stream>, ours: &Greeting, theirs: &Greeting) -> Opened {
    let most = ours.max_packet.min(theirs.max_packet);
    Opened { stream, max_packet: usize::try_from(most).unwrap_or(usize::MAX) }
}

fn max_packet(hub: &Hub) -> u32 {
    u32::try_from(hub.options.max_packet).unwrap_or(LONGEST).min(LONGEST)
}

/// The Unix socket beside a TCP listener on this machine, if it is ours or root's: nobody else
/// can take the place of a port elsewhere.
#[cfg(target_os = "linux")]
async fn beside(target: &Target, hub: &Hub) -> Option<Box<dyn Stream>> {
    let id = target.id.as_ref().filter(|_| hub.options.unix_socket)?;
    let stream = UnixStream::connect(crate::unix::abstract_name(id)).await.ok()?;
    let user = stream.peer_cred().ok()?.uid();
    if user != 0 && Some(user) != hub.user {
        return None;
    }
    Some(Box::new(stream))
}

/// Connects to a socket in the file system. With a full backlog it is tried again: unlike TCP, the
/// system does not do so by itself.
#[cfg(unix)]
async fn unix(path: &std::path::Path, deadline: Instant) -> Result<Box<dyn Stream>> {
    loop {
        match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Box::new(stream)),
            Err(error)
                if error.kind() == std::io::ErrorKind::WouldBlock && Instant::now() < deadline =>
            {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(error) => return Err(failed("no connection", &error)),
        }
    }
}
