//! A peer, as the application holds it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use micro_core::Result;
use micro_core::transport::{Link, PeerId, Refused};

use crate::peer::Shared;

/// A peer's link; when it is dropped, the peer is closed.
pub(crate) struct TcpLink(pub(crate) Arc<Shared>);

#[async_trait]
impl Link for TcpLink {
    fn id(&self) -> PeerId {
        self.0.id
    }

    fn accepted(&self) -> bool {
        self.0.target.is_none()
    }

    fn remote(&self) -> &str {
        &self.0.remote
    }

    fn max_packet(&self) -> usize {
        self.0.max_packet()
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        self.0.try_send(packet)
    }

    async fn ready(&self) -> Result<()> {
        self.0.ready().await
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Drop for TcpLink {
    fn drop(&mut self) {
        self.0.close();
    }
}
