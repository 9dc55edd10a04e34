//! TLS: from files to what encrypts a connection, with both sides known to each other.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use micro_core::{Error, Result};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use crate::address::Host;
use crate::config::Options;
use crate::stream::{Reading, Stream, Writing, failed};

/// Why there is none.
pub(crate) const ABSENT: &str = "this transport was made without";
const NO_CERTIFICATE: &str = "TLS needs a certificate and its key to listen";
const NO_CA: &str = "needs a CA by which whoever is there is known";

/// With which files a transport encrypts; PEM, read when the transport is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The certificates of those who sign others': of servers for whoever dials, of clients for
    /// whoever listens.
    pub ca: Option<PathBuf>,
    /// The own certificate, with those between it and a CA's: a port that listens shows it, and
    /// one that dials does when it is asked to.
    pub certificate: Option<PathBuf>,
    /// The key of the own certificate.
    pub key: Option<PathBuf>,
    /// Whether whoever dials has to show a certificate, once there is a [`ca`](Self::ca) to know
    /// it by.
    pub client_certificates: ClientCertificates,
    /// The name that the certificate of whoever is dialled has to have; otherwise the host in the
    /// address.
    pub server_name: Option<String>,
}

/// Whether whoever dials has to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientCertificates {
    /// One that the CA signed.
    #[default]
    Required,
    /// One that the CA signed, or none.
    Optional,
    /// Nobody is asked.
    None,
}

/// What encrypts.
pub(crate) struct Loaded {
    acceptor: Option<TlsAcceptor>,
    connector: Option<TlsConnector>,
    server_name: Option<ServerName<'static>>,
}

impl Tls {
    /// Sets [`ca`](Self::ca).
    #[must_use]
    pub fn with_ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Sets [`certificate`](Self::certificate) and [`key`](Self::key).
    #[must_use]
    pub fn with_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        (self.certificate, self.key) = (Some(certificate.into()), Some(key.into()));
        self
    }

    /// Sets [`client_certificates`](Self::client_certificates).
    #[must_use]
    pub fn with_client_certificates(mut self, which: ClientCertificates) -> Self {
        self.client_certificates = which;
        self
    }

    /// Sets [`server_name`](Self::server_name).
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// What stands behind the `?` of an address: `ca`, `cert`, `key`, `client` and `name`.
    fn parse(text: &str) -> Result<Self> {
        let mut tls = Self::default();
        for item in text.split('&').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').unwrap_or((item, ""));
            match (key, value) {
                (_, "") => return Err(flawed(&format!("{key} has no value"))),
                ("ca", file) => tls.ca = Some(file.into()),
                ("cert", file) => tls.certificate = Some(file.into()),
                ("key", file) => tls.key = Some(file.into()),
                ("name", name) => tls.server_name = Some(name.to_owned()),
                ("client", "required") => tls.client_certificates = ClientCertificates::Required,
                ("client", "optional") => tls.client_certificates = ClientCertificates::Optional,
                ("client", "none") => tls.client_certificates = ClientCertificates::None,
                ("client", _) => return Err(flawed("client is required, optional or none")),
                _ => return Err(flawed(&format!("{key} is not ca, cert, key, client or name"))),
            }
        }
        Ok(tls)
    }
}

impl Loaded {
    /// From the options, or from what stands behind an address.
    pub(crate) fn load(
        options: &Options,
        wanted: bool,
        files: Option<&str>,
    ) -> Result<Option<Self>> {
        match (&options.tls, files) {
            (Some(_), Some(_)) => Err(flawed("its files are in the address and in the options")),
            (None, Some(files)) => Self::new(&Tls::parse(files)?).map(Some),
            (Some(tls), None) => Self::new(tls).map(Some),
            (None, None) if wanted => Err(flawed("it needs files: ?ca=…&cert=…&key=…")),
            (None, None) => Ok(None),
        }
    }

    fn new(tls: &Tls) -> Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let roots = tls.ca.as_deref().map(roots).transpose()?.map(Arc::new);
        let own = match (&tls.certificate, &tls.key) {
            (Some(certificate), Some(key)) => Some((certificates(certificate)?, private(key)?)),
            (None, None) => None,
            _ => return Err(flawed("a certificate and its key come together")),
        };
        if own.is_none() && roots.is_none() {
            return Err(flawed("there is neither a CA nor a certificate"));
        }
        let acceptor = own.as_ref().map(|own| acceptor(&provider, roots.clone(), own, tls));
        let connector = roots.map(|roots| connector(&provider, roots, own));
        let server_name = (tls.server_name.clone()).map(ServerName::try_from).transpose();
        let server_name = server_name.map_err(|_| flawed("the server's name is no name"))?;
        let (acceptor, connector) = (acceptor.transpose()?, connector.transpose()?);
        Ok(Self { acceptor, connector, server_name })
    }

    pub(crate) fn cannot_listen(&self) -> Option<&'static str> {
        self.acceptor.is_none().then_some(NO_CERTIFICATE)
    }

    pub(crate) fn cannot_dial(&self) -> Option<&'static str> {
        self.connector.is_none().then_some(NO_CA)
    }

    pub(crate) async fn accept(&self, stream: Box<dyn Stream>) -> Result<Box<dyn Stream>> {
        let acceptor = self.acceptor.as_ref().ok_or_else(|| flawed(NO_CERTIFICATE))?;
        let stream = acceptor.accept(stream).await.map_err(|error| failed("no TLS", &error))?;
        Ok(Box::new(TlsStream::from(stream)))
    }

    pub(crate) async fn connect(
        &self,
        stream: Box<dyn Stream>,
        host: &Host,
    ) -> Result<Box<dyn Stream>> {
        let connector = self.connector.as_ref().ok_or_else(|| flawed(NO_CA))?;
        let name = match (&self.server_name, host) {
            (Some(name), _) => name.clone(),
            (None, Host::Ip(ip)) => ServerName::IpAddress((*ip).into()),
            (None, Host::Name(name)) => ServerName::try_from(name.to_string())
                .map_err(|_| flawed("the host's name cannot be in a certificate"))?,
        };
        let connected = connector.connect(name, stream).await;
        let stream = connected.map_err(|error| failed("no TLS", &error))?;
        Ok(Box::new(TlsStream::from(stream)))
    }
}

impl Stream for TlsStream<Box<dyn Stream>> {
    fn split(self: Box<Self>) -> (Reading, Writing) {
        let (reading, writing) = tokio::io::split(*self);
        (Box::new(reading), Box::new(writing))
    }
}

type Own = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn acceptor(
    provider: &Arc<CryptoProvider>,
    roots: Option<Arc<RootCertStore>>,
    (certificates, key): &Own,
    tls: &Tls,
) -> Result<TlsAcceptor> {
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(|error| unusable(&error))?;
    let builder = match (roots, tls.client_certificates) {
        (None, _) | (_, ClientCertificates::None) => builder.with_no_client_auth(),
        (Some(roots), which) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
            let verifier = match which {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build().map_err(|error| unusable(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(certificates.clone(), key.clone_key());
    Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| unusable(&error))?)))
}

fn connector(
    provider: &Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    own: Option<Own>,
) -> Result<TlsConnector> {
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(&[&TLS13]).map_err(|error| unusable(&error))?;
    let builder = builder.with_root_certificates(roots);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some((certificates, key)) => {
            builder.with_client_auth_cert(certificates, key).map_err(|error| unusable(&error))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate).map_err(|error| unusable(&error))?;
    }
    Ok(roots)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(unread(file, &pem::Error::NoItemsFound)),
        other => other.map_err(|error| unread(file, &error)),
    }
}

fn private(file: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| unread(file, &error))
}

/// Without what stands in the file, which may be a key.
fn unread(file: &Path, error: &pem::Error) -> Error {
    let why = match error {
        pem::Error::Io(error) => error.to_string(),
        _ => "there is nothing of the kind in it, as PEM".to_owned(),
    };
    flawed(&format!("{} cannot be read: {why}", file.display()))
}

fn unusable(error: &dyn fmt::Display) -> Error {
    flawed(&format!("certificate, key and CA cannot be used: {error}"))
}

fn flawed(flaw: &str) -> Error {
    Error::invalid_input(format!("TLS: {flaw}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_behind_an_address_names_the_files() {
        let read = Tls::parse("ca=/a&cert=/b&key=/c&client=optional&name=greeter").unwrap();
        let made = Tls::default().with_ca("/a").with_certificate("/b", "/c");
        let made = made.with_client_certificates(ClientCertificates::Optional);
        assert_eq!(read, made.with_server_name("greeter"));
        for (text, word) in
            [("ca", "no value"), ("client=no", "required"), ("secret=x", "secret is not")]
        {
            let error = Tls::parse(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
