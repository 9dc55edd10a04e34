//! A connection, whatever it runs over.

use std::io;
#[cfg(target_os = "linux")]
use std::time::Duration;

use micro_core::{Error, ErrorKind, Result};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

use crate::config::Keepalive;
use crate::greeting::{Greeting, HEAD, Role};

pub(crate) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(crate) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// Bytes both ways.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {
    /// Both directions, each on its own.
    fn split(self: Box<Self>) -> (Reading, Writing);
}

impl Stream for TcpStream {
    fn split(self: Box<Self>) -> (Reading, Writing) {
        let (reading, writing) = self.into_split();
        (Box::new(reading), Box::new(writing))
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn split(self: Box<Self>) -> (Reading, Writing) {
        let (reading, writing) = self.into_split();
        (Box::new(reading), Box::new(writing))
    }
}

/// Small packets leave at once, and an end that vanished is found out.
pub(crate) fn set_up(stream: &TcpStream, keepalive: Keepalive) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Keepalive { idle, interval, probes } = keepalive;
    let times = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(probes);
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&times)?;
    #[cfg(target_os = "linux")]
    {
        // The system counts milliseconds in 31 bits.
        let most = Duration::from_millis(i32::MAX.unsigned_abs().into());
        socket.set_tcp_user_timeout(Some((idle + interval * probes).min(most)))?;
    }
    Ok(())
}

pub(crate) async fn say(stream: &mut dyn Stream, greeting: &Greeting) -> io::Result<()> {
    stream.write_all(&greeting.encode()).await?;
    stream.flush().await
}

/// The other side's greeting.
///
/// # Errors
/// That it is none, or is not whom was to be there.
pub(crate) async fn hear(stream: &mut dyn Stream, role: Role) -> Result<Greeting> {
    let mut head = [0; HEAD];
    stream.read_exact(&mut head).await.map_err(no_greeting)?;
    let mut body = vec![0; Greeting::follows(&head).map_err(stranger)?];
    stream.read_exact(&mut body).await.map_err(no_greeting)?;
    let greeting = Greeting::decode(&head, &body).map_err(stranger)?;
    if greeting.role == role {
        Ok(greeting)
    } else {
        Err(Error::invalid_input("it plays the other role"))
    }
}

fn no_greeting(error: io::Error) -> Error {
    failed("no greeting came", &error)
}

fn stranger(flaw: crate::greeting::Flaw) -> Error {
    Error::invalid_input(flaw.to_string())
}

/// Why there is no connection, or not with the right one.
pub(crate) fn failed(what: &str, error: &io::Error) -> Error {
    // So TLS says that the two do not believe each other.
    let kind = match error.kind() {
        io::ErrorKind::InvalidData => ErrorKind::Unauthenticated,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{what}: {error}"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn both_ends_of_a_connection_find_out_when_the_other_one_vanishes() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        for stream in [dialled.unwrap(), accepted.unwrap().0] {
            set_up(&stream, Keepalive::default()).unwrap();
            let socket = SockRef::from(&stream);
            assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(5));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(30)));
        }
    }
}
