//! The contract of the interface, over multicast on loopback, also behind `Box` and `Arc`.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use micro_core::{Registry, async_trait};
use micro_registry_mdns::{Interface, MdnsRegistry, Options};
use micro_testkit::registry;

/// A network of its own: a port that no other test has, held as long as it is used.
struct Fixture {
    port: u16,
    _held: UdpSocket,
}

async fn fixture() -> Fixture {
    let held = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    held.set_reuse_address(true).unwrap();
    held.set_reuse_port(true).unwrap();
    held.bind(&std::net::SocketAddr::from(([0, 0, 0, 0], 0)).into()).unwrap();
    let held = UdpSocket::from(held);
    Fixture { port: held.local_addr().unwrap().port(), _held: held }
}

#[async_trait]
impl registry::Fixture for Fixture {
    async fn registry(&self) -> Arc<dyn Registry> {
        let options = Options::default()
            .with_interfaces([Interface::Loopback])
            .with_port(self.port)
            .with_lease(Duration::from_secs(2));
        Arc::new(MdnsRegistry::with_options(options).expect("good options"))
    }

    fn too_large(&self) -> Option<usize> {
        Some(2 << 20)
    }
}

micro_testkit::registry_suite!(fixture());
