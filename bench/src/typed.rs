//! Ours: a typed call through the whole stack, in go-micro's dialect, over each transport.
//!
//! Each call chooses a node, carries eight entries of metadata and a deadline, and encodes and
//! decodes a protobuf message at both ends; the handler is ready at once. The registry is always
//! NATS, so that a service is found in the same way whatever carries its calls.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::ValueEnum;
use micro::nats::{Nats, NatsBroker, NatsRegistry, NatsTransport};
use micro::tcp::{Options, TcpTransport};
use micro::transport::Transport;
use micro::{Client, Context, Service};

use crate::lines;
use crate::load::{Caller, closed_loop};

/// What carries the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Over {
    /// A nats-server.
    #[default]
    Nats,
    /// TCP.
    Tcp,
    /// The Unix socket beside it, which a client on the same machine prefers.
    Unix,
}

impl Over {
    /// One for each, so that a client knows but the node that it calls.
    fn service(self) -> &'static str {
        match self {
            Self::Nats => "bench-nats",
            Self::Tcp => "bench-tcp",
            Self::Unix => "bench-unix",
        }
    }

    fn transport(self, nats: &Nats) -> anyhow::Result<Arc<dyn Transport>> {
        Ok(match self {
            Self::Nats => Arc::new(NatsTransport::with(nats)),
            Self::Tcp | Self::Unix => {
                let options = Options::default().with_unix_socket(self == Self::Unix);
                Arc::new(TcpTransport::with_options([""; 0], options)?)
            }
        })
    }
}

const ENDPOINT: &str = "Bench.Echo";
const LIMIT: Duration = Duration::from_secs(10);
/// Ten bytes and ten bytes each.
const METADATA: [(&str, &str); 8] = [
    ("Bench-Key0", "value-0000"),
    ("Bench-Key1", "value-1111"),
    ("Bench-Key2", "value-2222"),
    ("Bench-Key3", "value-3333"),
    ("Bench-Key4", "value-4444"),
    ("Bench-Key5", "value-5555"),
    ("Bench-Key6", "value-6666"),
    ("Bench-Key7", "value-7777"),
];

/// The message, both ways: to protobuf's codec bytes are `google.protobuf.BytesValue`, a message
/// with one field of bytes.
type Echo = Bytes;

/// Answers every call with its own message, until stdin ends.
///
/// # Errors
/// What the service says.
pub(crate) async fn serve(address: &str, over: Over) -> anyhow::Result<()> {
    let nats = Nats::new([address])?;
    let running = Service::builder(over.service())
        .proto_handler(ENDPOINT, async |_: Context, echo: Echo| Ok(echo))
        .registry(NatsRegistry::with(&nats))
        .transport(over.transport(&nats)?)
        .broker(NatsBroker::with(&nats))
        .build()?
        .start()
        .await?;
    tokio::select! {
        error = running.failed() => Err(error.into()),
        ended = lines::tell_cpu(None) => ended,
    }
}

/// Carries out the orders on stdin.
///
/// # Errors
/// If a call fails.
pub(crate) async fn load(address: &str, over: Over) -> anyhow::Result<()> {
    let nats = Nats::new([address])?;
    let client = Client::builder()
        .registry(NatsRegistry::with(&nats))
        .transport(over.transport(&nats)?)
        .broker(NatsBroker::with(&nats))
        .build()?;
    let caller = Typed { client, service: over.service() };
    lines::carry_out(async |order| closed_loop(&caller, order).await).await
}

#[derive(Clone)]
struct Typed {
    client: Client,
    service: &'static str,
}

impl Caller for Typed {
    async fn call(&mut self, body: Echo) -> anyhow::Result<Echo> {
        let mut call = self.client.call_proto(self.service, ENDPOINT, &body).timeout(LIMIT);
        for (key, value) in METADATA {
            call = call.metadata(key, value);
        }
        Ok(call.await?)
    }
}

#[cfg(test)]
mod tests {
    use micro::codec::{Encode as _, Protobuf};

    use super::*;

    #[test]
    fn the_message_has_one_field_of_bytes() {
        let message = Protobuf::encode(&Echo::from_static(b"0123456789abcdef")).unwrap();
        assert_eq!(message[..2], [1 << 3 | 2, 16]);
        assert_eq!(message.len(), 18);
    }

    #[test]
    fn metadata_are_eight_entries_of_ten_and_ten_bytes() {
        let sizes = METADATA.map(|(key, value)| (key.len(), value.len()));
        assert_eq!(sizes, [(10, 10); 8]);
    }
}
