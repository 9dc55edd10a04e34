//! The contract of a transport, over TCP, over Unix sockets, and behind pointers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::{Kind, World};
use micro_core::{Transport, async_trait};
use micro_testkit::transport::{self, Fixture};

mod over_tcp_alone {
    use super::{Kind, World};
    micro_testkit::transport_suite!(async { World::new(Kind::TcpAlone) });
}

mod over_tcp_with_a_unix_socket_beside {
    use super::{Kind, World};
    micro_testkit::transport_suite!(async { World::new(Kind::Tcp) });
}

mod over_unix_sockets {
    use super::{Kind, World};
    micro_testkit::transport_suite!(async { World::new(Kind::Unix) });
}

#[cfg(feature = "tls")]
mod over_tls {
    use super::{Kind, World};
    micro_testkit::transport_suite!(async { World::new(Kind::Tls) });
}

/// The same world, each handle behind two pointers.
struct Pointers(World);

#[async_trait]
impl Fixture for Pointers {
    async fn transport(&self) -> Arc<dyn Transport> {
        let boxed: Box<dyn Transport> = Box::new(self.0.transport().await);
        Arc::new(boxed)
    }

    fn address(&self) -> String {
        self.0.address()
    }

    fn bad_addresses(&self) -> Vec<String> {
        self.0.bad_addresses()
    }

    async fn garbage(&self, address: &str) {
        self.0.garbage(address).await;
    }
}

#[tokio::test]
async fn the_contract_holds_behind_box_and_arc() {
    transport::run(&Pointers(World::new(Kind::Tcp))).await.unwrap();
}
