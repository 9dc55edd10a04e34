//! How listener, pump and port end.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use micro_core::transport::{Arrival, Bind, Incoming, SocketOptions, classic};
use micro_core::{Error, ErrorKind, RequestState, Result, Transport};
use micro_memory::MemoryTransport;

use super::{End, ended, fails, numbered, open, poll, receive, unspawned, within};

#[tokio::test]
async fn dropping_the_listener_ends_listening_and_open_sockets_live_on() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    let address = b.address().to_owned();
    let waiting = a.dialer.dial(&address).unwrap();
    waiting.send("never accepted".into()).await.unwrap();
    let End { listener, dialer, pump } = b;
    drop(listener);

    // Once nobody listens any more, every further socket is told so.
    within(async {
        loop {
            let mut late = a.dialer.dial(&address).unwrap();
            late.send("hello".into()).await.unwrap();
            match late.recv().await {
                Err(error) if error.to_string().contains("nobody listens") => break,
                Ok(None) | Err(_) => {}
                Ok(Some(packet)) => panic!("{packet:?}"),
            }
        }
    })
    .await;
    client.send("ping".into()).await.unwrap();
    assert_eq!(receive(&mut server).await, "ping");
    server.send("pong".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "pong");
    assert_eq!(dialer.sockets(), 1);
    assert!(!pump.is_finished());
}

#[tokio::test]
async fn after_the_end_of_listening_those_who_came_before_are_still_accepted() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    let early = a.dialer.dial(b.address()).unwrap();
    early.send("early".into()).await.unwrap();
    // It has arrived when what was sent after it has.
    client.send("after".into()).await.unwrap();
    assert_eq!(receive(&mut server).await, "after");

    within(b.listener.stop_listening()).await.unwrap();
    let mut accepted = within(b.listener.accept()).await.unwrap();
    assert_eq!(receive(&mut accepted).await, "early");
    let mut late = a.dialer.dial(b.address()).unwrap();
    late.send("late".into()).await.unwrap();
    assert!(fails(&mut late).await.to_string().contains("nobody listens"));
    server.send("answer".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "answer");
    within(b.listener.close()).await.unwrap();
}

#[tokio::test]
async fn the_pump_ends_when_everybody_has_gone_and_not_before() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    let End { dialer, listener, pump } = a;
    let again = dialer.clone();
    drop((dialer, listener, again));
    client.send("alive".into()).await.unwrap();
    assert_eq!(receive(&mut server).await, "alive");
    assert!(!pump.is_finished());
    drop(client);
    within(pump).await.unwrap().unwrap();
    ended(&mut server).await;
}

#[tokio::test]
async fn when_the_pump_is_dropped_everything_ends_with_an_error() {
    let transport = MemoryTransport::default();
    let (mut a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut client, server) = a.pair(&mut b).await;
    server.send("before".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "before");
    a.pump.abort();
    let error = fails(&mut client).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("pump"), "{error}");
    ended(&mut client).await;
    let error = within(a.listener.accept()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let error = a.dialer.dial(b.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(a.dialer.sockets(), 0);
}

/// The memory backend's receiver, which can be told to be over.
struct Ending {
    incoming: Box<dyn Incoming>,
    over: Arc<AtomicBool>,
}

impl Incoming for Ending {
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        let received = self.incoming.poll_recv(cx, out);
        if self.over.load(Ordering::SeqCst) {
            return Poll::Ready(Err(Error::unavailable("the wire is cut")));
        }
        received
    }
}

#[tokio::test]
async fn when_the_port_is_over_what_had_come_is_read_and_then_told_why() {
    let transport = MemoryTransport::default();
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let incoming = Box::new(Ending { incoming, over: over.clone() });
    let (dialer, listener, pump) = classic(port, incoming);
    let a = End { dialer, listener, pump: tokio::spawn(pump) };
    let mut b = open(&transport).await;
    let (mut client, server) = a.pair(&mut b).await;

    over.store(true, Ordering::SeqCst);
    server.send("the last".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "the last");
    let error = fails(&mut client).await;
    assert!(error.to_string().contains("the wire is cut"), "{error}");
    ended(&mut client).await;
    let error = client.send("x".into()).await.err();
    assert!(error.is_none_or(|error| error.request() == Some(RequestState::NotSent)));
    assert!(within(a.pump).await.unwrap().unwrap_err().to_string().contains("the wire is cut"));
    assert_eq!(a.dialer.sockets(), 0);
    assert!(a.dialer.dial(b.address()).is_err());
}

#[tokio::test]
async fn packets_that_arrive_after_their_socket_was_dropped_make_no_new_one() {
    let transport = MemoryTransport::default();
    let a = open(&transport).await;
    let (dialer, mut listener, pump) =
        unspawned(&transport, SocketOptions::default().with_receive_capacity(1)).await;
    let mut pump = pin!(pump);
    let client = a.dialer.dial(listener.local().unwrap()).unwrap();
    for n in 0..3 {
        client.send(numbered(n)).await.unwrap();
    }
    // The pump holds the second packet back, since the first has not been read.
    assert!(poll(pump.as_mut()).is_pending());
    drop(within(listener.accept()).await.unwrap());
    for _ in 0..3 {
        assert!(poll(pump.as_mut()).is_pending());
    }
    assert!(poll(pin!(listener.accept())).is_pending());
    assert_eq!(dialer.sockets(), 0);
}
