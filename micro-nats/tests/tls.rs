//! TLS with certificates of a private authority.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use micro_core::Result;
use micro_nats::{Nats, NatsOptions};
use micro_testkit::server::NatsServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// An authority, a server's certificate and a client's, as files.
struct Files {
    folder: TempDir,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let mut authority = CertificateParams::new([]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority =
            CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", authority.pem()).unwrap();
        for (name, subject) in [("server", "127.0.0.1"), ("client", "client")] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([subject.to_owned()]).unwrap();
            write(&format!("{name}.pem"), params.signed_by(&key, &authority).unwrap().pem())
                .unwrap();
            write(&format!("{name}.key"), key.serialize_pem()).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A server that shows its certificate, and may want to see the client's.
    async fn server(&self, verify: bool) -> NatsServer {
        let quoted = |path: &Path| format!("{:?}", path.display().to_string());
        NatsServer::start_configured(&format!(
            "tls {{ cert_file: {}, key_file: {}, ca_file: {}, verify: {verify} }}",
            quoted(&self.path("server.pem")),
            quoted(&self.path("server.key")),
            quoted(&self.path("ca.pem")),
        ))
        .await
    }
}

fn options(address: &str) -> NatsOptions {
    NatsOptions::default().with_addresses(address.parse().unwrap()).with_connect_wait(LIMIT)
}

async fn used(options: NatsOptions) -> Result<()> {
    Nats::with_options(options)?.round_trip().await
}

async fn refused(options: NatsOptions, reason: &str) {
    let options = options.with_connect_wait(Duration::from_secs(1));
    let text = used(options).await.unwrap_err().to_string();
    assert!(text.contains(reason), "{text}");
}

#[tokio::test]
async fn a_server_is_checked_against_the_given_certificates() {
    let files = Files::new();
    let server = files.server(false).await;
    let url = format!("tls://{}", server.address());
    used(options(&url).with_root_certificates(files.path("ca.pem"))).await.unwrap();
    // It asks for TLS itself.
    used(options(&server.url()).with_root_certificates(files.path("ca.pem"))).await.unwrap();
    refused(options(&url), "invalid peer certificate").await;
    let others = Files::new();
    let wrong = options(&url).with_root_certificates(others.path("ca.pem"));
    refused(wrong, "invalid peer certificate").await;
    refused(options(&url).with_root_certificates(files.path("none.pem")), "TLS").await;
}

#[tokio::test]
async fn a_client_shows_its_certificate_where_the_server_wants_it() {
    let files = Files::new();
    let server = files.server(true).await;
    let anonymous = options(&format!("tls://{}", server.address()))
        .with_root_certificates(files.path("ca.pem"));
    let known = anonymous
        .clone()
        .with_client_certificate(files.path("client.pem"), files.path("client.key"));
    used(known).await.unwrap();
    refused(anonymous, "not reachable").await;
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_demanded() {
    let server = NatsServer::start().await;
    refused(options(&format!("tls://{}", server.address())), "not reachable").await;
    refused(options(&server.address()).with_tls_required(true), "not reachable").await;
    used(options(&server.address())).await.unwrap();
}

#[tokio::test]
async fn a_certificate_that_was_replaced_is_read_at_the_next_connect() {
    let (files, others) = (Files::new(), Files::new());
    let server = files.server(false).await;
    let ca = others.path("ca.pem");
    let options = options(&format!("tls://{}", server.address())).with_root_certificates(&ca);
    let nats = Nats::with_options(options).unwrap();
    nats.client().unwrap();
    tokio::time::timeout(LIMIT, async {
        while !nats.health().unwrap_err().to_string().contains("invalid peer certificate") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("the refusal shows");
    std::fs::copy(files.path("ca.pem"), &ca).unwrap();
    nats.connected().await.unwrap();
}
