//! tonic: a unary call, as its generated code makes it, over a TCP connection to loopback.
//!
//! The message is that of our typed calls. Server and channel are as tonic makes them when it is
//! told nothing: one HTTP/2 connection, `TCP_NODELAY`, no TLS; no metadata but gRPC's own, and no
//! deadline.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use bytes::Bytes;
use tonic::body::Body;
use tonic::client::Grpc as Calls;
use tonic::codegen::http::uri::PathAndQuery;
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

/// Answers every call with its own message, until stdin ends.
///
/// # Errors
/// If it cannot listen.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let (address, serving) = listen()?;
    // A task: what main itself runs is on none of the runtime's workers, and slower.
    let serving = tokio::spawn(serving);
    tokio::select! {
        ended = serving => Ok(ended??),
        ended = lines::tell_cpu(Some(address.to_string())) => ended,
    }
}

/// Carries out the orders on stdin.
///
/// # Errors
/// If nobody listens there, or a call fails.
pub(crate) async fn load(address: &str) -> anyhow::Result<()> {
    let caller = Unary::connect(address).await?;
    lines::carry_out(async |order| closed_loop(&caller, order).await).await
}

/// Listens on a free port of loopback; gives the address, and what answers.
fn listen()
-> anyhow::Result<(SocketAddr, impl Future<Output = Result<(), tonic::transport::Error>>)> {
    // Accepted sockets get this option from the listener here, not from the server.
    let incoming = TcpIncoming::bind((Ipv4Addr::LOCALHOST, 0).into())?.with_nodelay(Some(true));
    let address = incoming.local_addr()?;
    Ok((address, Server::builder().add_service(EchoServer).serve_with_incoming(incoming)))
}

#[derive(Clone)]
struct Unary(Calls<Channel>);

impl Unary {
    async fn connect(address: &str) -> anyhow::Result<Self> {
        let channel = Endpoint::from_shared(format!("http://{address}"))?.connect().await;
        Ok(Self(Calls::new(channel.with_context(|| format!("tonic at {address}"))?)))
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

    #[tokio::test]
    async fn a_unary_call_gives_its_message_back() {
        let (address, serving) = listen().unwrap();
        let serving = tokio::spawn(serving);
        let mut caller = Unary::connect(&address.to_string()).await.unwrap();
        let body = Echo::from_static(b"0123456789abcdef");
        assert_eq!(caller.call(body.clone()).await.unwrap(), body);
        caller.0.ready().await.unwrap();
        let nowhere = PathAndQuery::from_static("/bench.Bench/Nothing");
        let codec = ProstCodec::<Echo, Echo>::default();
        let refused = caller.0.unary(Request::new(body), nowhere, codec).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Unimplemented);
        serving.abort();
    }
}
