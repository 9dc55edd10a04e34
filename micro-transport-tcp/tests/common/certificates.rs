//! Certificates of a private authority, as files.

use std::path::PathBuf;

use micro_transport_tcp::Tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// An authority, and certificates that it signed.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// One with a certificate for 127.0.0.1 and one for a client.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        let authority = Self { folder, issuer };
        authority.sign("server", "127.0.0.1", |_| {});
        authority.sign("client", "client", |_| {});
        authority
    }

    /// Signs another one, for this subject.
    pub(crate) fn sign(&self, name: &str, subject: &str, change: impl Fn(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([subject.to_owned()]).unwrap();
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        std::fs::write(self.path(&format!("{name}.pem")), certificate).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With this certificate, and this authority to know the others by.
    pub(crate) fn tls(&self, name: &str) -> Tls {
        let (certificate, key) = (format!("{name}.pem"), format!("{name}.key"));
        self.ca().with_certificate(self.path(&certificate), self.path(&key))
    }

    /// Without a certificate.
    pub(crate) fn ca(&self) -> Tls {
        Tls::default().with_ca(self.path("ca.pem"))
    }
}
