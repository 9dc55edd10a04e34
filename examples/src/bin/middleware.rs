//! Middleware: `tower` layers around calls and events, on both sides.
//!
//! ```text
//! $ cargo run --bin middleware
//! Hello Bob, of tenant blue
//! 401: no token, no greeting
//! event: greeted Bob, of tenant blue
//! ```
//!
//! What the layers log goes to standard error:
//!
//! ```text
//! INFO server: Greeter.Hello was done in 96.6µs
//! INFO client: Greeter.Hello was done in 310.2µs
//! INFO client: Greeter.Hello failed after 211.5µs: no token, no greeting
//! INFO publisher: greeted was done in 12.3µs
//! INFO subscriber: greeted was done in 4.1µs
//! ```

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use micro::middleware::{IncomingCall, IncomingEvent, OutgoingCall, OutgoingEvent};
use micro::{Client, Context, Error, ErrorKind, Plugins, Service};
use tokio::sync::mpsc;
use tower::filter::FilterLayer;
use tower::util::MapRequestLayer;
use tower::{Layer, Service as TowerService};

#[derive(Parser)]
#[command(about = "Calls and events through layers that log, add metadata and refuse")]
struct Options {
    #[command(flatten)]
    micro: micro::Flags,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micro_examples::log("info");
    let options = Options::parse();
    // Whoever is built from the same value shares its connections and its memory.
    let plugins = Plugins::new();
    let (events, mut received) = mpsc::channel(1);

    // The layer that is added first is the outermost one: it sees also what the next one refuses.
    let service = Service::builder("greeter")
        .serve_layer(Log { side: "server" })
        .serve_layer(FilterLayer::new(with_token))
        .event_layer(Log { side: "subscriber" })
        .handler("Greeter.Hello", async |context: Context, name: String| {
            Ok(format!("Hello {name}, {}", tenant(&context)))
        })
        .subscriber("greeted", move |context: Context, name: String| {
            let events = events.clone();
            async move {
                // Only the first one is waited for.
                let _ = events.try_send(format!("greeted {name}, {}", tenant(&context)));
                Ok(())
            }
        })
        .plugins(&plugins)
        .flags(&options.micro)
        .build()?;
    let name = service.name().to_owned();
    let running = service.start().await?;

    let client = Client::builder()
        .call_layer(Log { side: "client" })
        .call_layer(MapRequestLayer::new(add_tenant_and_token))
        .publish_layer(Log { side: "publisher" })
        .publish_layer(MapRequestLayer::new(add_tenant))
        .plugins(&plugins)
        .flags(&options.micro)
        .build()?;
    let greeting: String = client.call(&name, "Greeter.Hello", "Bob").await?;
    println!("{greeting}");

    let stranger = Client::builder()
        .call_layer(Log { side: "client" })
        .plugins(&plugins)
        .flags(&options.micro)
        .build()?;
    match stranger.call::<_, String>(&name, "Greeter.Hello", "Eve").await {
        Ok(greeting) => anyhow::bail!("the stranger was greeted: {greeting}"),
        Err(error) => println!("{}: {error}", error.code()),
    }

    client.publish("greeted", "Bob").await?;
    let event = tokio::time::timeout(Duration::from_secs(5), received.recv()).await;
    let event = event.ok().flatten().context("the event did not arrive within 5 s")?;
    println!("event: {event}");

    running.stop().await?;
    Ok(())
}

fn tenant(context: &Context) -> String {
    format!("of tenant {}", context.metadata().get("tenant").unwrap_or("nobody"))
}

/// Goes around each call of the client.
fn add_tenant_and_token(mut call: OutgoingCall) -> OutgoingCall {
    call.metadata_mut().insert("tenant", "blue");
    call.metadata_mut().insert("token", "secret");
    call
}

/// Goes around each event of the client.
fn add_tenant(mut event: OutgoingEvent) -> OutgoingEvent {
    event.metadata_mut().insert("tenant", "blue");
    event
}

/// Goes around each handler: whom it does not let through, no handler sees.
fn with_token(call: IncomingCall) -> micro::Result<IncomingCall> {
    match call.context().metadata().get("token") {
        Some("secret") => Ok(call),
        _ => Err(Error::new(ErrorKind::Unauthenticated, "no token, no greeting")),
    }
}

/// Logs how long each request took: a layer and its service, as `tower` wants them, for whatever
/// has a name.
#[derive(Clone, Copy)]
struct Log {
    side: &'static str,
}

#[derive(Clone)]
struct Logged<S> {
    next: S,
    side: &'static str,
}

trait Named {
    fn name(&self) -> String;
}

impl<S> Layer<S> for Log {
    type Service = Logged<S>;

    fn layer(&self, next: S) -> Logged<S> {
        Logged { next, side: self.side }
    }
}

impl<S, Q> TowerService<Q> for Logged<S>
where
    S: TowerService<Q, Error = Error>,
    S::Future: Send + 'static,
    Q: Named,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.next.poll_ready(cx)
    }

    fn call(&mut self, request: Q) -> Self::Future {
        let (side, name, began) = (self.side, request.name(), Instant::now());
        let answering = self.next.call(request);
        Box::pin(async move {
            let answer = answering.await;
            let took = began.elapsed();
            match &answer {
                Ok(_) => tracing::info!("{side}: {name} was done in {took:?}"),
                Err(error) => tracing::info!("{side}: {name} failed after {took:?}: {error}"),
            }
            answer
        })
    }
}

impl Named for OutgoingCall {
    fn name(&self) -> String {
        self.endpoint().to_owned()
    }
}

impl Named for IncomingCall {
    fn name(&self) -> String {
        self.context().endpoint().to_owned()
    }
}

impl Named for OutgoingEvent {
    fn name(&self) -> String {
        self.topic().to_string()
    }
}

impl Named for IncomingEvent {
    fn name(&self) -> String {
        self.context().endpoint().to_owned()
    }
}
