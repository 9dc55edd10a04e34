//! TLS: who is let in, who is trusted, and that there is no way around it.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::certificates::Authority;
use common::end::{End, patient, send, until};
use common::{GREETING, connect, garbage};
use micro_core::transport::{Bind, Transport as _};
use micro_core::{Error, ErrorKind};
use micro_transport_tcp::{ClientCertificates, Options, TcpTransport, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn with(tls: Tls) -> Options {
    patient().with_tls(tls)
}

async fn server(tls: Tls) -> End {
    End::server(with(tls)).await
}

/// There and back.
async fn works(server: &mut End, tls: Tls) {
    let mut client = End::client(with(tls)).await;
    let peer = client.dial(&server.address());
    let mut held = Vec::new();
    for packet in [bytes::Bytes::from("hello"), vec![7; 1 << 20].into()] {
        send(&peer, packet.clone()).await;
        let (accepted, came) = server.packet().await;
        assert!(came == packet);
        send(&accepted, came).await;
        assert!(client.packet().await.1 == packet);
        held.push(accepted);
    }
    peer.close();
    assert_eq!(server.closed().await, (vec![], 0));
}

/// Neither packet nor peer gets there, and it is known that nothing was sent.
async fn is_refused(server: &mut End, address: &str, options: Options) {
    let mut client = End::client(options).await;
    let peer = client.dial(address);
    for _ in 0..2 {
        send(&peer, "secret").await;
    }
    assert_eq!(client.undelivered().await, 2);
    assert!(server.rest().is_empty());
}

#[tokio::test]
async fn both_sides_show_certificates_and_packets_go_both_ways() {
    let authority = Authority::new();
    let mut server = server(authority.tls("server")).await;
    assert!(server.address().starts_with("tls://127.0.0.1:"), "{}", server.address());
    works(&mut server, authority.tls("client")).await;
    assert_eq!(server.transport.dropped().total(), 0);
}

#[tokio::test]
async fn who_shows_no_certificate_is_let_in_only_where_none_is_needed() {
    let authority = Authority::new();
    for (which, lets_in) in [
        (ClientCertificates::Required, false),
        (ClientCertificates::Optional, true),
        (ClientCertificates::None, true),
    ] {
        let mut server = server(authority.tls("server").with_client_certificates(which)).await;
        if lets_in {
            works(&mut server, authority.ca()).await;
        } else {
            let address = server.address();
            is_refused(&mut server, &address, with(authority.ca())).await;
            assert!(server.transport.dropped().strangers > 0);
        }
        works(&mut server, authority.tls("client")).await;
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let optional = ClientCertificates::Optional;
    let mut server = server(authority.tls("server").with_client_certificates(optional)).await;
    let address = server.address();
    // The client does not believe the server, or the server does not believe the client.
    is_refused(&mut server, &address, with(other.ca())).await;
    let mut theirs = other.tls("client");
    theirs.ca = authority.ca().ca;
    is_refused(&mut server, &address, with(theirs)).await;
    works(&mut server, authority.ca()).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_or_time_is_not_believed() {
    let authority = Authority::new();
    authority.sign("other", "other.example", |_| {});
    authority.sign("expired", "127.0.0.1", |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let mut other = server(authority.tls("other")).await;
    let address = other.address();
    is_refused(&mut other, &address, with(authority.tls("client"))).await;
    works(&mut other, authority.tls("client").with_server_name("other.example")).await;
    let mut expired = server(authority.tls("expired")).await;
    let address = expired.address();
    is_refused(&mut expired, &address, with(authority.tls("client"))).await;
    let mut good = server(authority.tls("server")).await;
    let address = good.address();
    is_refused(&mut good, &address, with(authority.tls("expired"))).await;
}

#[tokio::test]
async fn there_is_no_way_around_it() {
    let authority = Authority::new();
    let mut encrypted = server(authority.tls("server")).await;
    // To the port, and to the Unix socket beside it.
    let plain = encrypted.address().trim_start_matches("tls://").to_owned();
    is_refused(&mut encrypted, &plain, patient()).await;
    is_refused(&mut encrypted, &plain, patient().with_unix_socket(false)).await;
    let mut open = End::server(patient()).await;
    let address = format!("tls://{}", open.address());
    is_refused(&mut open, &address, with(authority.tls("client"))).await;

    let refused = |end: &End, address: &str, words: &str| {
        let error = end.port.dial(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
    };
    let with_tls = End::client(with(authority.tls("client"))).await;
    refused(&with_tls, &open.address(), "without TLS");
    refused(&with_tls, "unix:/some/socket", "without TLS");
    let without = End::client(patient()).await;
    refused(&without, &encrypted.address(), "wants TLS");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_unix_socket_beside_it_is_encrypted_too() {
    let authority = Authority::new();
    let mut server = server(authority.tls("server")).await;
    let client = End::client(with(authority.tls("client"))).await;
    let peer = client.dial(&server.address());
    send(&peer, "hello").await;
    assert!(server.packet().await.0.remote().starts_with("unix:"));
}

#[tokio::test]
async fn garbage_is_counted_and_harms_nobody() {
    let authority = Authority::new();
    let mut server = server(authority.tls("server")).await;
    let all = garbage();
    for bytes in &all {
        let mut stream = connect(&server.address()).await;
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told).await;
        assert!(!told.windows(5).any(|part| part == b"micro"), "{told:?}");
    }
    let mut stream = connect(&server.address()).await;
    stream.write_all(GREETING).await.unwrap();
    let transport = server.transport.clone();
    until("all are counted", || transport.dropped().strangers > all.len() as u64).await;
    works(&mut server, authority.tls("client")).await;
}

#[tokio::test]
async fn an_address_brings_its_files() {
    let authority = Authority::new();
    let file = |name: &str| authority.path(name).display().to_string();
    let files =
        format!("ca={}&cert={}&key={}", file("ca.pem"), file("server.pem"), file("server.key"));
    let mut server = End::at(&format!("tls://127.0.0.1?{files}"), patient()).await;
    works(&mut server, authority.tls("client")).await;
    let mut anywhere = End::at(&format!("tls://?{files}"), patient()).await;
    works(&mut anywhere, authority.tls("client")).await;
}

#[tokio::test]
async fn what_cannot_be_is_an_error_that_says_what_and_no_secret() {
    let authority = Authority::new();
    let key = std::fs::read_to_string(authority.path("server.key")).unwrap();
    std::fs::write(authority.path("broken.key"), key.replace("-----END", "-----BEGIN")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let (ca, key) = (authority.path("ca.pem"), authority.path("broken.key"));
    let make = |address: &str, options: Options| -> Error {
        TcpTransport::with_options([address], options).unwrap_err()
    };
    let mut keyless = authority.tls("server");
    keyless.key = None;
    for (error, words) in [
        (make("tls://", patient()), "needs files"),
        (make("127.0.0.1?ca=x", patient()), "only tls://"),
        (make("tls://?ca=/none.pem", patient()), "/none.pem"),
        (make("tls://?cert=/none.pem", patient()), "come together"),
        (make("tls://?secret=x", patient()), "secret"),
        (make("tls://?ca=x", with(authority.ca())), "in the options"),
        (make("tls://", with(Tls::default())), "neither"),
        (make("tls://", with(keyless)), "come together"),
        (make("tls://", with(authority.ca().with_certificate(&ca, &key))), "broken.key"),
        (make("tls://", with(authority.ca().with_certificate(&key, &key))), "broken.key"),
        (
            make(
                "tls://",
                with(authority.ca().with_certificate(&ca, authority.path("client.key"))),
            ),
            "cannot be used",
        ),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(words), "{error}");
        assert!(!format!("{error:?}").contains(secret), "{error:?}");
    }
    let only_dials = TcpTransport::with_options(["tls://"], with(authority.ca())).unwrap();
    let error = only_dials.open(Bind::Any).await.err().unwrap();
    assert!(error.to_string().contains("needs a certificate"), "{error}");
    let unix = TcpTransport::with_options(["unix:/run/"], with(authority.tls("server"))).unwrap();
    let error = unix.open(Bind::Any).await.err().unwrap();
    assert!(error.to_string().contains("Unix socket"), "{error}");
}
