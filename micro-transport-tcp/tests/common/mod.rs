//! What the tests share.

#![allow(dead_code, reason = "each test uses a part of it")]

#[cfg(feature = "tls")]
pub(crate) mod certificates;

pub(crate) mod end;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use micro_core::{Transport, async_trait};
use micro_testkit::transport::Fixture;
use micro_transport_tcp::{Options, TcpTransport};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// What a world's packets go over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    TcpAlone,
    Tcp,
    Unix,
    #[cfg(feature = "tls")]
    Tls,
}

/// A backend under test.
pub(crate) struct World {
    kind: Kind,
    folder: TempDir,
    reserved: Reserved,
    /// A folder's name may be long already, where a socket's may not.
    unix_sockets: AtomicUsize,
    #[cfg(feature = "tls")]
    authority: certificates::Authority,
}

/// TCP ports that nobody else gets, and at which nobody listens until we do.
#[derive(Default)]
pub(crate) struct Reserved(Mutex<Vec<Socket>>);

impl Reserved {
    /// A fresh one. Who is bound keeps the system from giving its port to others; who also lets it
    /// be used again can be bound beside, on Linux. Elsewhere it is given back at once.
    pub(crate) fn address(&self) -> String {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        if cfg!(target_os = "linux") {
            self.0.lock().unwrap().push(socket);
        }
        address.to_string()
    }
}

impl World {
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            folder: tempfile::tempdir().unwrap(),
            reserved: Reserved::default(),
            unix_sockets: AtomicUsize::new(0),
            #[cfg(feature = "tls")]
            authority: certificates::Authority::new(),
        }
    }
}

#[async_trait]
impl Fixture for World {
    async fn transport(&self) -> Arc<dyn Transport> {
        // Nobody here is silent for ever, only slow on a loaded machine.
        let options = Options::default().with_connect_timeout(std::time::Duration::from_secs(8));
        let options = options.with_unix_socket(self.kind != Kind::TcpAlone);
        #[cfg(feature = "tls")]
        let options = match self.kind {
            Kind::Tls => options.with_tls(self.authority.tls("server")),
            _ => options,
        };
        let folder = format!("unix:{}/", self.folder.path().display());
        let addresses = if self.kind == Kind::Unix { vec![folder] } else { vec![] };
        Arc::new(TcpTransport::with_options(addresses, options).unwrap())
    }

    fn address(&self) -> String {
        match self.kind {
            Kind::TcpAlone | Kind::Tcp => self.reserved.address(),
            #[cfg(feature = "tls")]
            Kind::Tls => format!("tls://{}", self.reserved.address()),
            Kind::Unix => {
                let next = self.unix_sockets.fetch_add(1, Ordering::Relaxed);
                format!("unix:{}/{next}", self.folder.path().display())
            }
        }
    }

    fn bad_addresses(&self) -> Vec<String> {
        let bad = ["", "a b", "a\n:1", "host:port", "127.0.0.1:70000", "[::1", "unix:", "unix:x"];
        bad.map(String::from).into()
    }

    async fn garbage(&self, address: &str) {
        for bytes in garbage() {
            let mut stream = connect(address).await;
            // It may be closed before all of it was taken.
            let _ = stream.write_all(&bytes).await;
        }
        let mut talking = connect(address).await;
        talking.write_all(b"GET / HTTP/1.1\r\nHost: example\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let _ = talking.read_to_end(&mut answer).await;
        // TLS says that this is none, and nothing else.
        let told = if address.starts_with("tls://") { 7 } else { 0 };
        assert!(answer.len() <= told, "a stranger was told {answer:?}");
    }
}

pub(crate) trait Raw: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Raw for T {}

/// A connection of somebody who speaks something else.
pub(crate) async fn connect(address: &str) -> Box<dyn Raw> {
    match address.strip_prefix("unix:") {
        Some(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        None => {
            let place = address.trim_start_matches("tls://").split('/').next().unwrap();
            Box::new(TcpStream::connect(place).await.unwrap())
        }
    }
}

/// A greeting, as the README says it: of a dialler who takes packets of up to 1 MiB.
pub(crate) const GREETING: &[u8] = b"\x9emicro\r\n\x01\x01\x05\x00\x10\x00\x00\x00";

/// What is no packet, in all the ways that there are.
pub(crate) fn garbage() -> Vec<Vec<u8>> {
    let greeted = |more: &[u8]| [GREETING, more].concat();
    vec![
        b"".to_vec(),
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n".to_vec(),
        (0..4096_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect(),
        GREETING[..7].to_vec(),
        GREETING[..13].to_vec(),
        GREETING.to_vec(),
        // An acceptor's, as whoever is connected to itself hears it.
        b"\x9emicro\r\n\x01\x02\x05\x00\x10\x00\x00\x00".to_vec(),
        greeted(&[0xff; 4]),
        greeted(b"\xff\xff\xff\xfe"),
        greeted(&[0, 0]),
        greeted(b"\x00\x00\x00\x0aabc"),
        greeted(b"\x06\x00\x00\x00and then nothing"),
    ]
}
