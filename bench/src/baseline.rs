//! B, the baseline: a request by async-nats, and a subscriber that publishes the reply.

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::StreamExt;
use micro::nats::async_nats;

use crate::lines;
use crate::load::{Caller, closed_loop};

const SUBJECT: &str = "bench.b";

/// Answers every request with its own body, until stdin ends.
///
/// # Errors
/// If NATS is not there.
pub(crate) async fn serve(address: &str) -> anyhow::Result<()> {
    let client = connect(address).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    let publisher = client.clone();
    // A task: what main itself runs is on none of the runtime's workers, and slower.
    let answering = tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            if let Some(reply) = request.reply {
                publisher.publish(reply, request.payload).await?;
            }
        }
        anyhow::bail!("the subscription is over")
    });
    let told = async {
        // Its answer shows that the subscription is in place.
        client.request(SUBJECT, Bytes::new()).await?;
        lines::tell_cpu(None).await
    };
    tokio::select! {
        ended = answering => ended?,
        ended = told => ended,
    }
}

/// Carries out the orders on stdin.
///
/// # Errors
/// If NATS is not there, or a request fails.
pub(crate) async fn load(address: &str) -> anyhow::Result<()> {
    let caller = Baseline(connect(address).await?);
    lines::carry_out(async |order| closed_loop(&caller, order).await).await
}

async fn connect(address: &str) -> anyhow::Result<async_nats::Client> {
    async_nats::connect(address).await.with_context(|| format!("NATS at {address}"))
}

#[derive(Clone)]
struct Baseline(async_nats::Client);

impl Caller for Baseline {
    async fn call(&mut self, body: Bytes) -> anyhow::Result<Bytes> {
        Ok(self.0.request(SUBJECT, body).await?.payload)
    }
}
