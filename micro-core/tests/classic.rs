//! go-micro's picture of a transport, over the memory backend.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use micro_core::transport::{
    Arrival, Bind, Dialer, Incoming, Listener, Port, Pump, Socket, SocketOptions, classic,
    classic_with,
};
use micro_core::{Bytes, Error, ErrorKind, RequestState, Result, Transport};
use micro_memory::{Memory, MemoryOptions, MemoryTransport};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

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

#[tokio::test]
async fn packets_go_both_ways_in_their_order() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    for round in 0..20 {
        for n in 0..100 {
            client.send(numbered(round * 100 + n)).await.unwrap();
        }
        for n in 0..100 {
            let packet = receive(&mut server).await;
            assert_eq!(packet, numbered(round * 100 + n));
            server.send(packet).await.unwrap();
        }
        for n in 0..100 {
            assert_eq!(receive(&mut client).await, numbered(round * 100 + n));
        }
    }
}

#[tokio::test]
async fn an_empty_packet_is_a_packet() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    client.send(Bytes::new()).await.unwrap();
    assert_eq!(receive(&mut server).await, "");
}

#[tokio::test]
async fn two_dials_of_one_address_are_two_sockets() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (mut one, one_server) = a.pair(&mut b).await;
    let (mut two, two_server) = a.pair(&mut b).await;
    two_server.send("two".into()).await.unwrap();
    one_server.send("one".into()).await.unwrap();
    assert_eq!(receive(&mut one).await, "one");
    assert_eq!(receive(&mut two).await, "two");
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (2, 2));
    assert_eq!(one.remote(), b.address());
    assert_eq!(one_server.local(), Some(b.address()));
}

#[tokio::test]
async fn a_socket_is_a_stream_of_its_packets() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, server) = a.pair(&mut b).await;
    client.send("1".into()).await.unwrap();
    client.send("2".into()).await.unwrap();
    within(client.close()).await.unwrap();
    let packets: Result<Vec<Bytes>> = within(server.collect()).await;
    assert_eq!(packets.unwrap(), ["1", "2"]);
}

#[tokio::test]
async fn nobody_listens_is_told_once_and_that_nothing_was_sent() {
    let transport = MemoryTransport::default();
    let End { dialer, listener, .. } = open(&transport).await;
    let End { dialer: gone_dialer, listener: gone, pump } = open(&transport).await;
    let address = gone.local().unwrap().to_owned();
    drop((gone_dialer, gone));
    within(pump).await.unwrap().unwrap();

    let mut socket = dialer.dial(&address).unwrap();
    socket.send("hello".into()).await.unwrap();
    let error = fails(&mut socket).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&format!("nobody listens at {address}")), "{error}");

    let error = socket.send("again".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains(&address), "{error}");
    assert!(poll(pin!(socket.recv())).is_pending(), "it is told once");
    drop((socket, listener));
    assert_eq!(dialer.sockets(), 0);
}

#[tokio::test]
async fn a_close_is_seen_after_what_was_sent_before_it() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    for n in 0..100 {
        client.send(numbered(n)).await.unwrap();
    }
    within(client.close()).await.unwrap();
    for n in 0..100 {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    ended(&mut server).await;
    ended(&mut server).await;
    let error = server.send("too late".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (0, 0));
}

#[tokio::test]
async fn dropping_a_socket_closes_it_on_either_side() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    drop(client);
    ended(&mut server).await;
    let (mut client, server) = a.pair(&mut b).await;
    drop(server);
    ended(&mut client).await;
}

#[tokio::test]
async fn what_was_sent_to_one_who_is_gone_is_told() {
    let transport = MemoryTransport::default();
    let a = open(&transport).await;
    let (_dialer, mut listener, pump) =
        unspawned(&transport, SocketOptions::default().with_receive_capacity(1)).await;
    let mut pump = pin!(pump);
    let mut client = a.dialer.dial(listener.local().unwrap()).unwrap();
    client.send("read".into()).await.unwrap();
    assert!(poll(pump.as_mut()).is_pending());
    let server = within(listener.accept()).await.unwrap();
    client.send("not read".into()).await.unwrap();
    drop(server);
    let error = fails(&mut client).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::Unknown), "one of two was read: {error}");
    ended(&mut client).await;
}

#[tokio::test]
async fn a_socket_that_is_not_read_ends_as_overloaded_and_the_others_go_on() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_receive_capacity(4);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let (mut client, mut server) = a.pair(&mut b).await;
    let (other, mut other_server) = a.pair(&mut b).await;
    for n in 0..10 {
        client.send(numbered(n)).await.unwrap();
    }
    let mut told = 0;
    while let Ok(None) | Err(_) = within(client.recv()).await {
        told += 1;
        if told == 2 {
            break;
        }
    }
    for n in 0..4 {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    let error = fails(&mut server).await;
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    assert!(error.to_string().contains("more than 4 packets"), "{error}");
    ended(&mut server).await;
    assert_eq!(server.send("x".into()).await.unwrap_err().kind(), ErrorKind::Overloaded);

    other.send("still here".into()).await.unwrap();
    assert_eq!(receive(&mut other_server).await, "still here");
    drop((client, server));
    assert_eq!((a.dialer.sockets(), b.dialer.sockets()), (1, 1));
}

#[tokio::test]
async fn a_reader_gets_its_turn_before_its_socket_overflows() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_receive_capacity(1);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let (client, mut server) = a.pair(&mut b).await;
    let reader = tokio::spawn(async move {
        for n in 0..50 {
            assert_eq!(receive(&mut server).await, numbered(n));
        }
    });
    for n in 0..50 {
        client.send(numbered(n)).await.unwrap();
    }
    within(reader).await.unwrap();
}

#[tokio::test]
async fn those_who_find_too_many_waiting_are_turned_away() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_accept_capacity(2);
    let (a, mut b) = (open(&transport).await, open_with(&transport, options).await);
    let mut clients = Vec::new();
    for n in 0..5 {
        let client = a.dialer.dial(b.address()).unwrap();
        client.send(numbered(n)).await.unwrap();
        clients.push(client);
    }
    let mut turned_away = clients.split_off(2);
    for client in &mut turned_away {
        // That the packet was lost with it may be told first.
        if within(client.recv()).await.is_err() {
            ended(client).await;
        }
    }
    assert_eq!(b.listener.turned_away(), 3);
    for n in 0..2 {
        let mut server = within(b.listener.accept()).await.unwrap();
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    let (_client, _server) = a.pair(&mut b).await;
    drop(turned_away);
}

#[tokio::test]
async fn a_packet_too_large_is_refused_with_both_sizes() {
    let memory = Memory::with_options(MemoryOptions::default().with_max_packet(100));
    let transport = memory.transport();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    let (client, mut server) = a.pair(&mut b).await;
    let error = client.send(vec![0; 101].into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("101 bytes"), "{error}");
    assert!(error.to_string().contains("100 bytes"), "{error}");
    client.send(vec![0; 100].into()).await.unwrap();
    assert_eq!(receive(&mut server).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sockets_that_are_dropped_at_any_moment_leave_nothing_behind() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_accept_capacity(4).with_receive_capacity(4);
    let (a, b) = (open(&transport).await, open_with(&transport, options).await);
    let address = b.address().to_owned();
    let End { mut listener, dialer: b_dialer, pump: b_pump } = b;
    let server = tokio::spawn(async move {
        while let Ok(mut socket) = listener.accept().await {
            tokio::spawn(async move {
                for _ in 0..3 {
                    let Ok(Some(packet)) = within(socket.recv()).await else { break };
                    if socket.send(packet).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (dialer, address) = (a.dialer.clone(), address.clone());
        clients.spawn(async move {
            for n in 0..200 {
                let mut socket = dialer.dial(&address).unwrap();
                for _ in 0..(client + n) % 8 {
                    if socket.send("x".into()).await.is_err() {
                        break;
                    }
                }
                if n % 3 == 0 && (client + n) % 8 > 0 {
                    // A packet, the end, or why it came: something always does.
                    let _ = within(socket.recv()).await;
                }
            }
        });
    }
    within(async {
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        while a.dialer.sockets() + b_dialer.sockets() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.abort();
    let End { dialer, listener, pump } = a;
    drop((dialer, listener, b_dialer));
    within(pump).await.unwrap().unwrap();
    within(b_pump).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_peer_makes_a_send_wait_within_its_limit() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_send_wait(Duration::from_millis(20));
    let a = open_with(&transport, options).await;
    let (_dialer, listener, _pump) = unspawned(&transport, SocketOptions::default()).await;
    let socket = a.dialer.dial(listener.local().unwrap()).unwrap();
    let error = within(async {
        loop {
            if let Err(error) = socket.send("x".into()).await {
                break error;
            }
        }
    })
    .await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.request(), Some(RequestState::NotSent));
    assert!(error.to_string().contains("no room"), "{error}");
}

#[tokio::test]
async fn a_send_goes_on_when_there_is_room_again() {
    let transport = MemoryTransport::default();
    let a = open(&transport).await;
    let (_dialer, mut listener, pump) =
        unspawned(&transport, SocketOptions::default().with_receive_capacity(100_000)).await;
    let socket = a.dialer.dial(listener.local().unwrap()).unwrap();
    let mut sent = 0;
    // A send that is given up has sent nothing, so the same packet goes out again below.
    while poll(pin!(socket.send(numbered(sent)))).is_ready() {
        sent += 1;
    }
    let sender = tokio::spawn(async move {
        socket.send(numbered(sent)).await.unwrap();
        socket
    });
    tokio::spawn(pump);
    let mut server = within(listener.accept()).await.unwrap();
    for n in 0..=sent {
        assert_eq!(receive(&mut server).await, numbered(n));
    }
    drop(within(sender).await.unwrap());
    ended(&mut server).await;
}

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

#[tokio::test]
async fn a_peer_that_the_caller_dialled_at_the_port_is_not_accepted() {
    let transport = MemoryTransport::default();
    let (port, incoming) = transport.open(Bind::Any).await.unwrap();
    let (dialer, listener, pump) = classic(port.clone(), incoming);
    let mut a = End { dialer, listener, pump: tokio::spawn(pump) };
    let mut b = open(&transport).await;
    let peer = port.dial(b.address()).unwrap();
    peer.try_send("hello".into()).unwrap();
    let stranger = within(b.listener.accept()).await.unwrap();
    stranger.send("an answer that nobody reads".into()).await.unwrap();
    // It has arrived when what was sent after it has.
    let (_b_client, _a_server) = b.pair(&mut a).await;
    assert!(poll(pin!(a.listener.accept())).is_pending());
    assert_eq!(a.dialer.sockets(), 1);
}

#[tokio::test]
async fn giving_up_a_receive_or_an_accept_loses_nothing() {
    let transport = MemoryTransport::default();
    let (a, mut b) = (open(&transport).await, open(&transport).await);
    assert!(poll(pin!(b.listener.accept())).is_pending());
    let (client, mut server) = a.pair(&mut b).await;
    let sender = tokio::spawn(async move {
        for n in 0..1000 {
            client.send(numbered(n)).await.unwrap();
            tokio::task::yield_now().await;
        }
        client
    });
    let mut next = 0;
    within(async {
        while next < 1000 {
            match poll(pin!(server.recv())) {
                Poll::Ready(packet) => {
                    assert_eq!(packet.unwrap().unwrap(), numbered(next));
                    next += 1;
                }
                Poll::Pending => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    within(sender).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sockets_at_once_leave_nothing_behind() {
    let transport = MemoryTransport::default();
    let (a, b) = (open(&transport).await, open(&transport).await);
    let address = b.address().to_owned();
    let End { mut listener, dialer: b_dialer, pump: b_pump } = b;
    let server = tokio::spawn(async move {
        for _ in 0..100 {
            let mut socket = within(listener.accept()).await.unwrap();
            tokio::spawn(async move {
                while let Some(packet) = within(socket.recv()).await.unwrap() {
                    socket.send(packet).await.unwrap();
                }
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..100 {
        let mut socket = a.dialer.dial(&address).unwrap();
        clients.spawn(async move {
            for n in 0..20 {
                socket.send(format!("{client}/{n}").into()).await.unwrap();
                assert_eq!(receive(&mut socket).await, format!("{client}/{n}"));
            }
            socket.close().await.unwrap();
        });
    }
    within(async {
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        server.await.unwrap();
    })
    .await;
    assert_eq!(a.dialer.sockets(), 0);
    within(async {
        while b_dialer.sockets() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let End { dialer, listener, pump } = a;
    drop((dialer, listener, b_dialer));
    within(pump).await.unwrap().unwrap();
    within(b_pump).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_port_that_only_dials_has_nobody_to_accept() {
    let transport = MemoryTransport::default();
    let (port, incoming): (Arc<dyn Port>, _) = transport.open(Bind::ClientOnly).await.unwrap();
    let (dialer, listener, pump) = classic(port, incoming);
    let pump = tokio::spawn(pump);
    assert_eq!(listener.local(), None);
    drop(listener);
    let mut b = open(&transport).await;
    let mut client = dialer.dial(b.address()).unwrap();
    client.send("hello".into()).await.unwrap();
    let server = within(b.listener.accept()).await.unwrap();
    server.send("welcome".into()).await.unwrap();
    assert_eq!(receive(&mut client).await, "welcome");
    assert!(!pump.is_finished());
}
