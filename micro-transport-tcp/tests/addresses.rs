//! Where ports listen, and what they call themselves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::net::IpAddr;

use common::Reserved;
use common::end::{End, patient, send};
use micro_core::transport::{Bind, Transport as _};
use micro_core::{ErrorKind, Reach, Result};
use micro_testkit::not_done;
use micro_transport_tcp::TcpTransport;

fn transport(address: &str) -> TcpTransport {
    TcpTransport::new([address]).unwrap()
}

/// Opens there, and sends a packet to what it calls itself.
async fn is_heard(transport: TcpTransport, bind: Bind) -> String {
    let mut server = End::on(transport, bind).await;
    let client = End::client(patient()).await;
    let address = server.address();
    let peer = client.dial(&address);
    send(&peer, "hello").await;
    assert_eq!(server.packet().await.1, "hello", "{address}");
    server.gone().await;
    address
}

#[tokio::test]
async fn it_listens_on_loopback_unless_told_otherwise() {
    let address = is_heard(TcpTransport::new([""; 0]).unwrap(), Bind::Any).await;
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let reserved = Reserved::default().address();
    let port = reserved.split(':').nth(1).unwrap();
    let address = is_heard(transport("localhost"), Bind::Address(format!(":{port}"))).await;
    assert!(address.starts_with(&format!("127.0.0.1:{port}/")), "{address}");
    let address = is_heard(transport("localhost"), Bind::Any).await;
    assert!(address.starts_with("localhost:"), "{address}");
}

#[tokio::test]
async fn it_listens_on_ipv6_too() {
    if let Err(why) = std::net::TcpListener::bind("[::1]:0") {
        return not_done("TCP over IPv6", &why.to_string());
    }
    let address = is_heard(transport("[::1]"), Bind::Any).await;
    assert!(address.starts_with("[::1]:"), "{address}");
    is_heard_elsewhere("[::]").await;
}

#[tokio::test]
async fn who_listens_everywhere_names_an_address_that_others_reach() {
    is_heard_elsewhere("0.0.0.0").await;
}

async fn is_heard_elsewhere(everywhere: &str) {
    let address = is_heard(transport(everywhere), Bind::Any).await;
    let host = address.rsplit_once(':').unwrap().0.trim_matches(['[', ']']);
    let ip: IpAddr = host.parse().unwrap();
    assert!(!ip.is_unspecified(), "{address}");
}

#[tokio::test]
async fn another_address_is_advertised_with_what_makes_it_whole() {
    let server = End::server(patient()).await;
    let address = server.address();
    let (place, id) = address.split_once('/').unwrap();
    let port = place.split(':').nth(1).unwrap();
    let advertise = |address: &str| server.port.advertise(address);
    for (given, expected) in [
        ("greeter.example", format!("greeter.example:{port}/{id}")),
        ("greeter.example:80", format!("greeter.example:80/{id}")),
        ("192.0.2.1", format!("192.0.2.1:{port}/{id}")),
        ("2001:db8::1", format!("[2001:db8::1]:{port}/{id}")),
        ("[2001:db8::1]:80", format!("[2001:db8::1]:80/{id}")),
        (&address, address.clone()),
    ] {
        assert_eq!(advertise(given).unwrap(), expected);
    }
    let any: Result<String> = advertise("0.0.0.0");
    assert!(!any.unwrap().starts_with("0.0.0.0"));
    for bad in ["", ":80", "a b", "host:0", "host:80/other", "unix:/x", "tls://host"] {
        assert_eq!(advertise(bad).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let client = End::client(patient()).await;
    assert!(client.port.advertise("greeter.example").is_err());
}

#[tokio::test]
async fn how_far_it_reaches_is_known_before_it_opens() {
    let reach = |transport: TcpTransport| transport.capabilities().reach;
    assert_eq!(reach(TcpTransport::new([""; 0]).unwrap()), Reach::Machine);
    for (address, expected) in [
        ("127.0.0.1", Reach::Machine),
        ("[::1]:80", Reach::Machine),
        ("localhost", Reach::Machine),
        ("unix:/run/", Reach::Machine),
        ("0.0.0.0", Reach::Network),
        ("[::]:80", Reach::Network),
        ("greeter.example", Reach::Network),
    ] {
        assert_eq!(reach(transport(address)), expected, "{address}");
    }
}

#[tokio::test]
async fn a_transport_listens_at_one_address_that_is_one() {
    let error = TcpTransport::new(["127.0.0.1", "127.0.0.2"]).unwrap_err();
    assert!(error.to_string().contains("127.0.0.2"), "{error}");
    for bad in ["", "a b", "host:port", "127.0.0.1:0/abc", "tls://127.0.0.1:80/"] {
        assert_eq!(TcpTransport::new([bad]).unwrap_err().kind(), ErrorKind::InvalidInput, "{bad}");
    }
    let elsewhere = transport("192.0.2.1").open(Bind::Any).await.err().unwrap();
    assert_eq!(elsewhere.kind(), ErrorKind::InvalidInput);
    assert!(elsewhere.to_string().contains("192.0.2.1"), "{elsewhere}");
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_feature_tls_is_refused_with_a_word_that_helps() {
    let error = TcpTransport::new(["tls://127.0.0.1?ca=x"]).unwrap_err();
    assert!(error.to_string().contains("feature `tls`"), "{error}");
    let client = End::client(patient()).await;
    let error = client.port.dial("tls://127.0.0.1:80").unwrap_err();
    assert!(error.to_string().contains("feature `tls`"), "{error}");
    let open = transport("127.0.0.1").open(Bind::Address("tls://127.0.0.1".into())).await;
    assert!(open.err().unwrap().to_string().contains("feature `tls`"));
}

#[tokio::test]
async fn a_unix_sockets_file_is_there_while_somebody_listens() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greeter.sock");
    let address = format!("unix:{}", path.display());
    let server = End::on(transport(&address), Bind::Any).await;
    assert_eq!(server.address(), address);
    let taken = transport(&address).open(Bind::Any).await.err().unwrap();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert!(path.exists());
    server.port.stop_listening().await.unwrap();
    assert!(!path.exists());
    drop(server);

    // What a process left that was killed is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let next = is_heard(transport(&address), Bind::Any).await;
    assert_eq!(next, address);

    // What is no socket is not touched.
    std::fs::write(&path, "somebody's letter").unwrap();
    let taken = transport(&address).open(Bind::Any).await.err().unwrap();
    assert_eq!(taken.kind(), ErrorKind::Conflict);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "somebody's letter");
}

#[tokio::test]
async fn a_unix_sockets_file_that_is_anothers_by_now_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("greeter.sock");
    let address = format!("unix:{}", path.display());
    let first = End::on(transport(&address), Bind::Any).await;
    std::fs::remove_file(&path).unwrap();
    let second = End::on(transport(&address), Bind::Any).await;
    first.gone().await;
    assert!(path.exists());
    second.gone().await;
    assert!(!path.exists());
}

#[tokio::test]
async fn in_a_folder_each_port_has_a_unix_socket_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let address = format!("unix:{}/", folder.path().display());
    let (one, two) = (transport(&address), transport(&address));
    let (one, _one) = one.open(Bind::Any).await.unwrap();
    let (two, _two) = two.open(Bind::Any).await.unwrap();
    assert_ne!(one.local(), two.local());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
}
