//! What others send.

use bytes::Bytes;
use futures_util::StreamExt;
use micro::nats::Nats;
use micro::nats::async_nats;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::limited;

/// One message that passed.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// To whom.
    pub subject: String,
    /// Where an answer would go.
    pub reply: Option<String>,
    /// What.
    pub body: Bytes,
}

impl Recorded {
    /// The body, if it is JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Listens to a subject, or to several by wildcards, on a connection of its own. Beware: where it listens, "nobody
/// listens" is told to nobody.
#[derive(Debug)]
pub struct Recorder {
    connection: Nats,
    end: oneshot::Sender<()>,
    recording: JoinHandle<Vec<Recorded>>,
}

impl Recorder {
    pub(crate) async fn start(connection: Nats, subject: &str) -> Self {
        let client = connection.client().expect("there is a runtime");
        let mut messages = limited("the recorder", client.subscribe(subject.to_owned()))
            .await
            .expect("it subscribes");
        limited("the recorder", client.flush()).await.expect("the server has heard of it");
        let (end, mut ended) = oneshot::channel();
        let recording = tokio::spawn(async move {
            let mut recorded = Vec::new();
            loop {
                tokio::select! {
                    biased;
                    message = messages.next() => match message {
                        Some(message) => recorded.push(Recorded {
                            subject: message.subject.to_string(),
                            reply: message.reply.map(|reply| reply.to_string()),
                            body: message.payload,
                        }),
                        None => return recorded,
                    },
                    _ = &mut ended => return recorded,
                }
            }
        });
        Self { connection, end, recording }
    }

    /// All that passed until now.
    pub async fn end(self) -> Vec<Recorded> {
        // What the server was sent before its answer to this has been passed on to us.
        let client: async_nats::Client = self.connection.client().expect("there is a runtime");
        limited("the recorder's end", client.flush()).await.expect("the server answers");
        let _ = self.end.send(());
        limited("the recorder's end", self.recording).await.expect("it does not panic")
    }
}
