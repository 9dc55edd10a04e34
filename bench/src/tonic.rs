//! tonic: a unary call, as its generated code makes it, over TCP to loopback or a Unix socket.
//!
//! The message is that of our typed calls. Server and channel are as tonic makes them when it is
//! told nothing: one HTTP/2 connection, `TCP_NODELAY`, no TLS; no metadata but gRPC's own, and no
//! deadline.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::net::UnixListener;
use tonic::body::Body;
use tonic::client::Grpc as Calls;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::codegen::tokio_stream::wrappers::UnixListenerStream;
use tonic::codegen::{BoxFuture, Context, Poll, Service, http};
use tonic::server::{Grpc as Answers, NamedService, UnaryService};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::lines;
use crate::load::{Caller, closed_loop};

const PATH: &str = "/bench.Bench/Echo";

/// The message, both ways: to prost bytes are `google.protobuf.BytesValue`.
type Echo = Bytes;

/// Answers every call with its own message, until stdin ends: on a free port of loopback, or on a
/// Unix socket with this path.
///
/// # Errors
/// If it cannot listen.
pub(crate) async fn serve(unix: Option<&Path>) -> anyhow::Result<()> {
    let (uri, serving) = listen(unix)?;
    // A task: what main itself runs is on none of the runtime's workers, and slower.
    let serving = tokio::spawn(serving);
    tokio::select! {
        ended = serving => Ok(ended??),
        ended = lines::tell_cpu(Some(uri)) => ended,
    }
}

/// Carries out the orders on stdin.
///
/// # Errors
/// If nobody listens there, or a call fails.
pub(crate) async fn load(uri: &str) -> anyhow::Result<()> {
    let caller = Unary::connect(uri).await?;
    lines::carry_out(async |order| closed_loop(&caller, order).await).await
}

/// Gives the URI at which it listens, and what answers there.
fn listen(unix: Option<&Path>) -> anyhow::Result<(String, BoxFuture<(), tonic::transport::Error>)> {
    let router = Server::builder().add_service(EchoServer);
    if let Some(path) = unix {
        let incoming = UnixListenerStream::new(UnixListener::bind(path)?);
        let uri = format!("unix:{}", path.display());
        return Ok((uri, Box::pin(router.serve_with_incoming(incoming))));
    }
    // Accepted sockets get this option from the listener here, not from the server.
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?.with_nodelay(Some(true));
    let uri = format!("http://{}", incoming.local_addr()?);
    Ok((uri, Box::pin(router.serve_with_incoming(incoming))))
}

#[derive(Clone)]
struct Unary(Calls<Channel>);

impl Unary {
    async fn connect(uri: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(uri.to_owned())?.connect().await;
        Ok(Self(Calls::new(channel.with_context(|| format!("tonic at {uri}"))?)))
    }
}

impl Caller for Unary {
    async fn call(&mut self, body: Echo) -> anyhow::Result<Echo> {
        self.0.ready().await?;
        let codec = ProstCodec::<Echo, Echo>::default();
        let path = PathAndQuery::from_static(PATH);
        Ok(self.0.unary(Request::new(body), path, codec).await?.into_inner())
    }
}

/// What `tonic-build` would generate for a service of one method.
#[derive(Clone)]
struct EchoServer;

impl NamedService for EchoServer {
    const NAME: &'static str = "bench.Bench";
}

impl Service<http::Request<Body>> for EchoServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                PATH => {
                    Answers::new(ProstCodec::<Echo, Echo>::default()).unary(Method, request).await
                }
                path => Status::unimplemented(path).into_http(),
            })
        })
    }
}

struct Method;

impl UnaryService<Echo> for Method {
    type Response = Echo;
    type Future = BoxFuture<Response<Echo>, Status>;

    fn call(&mut self, request: Request<Echo>) -> Self::Future {
        Box::pin(async move { Ok(Response::new(request.into_inner())) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn gives_its_message_back(unix: Option<&Path>) {
        let (uri, serving) = listen(unix).unwrap();
        let serving = tokio::spawn(serving);
        let mut caller = Unary::connect(&uri).await.unwrap();
        let body = Echo::from_static(b"0123456789abcdef");
        assert_eq!(caller.call(body.clone()).await.unwrap(), body);
        caller.0.ready().await.unwrap();
        let nowhere = PathAndQuery::from_static("/bench.Bench/Nothing");
        let codec = ProstCodec::<Echo, Echo>::default();
        let refused = caller.0.unary(Request::new(body), nowhere, codec).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        serving.abort();
    }

    #[tokio::test]
    async fn a_unary_call_over_tcp_gives_its_message_back() {
        gives_its_message_back(None).await;
    }

    #[tokio::test]
    async fn a_unary_call_over_a_unix_socket_gives_its_message_back() {
        let directory = tempfile::tempdir().unwrap();
        gives_its_message_back(Some(&directory.path().join("tonic"))).await;
    }
}
