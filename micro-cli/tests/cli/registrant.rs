//! A registrant that is none of ours: it answers whoever asks with what it was given.

use std::time::Duration;

use futures_util::StreamExt;
use micro::nats::Nats;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::world::World;

/// Where the newer go-micro asks.
const QUERY: &str = "micro.nats.query";

/// It answers until it is dropped.
pub(crate) struct Registrant {
    _answers: JoinSet<()>,
}

impl Registrant {
    /// One of this service, as go-micro's JSON has it.
    pub(crate) async fn start(world: &World, service: &Value) -> Self {
        Self::late(world, service, Duration::ZERO).await
    }

    /// One that thinks for so long before it answers.
    pub(crate) async fn late(world: &World, service: &Value, pause: Duration) -> Self {
        let answer = service.to_string();
        assert!(answer.len() < 1 << 20, "a NATS message has no room for {} bytes", answer.len());
        let client = Nats::new([world.nats.address()]).unwrap().client().unwrap();
        let before = world.subscriptions(QUERY).await;
        let mut queries = client.subscribe(QUERY).await.unwrap();
        world.more_subscriptions(QUERY, before).await;
        let mut answers = JoinSet::new();
        answers.spawn(async move {
            while let Some(query) = queries.next().await {
                sleep(pause).await;
                client.publish(query.reply.unwrap(), answer.clone().into()).await.unwrap();
            }
        });
        Self { _answers: answers }
    }
}
