//! Middleware: [`tower`](https://docs.rs/tower) layers around calls and events, on both sides.
//!
//! | what | layered by | request | response |
//! |---|---|---|---|
//! | a call that this process makes | `call_layer` | [`OutgoingCall`] | [`Reply`] |
//! | a call that it serves | `serve_layer` | [`IncomingCall`] | [`Reply`] |
//! | an event that it publishes | `publish_layer` | [`OutgoingEvent`] | `()` |
//! | an event that it receives | `event_layer` | [`IncomingEvent`] | `()` |
//!
//! The layer that is added first is the outermost one. A layer around calls sees each call once,
//! however often it is tried again. Where there is no layer, nothing is paid for there being any.
//!
//! A layer may change a request's metadata, answer by itself, refuse with an
//! [`Error`], wait, count or log; what any `tower` layer does whose service is `Clone` (a timeout,
//! a limit of concurrency) can be used as it is. An error of a layer that is not ours reaches the
//! caller as [`Internal`](crate::ErrorKind::Internal).
//!
//! ```
//! use micro::middleware::IncomingCall;
//! use micro::{Context, Service};
//! use tower::util::MapRequestLayer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> micro::Result<()> {
//! let tell = MapRequestLayer::new(|call: IncomingCall| {
//!     println!("{} is called", call.context().endpoint());
//!     call
//! });
//! let service = Service::builder("greeter")
//!     .handler("Greeter.Hello", async |_: Context, name: String| Ok(format!("Hello {name}")))
//!     .serve_layer(tell)
//!     .build()?
//!     .start()
//!     .await?;
//! let reply: String = service.client().call("greeter", "Greeter.Hello", "Bob").await?;
//! # assert_eq!(reply, "Hello Bob");
//! # service.stop().await
//! # }
//! ```

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use micro_core::Error;
pub use micro_core::wire::Reply;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};
use tower_layer::Layer;

pub use crate::client::{OutgoingCall, OutgoingEvent};
pub use crate::server::{IncomingCall, IncomingEvent};

/// A service whose own type is forgotten: what a layer is put around.
pub type Next<Q, R> = BoxCloneSyncService<Q, R, Error>;

/// What can be put around a request `Q` with response `R`: every `tower` layer whose service is
/// `Clone` and whose errors become [`Error`]s. Nobody implements it by hand.
pub trait Middleware<Q, R>: Send + Sync + 'static {
    /// Puts itself around what comes next.
    fn wrap(&self, next: Next<Q, R>) -> Next<Q, R>;
}

impl<L, Q, R> Middleware<Q, R> for L
where
    L: Layer<Next<Q, R>> + Send + Sync + 'static,
    L::Service: Service<Q, Response = R> + Clone + Send + Sync + 'static,
    <L::Service as Service<Q>>::Error: Into<Error>,
    <L::Service as Service<Q>>::Future: Send,
    Q: 'static,
    R: 'static,
{
    fn wrap(&self, next: Next<Q, R>) -> Next<Q, R> {
        BoxCloneSyncService::new(self.layer(next).map_err(Into::into))
    }
}

/// Layers, in the order in which they were added.
pub(crate) struct Layers<Q, R>(Vec<Arc<dyn Middleware<Q, R>>>);

type Boxed<R> = Pin<Box<dyn Future<Output = Result<R, Error>> + Send>>;

impl<Q: Send + 'static, R: 'static> Layers<Q, R> {
    pub(crate) fn push(&mut self, layer: impl Middleware<Q, R>) {
        self.0.push(Arc::new(layer));
    }

    /// What a request goes through, the innermost being this function; `None` if there is no
    /// layer.
    pub(crate) fn around(&self, innermost: fn(Q) -> Boxed<R>) -> Option<Stack<Q, R>> {
        if self.0.is_empty() {
            return None;
        }
        let innermost = BoxCloneSyncService::new(Innermost(innermost));
        Some(Stack(self.0.iter().rev().fold(innermost, |next, layer| layer.wrap(next))))
    }
}

impl<Q, R> Default for Layers<Q, R> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<Q, R> Clone for Layers<Q, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// All layers around what they are around.
pub(crate) struct Stack<Q, R>(Next<Q, R>);

impl<Q: Send + 'static, R: 'static> Stack<Q, R> {
    pub(crate) async fn run(&self, request: Q) -> Result<R, Error> {
        self.0.clone().oneshot(request).await
    }
}

impl<Q, R> Clone for Stack<Q, R> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

struct Innermost<Q, R>(fn(Q) -> Boxed<R>);

impl<Q, R> Clone for Innermost<Q, R> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<Q, R> Service<Q> for Innermost<Q, R> {
    type Response = R;
    type Error = Error;
    type Future = Boxed<R>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Q) -> Boxed<R> {
        (self.0)(request)
    }
}
