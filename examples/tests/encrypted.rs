//! The greeters without a server, over TLS by flags alone.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "program/mod.rs"]
mod program;

use std::fs::write;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use self::program::{Program, no_server_flags, strs};

const SERVER: &str = env!("CARGO_BIN_EXE_greeter-server");
const CLIENT: &str = env!("CARGO_BIN_EXE_greeter-client");

/// Files of an authority, and of a certificate for this machine that it signed.
fn certificates(folder: &Path) -> String {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&key, &authority).unwrap();
    write(folder.join("ca.pem"), authority.pem()).unwrap();
    write(folder.join("own.pem"), own.pem()).unwrap();
    write(folder.join("own.key"), key.serialize_pem()).unwrap();
    let folder = folder.display();
    format!("tls://?ca={folder}/ca.pem&cert={folder}/own.pem&key={folder}/own.key")
}

#[tokio::test]
async fn who_has_a_certificate_is_greeted_and_who_has_none_is_told_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let plain = no_server_flags(&folder.path().display().to_string());
    let address = format!("--transport_address={}", certificates(folder.path()));
    let encrypted = [&strs(&plain)[..], &[&address]].concat();
    let mut server = Program::start(SERVER, &encrypted);
    let serving = server.says("serving").await;
    assert!(serving.contains("address=\"tls://127.0.0.1:"), "{serving}");

    let (success, out, err) = Program::start(CLIENT, &encrypted).end().await;
    assert!(success, "{err:#?}");
    assert_eq!(out, ["Hello World"]);

    let (success, out, err) = Program::start(CLIENT, &strs(&plain)).end().await;
    assert!(!success && out.is_empty(), "{out:?}");
    assert!(err.iter().any(|line| line.contains("TLS")), "{err:#?}");

    server.signal("-TERM");
    assert!(server.end().await.0);
}
