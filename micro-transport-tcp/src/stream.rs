//! A connection, whatever it runs over.

use std::io;
#[cfg(target_os = "linux")]
use std::time::Duration;

use micro_core::{Error, Result};
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
    if greeting.role == role { Ok(greeting) } else { Err(Error::unavailable("it is no acceptor")) }
}

fn no_greeting(error: io::Error) -> Error {
    Error::unavailable(format!("no greeting came: {error}"))
}

fn stranger(flaw: crate::greeting::Flaw) -> Error {
    Error::unavailable(flaw.to_string())
}
