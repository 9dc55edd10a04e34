//! A network that no other test has.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod avahi;
pub(crate) mod program;
pub(crate) mod scene;
pub(crate) mod shown;

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_core::registry::{
    Change, Node, RegisterOptions, Service, ServiceName, WatchOptions, Watcher,
};
use micro_registry_mdns::{Interface, MdnsRegistry, Options};
use quinn_udp::{Transmit, UdpSocketState};
use socket2::{Domain, Socket, Type};

/// Far longer than a loaded machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(15);

/// Loopback with a port of its own, held as long as this is.
#[derive(Debug)]
pub(crate) struct Loopback {
    held: UdpSocket,
}

impl Loopback {
    pub(crate) fn new() -> Self {
        Self { held: Self::bind(0) }
    }

    fn bind(port: u16) -> UdpSocket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.set_multicast_if_v4(&[127, 0, 0, 1].into()).unwrap();
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into()).unwrap();
        socket.into()
    }

    pub(crate) fn port(&self) -> u16 {
        self.held.local_addr().unwrap().port()
    }

    pub(crate) fn options(&self) -> Options {
        Options::default().with_interfaces([Interface::Loopback]).with_port(self.port())
    }

    pub(crate) fn registry(&self) -> MdnsRegistry {
        MdnsRegistry::with_options(self.options()).unwrap()
    }

    /// What is said to everybody from now on; a read waits 100 ms at most.
    pub(crate) fn listen(&self) -> UdpSocket {
        let socket = Self::bind(self.port());
        socket.join_multicast_v4(&[224, 0, 0, 251].into(), &[127, 0, 0, 1].into()).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        socket
    }

    /// Sends a packet to whoever listens, as a responder does.
    pub(crate) fn send(&self, packet: &[u8]) {
        let group = SocketAddr::from(([224, 0, 0, 251], self.port()));
        self.held.send_to(packet, group).unwrap();
    }

    /// What sends from a port of its own.
    pub(crate) fn stranger() -> UdpSocket {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_multicast_if_v4(&[127, 0, 0, 1].into()).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.into()
    }

    /// Waits for a query of who asks from a port of their own; the query, and whom to answer.
    pub(crate) fn asked(&self) -> (Vec<u8>, SocketAddr) {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&SocketAddr::from(([0, 0, 0, 0], self.port())).into()).unwrap();
        socket.join_multicast_v4(&[224, 0, 0, 251].into(), &[127, 0, 0, 1].into()).unwrap();
        let socket = UdpSocket::from(socket);
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut query = vec![0; 9000];
        loop {
            let (length, from) = socket.recv_from(&mut query).unwrap();
            if from.port() != self.port() && query[2] & 0x80 == 0 {
                query.truncate(length);
                return (query, from);
            }
        }
    }

    /// Answers one alone, as a responder does.
    pub(crate) fn answer(&self, packet: &[u8], to: SocketAddr) {
        self.held.send_to(packet, to).unwrap();
    }

    /// Sends as many packets as may be read as one, to whoever listens, from a port of its own.
    pub(crate) fn send_as_one(&self, packet: &[u8]) {
        let socket = Self::stranger();
        let state = UdpSocketState::new((&socket).into()).unwrap();
        let transmit = Transmit {
            destination: SocketAddr::from(([224, 0, 0, 251], self.port())),
            ecn: None,
            contents: &packet.repeat(state.max_gso_segments()),
            segment_size: Some(packet.len()),
            src_ip: None,
        };
        state.try_send((&socket).into(), &transmit).unwrap();
    }
}

pub(crate) fn name(name: &str) -> ServiceName {
    ServiceName::new(name).unwrap()
}

pub(crate) fn greeter(id: &str, address: &str) -> Service {
    Service::new("greeter", "1").with_node(Node::new(id, address))
}

pub(crate) fn forever() -> RegisterOptions {
    RegisterOptions::default()
}

/// A watcher of everything, and what it has told so far.
#[derive(Debug)]
pub(crate) struct Observer {
    watcher: Watcher,
    /// As `name version id address`.
    pub(crate) nodes: Vec<String>,
    pub(crate) services: Vec<Service>,
    pub(crate) changes: usize,
}

impl Observer {
    pub(crate) async fn of(registry: &MdnsRegistry) -> Self {
        let watcher = registry.watch(WatchOptions::default()).await.unwrap();
        Self { watcher, nodes: Vec::new(), services: Vec::new(), changes: 0 }
    }

    /// Until all that there is has been told.
    pub(crate) async fn synced(registry: &MdnsRegistry) -> Self {
        let mut observer = Self::of(registry).await;
        while observer.next().await != Change::Synced {}
        observer
    }

    /// Until these are the nodes; returns how long that took.
    pub(crate) async fn until(&mut self, nodes: &[&str]) -> Duration {
        let begin = Instant::now();
        while self.nodes != nodes {
            assert!(begin.elapsed() < LIMIT, "{:?} are there, not {nodes:?}", self.nodes);
            self.next().await;
        }
        begin.elapsed()
    }

    pub(crate) async fn next(&mut self) -> Change {
        let change = tokio::time::timeout(LIMIT, self.watcher.next()).await;
        let change =
            change.unwrap_or_else(|_| panic!("nothing changes; {:?}", self.nodes)).unwrap();
        let (Change::Added(replaced) | Change::Updated(replaced) | Change::Removed(replaced)) =
            &change
        else {
            return change;
        };
        self.changes += 1;
        self.services.retain(|s| (&s.name, &s.version) != (&replaced.name, &replaced.version));
        if !matches!(change, Change::Removed(_)) {
            self.services.push(Service::clone(replaced));
        }
        let all = self.services.iter().flat_map(|s| s.nodes.iter().map(move |node| (s, node)));
        let told = |(s, node): (&Service, &Node)| {
            format!("{} {} {} {}", s.name, s.version, node.id, node.address)
        };
        self.nodes = all.map(told).collect();
        self.nodes.sort();
        change
    }
}
