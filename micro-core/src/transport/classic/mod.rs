//! go-micro's picture of a transport, over any port: dial, listen, accept, sockets.

mod pump;
mod socket;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

pub use self::pump::Pump;
pub use self::socket::Socket;
use self::state::{Shared, Users};
use super::{Incoming, Port};
use crate::Result;

/// Sockets over an open port: what dials, what accepts, and what moves the packets.
///
/// The caller spawns the [`Pump`]; nothing arrives unless it runs.
///
/// ```no_run
/// use micro_core::Transport;
/// use micro_core::transport::{Bind, classic};
///
/// # async fn example(transport: impl Transport) -> micro_core::Result<()> {
/// let (port, incoming) = transport.open(Bind::Any).await?;
/// let (dialer, mut listener, pump) = classic(port, incoming);
/// tokio::spawn(pump);
///
/// let client = dialer.dial(listener.local().unwrap_or_default())?;
/// client.send("hello".into()).await?;
/// let mut server = listener.accept().await?;
/// assert_eq!(server.recv().await?.as_deref(), Some(&b"hello"[..]));
/// # Ok(())
/// # }
/// ```
pub fn classic(port: Arc<dyn Port>, incoming: Box<dyn Incoming>) -> (Dialer, Listener, Pump) {
    classic_with(port, incoming, SocketOptions::default())
}

/// As [`classic`], with other limits.
pub fn classic_with(
    port: Arc<dyn Port>,
    incoming: Box<dyn Incoming>,
    options: SocketOptions,
) -> (Dialer, Listener, Pump) {
    let (accepted, accept) = mpsc::channel(options.accept_capacity.clamp(1, MOST));
    let shared = Arc::new(Shared::new(port, options));
    let users = Arc::new(Users::new(shared.clone()));
    let pump = Pump::new(incoming, shared, Arc::downgrade(&users), accepted);
    (Dialer { users: users.clone() }, Listener { accept, users }, pump)
}

/// No queue holds more, whatever an option says.
const MOST: usize = 1 << 20;

/// The limits of the sockets of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// How many packets wait in one socket before it is ended as overloaded; 128, at least 1.
    pub receive_capacity: usize,
    /// How many accepted sockets wait for [`Listener::accept`] before the newest is turned away;
    /// 128, at least 1.
    pub accept_capacity: usize,
    /// How long [`Socket::send`] waits for room; 5 s.
    pub send_wait: Duration,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { receive_capacity: 128, accept_capacity: 128, send_wait: Duration::from_secs(5) }
    }
}

impl SocketOptions {
    /// Sets [`receive_capacity`](Self::receive_capacity).
    #[must_use]
    pub fn with_receive_capacity(mut self, packets: usize) -> Self {
        self.receive_capacity = packets;
        self
    }

    /// Sets [`accept_capacity`](Self::accept_capacity).
    #[must_use]
    pub fn with_accept_capacity(mut self, sockets: usize) -> Self {
        self.accept_capacity = sockets;
        self
    }

    /// Sets [`send_wait`](Self::send_wait).
    #[must_use]
    pub fn with_send_wait(mut self, wait: Duration) -> Self {
        self.send_wait = wait;
        self
    }
}

/// Makes sockets to addresses. Cheap to clone.
#[derive(Clone)]
pub struct Dialer {
    users: Arc<Users>,
}

impl Dialer {
    /// A socket to whoever listens at this address; local, no round trip. Whether anybody is
    /// there comes out with the first packet.
    ///
    /// # Errors
    /// `InvalidInput` for what cannot be an address, `Unavailable` once the port is over.
    pub fn dial(&self, address: &str) -> Result<Socket> {
        let shared = &self.users.shared;
        let peer = shared.port.dial(address)?;
        let (inbox, receiver) = shared.open(peer.id())?;
        Ok(Socket::new(peer, inbox, receiver, self.users.clone()))
    }

    /// How many sockets of the port are open, dialled and accepted.
    pub fn sockets(&self) -> usize {
        self.users.shared.sockets()
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("sockets", &self.sockets()).finish_non_exhaustive()
    }
}

/// Gives out the sockets of those who dial us. Dropping it ends listening, and the sockets that
/// nobody has accepted.
pub struct Listener {
    accept: mpsc::Receiver<Socket>,
    users: Arc<Users>,
}

impl Listener {
    /// The next socket that somebody has dialled and sent a packet on. Cancel safe. After
    /// [`stop_listening`](Self::stop_listening) it still gives those who had come before.
    ///
    /// # Errors
    /// `Unavailable` once the port is over.
    pub async fn accept(&mut self) -> Result<Socket> {
        match self.accept.recv().await {
            Some(socket) => Ok(socket),
            None => Err(self.users.shared.over()),
        }
    }

    /// The address that others dial; `None` if the port only dials.
    pub fn local(&self) -> Option<&str> {
        self.users.shared.port.local()
    }

    /// From now on nobody listens; sockets live on.
    ///
    /// # Errors
    /// `Unavailable` if the network could not be told.
    pub async fn stop_listening(&self) -> Result<()> {
        self.users.shared.port.stop_listening().await
    }

    /// Ends listening as dropping does, and says whether the network could be told.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn close(self) -> Result<()> {
        self.stop_listening().await
    }

    /// How many peers were turned away because too many waited for [`accept`](Self::accept).
    pub fn turned_away(&self) -> u64 {
        self.users.shared.turned_away()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.users.shared.end_listening();
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("local", &self.local()).finish_non_exhaustive()
    }
}
