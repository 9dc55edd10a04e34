//! go-micro's picture of a transport, over the memory backend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crowd;
mod ending;
mod limits;
mod talking;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use micro_core::transport::{Bind, Dialer, Listener, Pump, Socket, SocketOptions, classic_with};
use micro_core::{Bytes, Error, Result, Transport};
use micro_memory::MemoryTransport;
use tokio::task::JoinHandle;

/// Far longer than a loaded machine needs.
const LIMIT: Duration = Duration::from_secs(20);

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, future).await.expect("it did not happen")
}

/// One end: a port with everything above it.
struct End {
    dialer: Dialer,
    listener: Listener,
    pump: JoinHandle<Result<()>>,
}

async fn open(transport: &MemoryTransport) -> End {
    open_with(transport, SocketOptions::default()).await
}

async fn open_with(transport: &MemoryTransport, options: SocketOptions) -> End {
    let (dialer, listener, pump) = unspawned(transport, options).await;
    End { dialer, listener, pump: tokio::spawn(pump) }
}

async fn unspawned(
    transport: &MemoryTransport,
    options: SocketOptions,
) -> (Dialer, Listener, Pump) {
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    classic_with(port, incoming, options)
}

impl End {
    fn address(&self) -> &str {
        self.listener.local().unwrap()
    }

    /// Dials itself or another end and accepts there.
    async fn pair(&self, other: &mut Self) -> (Socket, Socket) {
        let client = self.dialer.dial(other.address()).unwrap();
        client.send("hello".into()).await.unwrap();
        let mut server = within(other.listener.accept()).await.unwrap();
        assert_eq!(receive(&mut server).await, "hello");
        (client, server)
    }
}

async fn receive(socket: &mut Socket) -> Bytes {
    within(socket.recv()).await.unwrap().expect("it is open")
}

async fn ended(socket: &mut Socket) {
    assert_eq!(within(socket.recv()).await.unwrap(), None);
}

async fn fails(socket: &mut Socket) -> Error {
    within(socket.recv()).await.unwrap_err()
}

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn numbered(n: usize) -> Bytes {
    n.to_string().into()
}
