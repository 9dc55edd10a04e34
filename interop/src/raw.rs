//! Packets as they are, over a socket: what only a hand-written caller sends.

use micro::nats::NatsTransport;
use micro::transport::{Bind, Socket, Transport, classic};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::generation::Generation;
use crate::world::World;
use crate::{base64, from_base64, limited};

/// A socket to a go-micro service, on which packets go as they are.
#[derive(Debug)]
pub struct RawSocket {
    socket: Socket,
    generation: Generation,
    pump: JoinHandle<()>,
}

/// What came.
#[derive(Debug)]
pub struct RawReply {
    /// Its header.
    pub header: Value,
    /// Its body.
    pub body: Vec<u8>,
}

impl RawReply {
    /// The error, or `EOS`.
    pub fn error(&self) -> Option<&str> {
        self.header["Micro-Error"].as_str()
    }

    /// The body, which is JSON.
    ///
    /// # Panics
    /// If it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}, {}", self.body, self.header))
    }
}

impl World {
    /// A socket to a go-micro service, on which packets go as they are.
    ///
    /// # Panics
    /// If there is no such address.
    pub async fn raw(&self, generation: Generation, address: &str) -> RawSocket {
        let transport = NatsTransport::with(&self.connection());
        let (port, incoming) = transport.open(Bind::ClientOnly).await.expect("a port");
        let (dialer, _, pump) = classic(port, incoming);
        let pump = tokio::spawn(async move {
            // It ends with the sockets.
            let _ = pump.await;
        });
        let socket = dialer.dial(address).expect("an address");
        RawSocket { socket, generation, pump }
    }
}

impl RawSocket {
    /// Sends a packet: the usual header of a call of this endpoint with this id, and more.
    ///
    /// # Panics
    /// If the network does not take it.
    pub async fn send(&self, id: &str, endpoint: &str, more: Value, body: &Value) {
        let mut header = json!({
            self.generation.id_key(): id,
            "Micro-Service": "echo",
            "Micro-Endpoint": endpoint,
            "Micro-Method": endpoint,
            "Content-Type": "application/json",
            "Accept": "application/json",
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            header[key] = value.clone();
        }
        let body = if body.is_null() { String::new() } else { base64(body.to_string().as_bytes()) };
        let packet = json!({ "Header": header, "Body": body }).to_string();
        limited("room for a packet", self.socket.send(packet.into())).await.expect("it is taken");
    }

    /// The next packet.
    ///
    /// # Panics
    /// If none comes.
    pub async fn recv(&mut self) -> RawReply {
        limited("a packet", self.recv_later()).await
    }

    /// The next packet, however long it takes.
    ///
    /// # Panics
    /// If it is none, or the socket is over.
    pub async fn recv_later(&mut self) -> RawReply {
        let packet = self.socket.recv().await.expect("it lives");
        let packet: Value =
            serde_json::from_slice(&packet.expect("it is not closed")).expect("an envelope");
        let body = from_base64(packet["Body"].as_str().unwrap_or_default());
        RawReply { header: packet["Header"].clone(), body }
    }
}

impl Drop for RawSocket {
    fn drop(&mut self) {
        self.pump.abort();
    }
}
