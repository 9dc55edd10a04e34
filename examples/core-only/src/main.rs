//! The interfaces without the runtime: registers, finds, dials, listens, publishes, subscribes.
//!
//! ```text
//! $ cargo run --bin core-only 127.0.0.1:4222
//! found echo at _INBOX.…
//! echo: hello
//! event on greetings: hello
//! ```

use std::error::Error;
use std::sync::Arc;

use micro_broker_nats::NatsBroker;
use micro_core::broker::{Message, SubscribeOptions, Topic};
use micro_core::registry::{Node, RegisterOptions, Service, ServiceName};
use micro_core::transport::{Bind, Listener, classic};
use micro_core::{Broker, Header, Registry, Transport};
use micro_registry_nats::NatsRegistry;
use micro_transport_nats::NatsTransport;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:4222".to_owned());

    // Each opens a connection of its own; the second one lends its to the third.
    let registry = NatsRegistry::new([&address])?;
    let transport = NatsTransport::new([&address])?;
    let broker = NatsBroker::with(transport.nats());

    // Listen. The pump moves what arrives to the sockets that it is for.
    let (port, incoming) = transport.open(Bind::Any).await?;
    let listens_at = port.local().unwrap_or_default().to_owned();
    let (dialer, listener, pump) = classic(Arc::clone(&port), incoming);
    let pump = tokio::spawn(pump);
    let echo = tokio::spawn(echo(listener));

    // Register, and find.
    let node = Node::new("echo-1", &listens_at).with_metadata("transport", transport.name());
    let service = Service::new("echo", "1.0.0").with_node(node);
    registry.register(&service, RegisterOptions::default()).await?;
    let found = registry.get(&ServiceName::new("echo")?).await?;
    let found = &found[0].nodes[0];
    println!("found echo at {}", found.address);

    // Dial, send, receive.
    let mut socket = dialer.dial(&found.address)?;
    socket.send("hello".into()).await?;
    let answer = socket.recv().await?.ok_or("the echo hung up")?;
    println!("echo: {}", String::from_utf8_lossy(&answer));

    // Subscribe, publish.
    let topic = Topic::new("greetings")?;
    let mut events = broker.subscribe(&topic.clone().into(), SubscribeOptions::default()).await?;
    broker.publish(&topic, Message::new(Header::new(), "hello")).await?;
    let event = events.next().await.ok_or("the subscription ended")??;
    println!("event on {}: {}", event.topic, String::from_utf8_lossy(&event.message.body));

    registry.close().await?;
    echo.abort();
    pump.abort();
    Ok(())
}

/// Sends back what comes, on each socket until it ends.
async fn echo(mut listener: Listener) {
    while let Ok(mut socket) = listener.accept().await {
        tokio::spawn(async move {
            while let Ok(Some(packet)) = socket.recv().await {
                if socket.send(packet).await.is_err() {
                    break;
                }
            }
        });
    }
}
