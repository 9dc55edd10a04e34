//! Unix sockets, alone and beside a TCP listener.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use common::end::{End, send};
use micro_core::ErrorKind;
use micro_core::transport::{Bind, Transport as _};
use micro_transport_tcp::{Options, TcpTransport};

#[tokio::test]
async fn a_silent_one_leaves_time_for_tcp() {
    let mut server = End::server(Options::default().with_unix_socket(false)).await;
    let id = server.address().split('/').nth(1).unwrap().to_owned();
    let name = SocketAddr::from_abstract_name(format!("micro-tcp-{id}")).unwrap();
    let _silent = UnixListener::bind_addr(&name).unwrap();
    let client = End::client(Options::default()).await;
    let peer = client.dial(&server.address());
    send(&peer, "hello").await;
    assert!(server.packet().await.0.remote().starts_with("127.0.0.1:"));
}

#[tokio::test]
async fn what_listens_in_a_folder_can_be_dialled_however_long_its_name() {
    let folder = tempfile::tempdir().unwrap();
    for length in 50..100 {
        let missing = length - folder.path().as_os_str().len() - 1;
        let path = folder.path().join("x".repeat(missing));
        std::fs::create_dir(&path).unwrap();
        let fits = length + "/0123456789abcdef.sock".len() <= 100;
        let transport = TcpTransport::new([format!("unix:{}/", path.display())]);
        assert_eq!(transport.is_ok(), fits, "{length}");
        let Ok(transport) = transport else {
            assert_eq!(transport.unwrap_err().kind(), ErrorKind::InvalidInput);
            continue;
        };
        let (port, _incoming) = transport.open(Bind::Any).await.unwrap();
        port.dial(port.local().unwrap()).unwrap();
    }
}
