//! A peer that says, byte for byte, what a go-micro process said.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use micro_core::registry::Service;
use micro_registry_nats::micro_nats::async_nats::{self, Client, Message, Subscriber};
use micro_testkit::server::NatsServer;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;

use crate::within;

/// Messages of one version of go-micro.
#[derive(Clone, Debug)]
pub(crate) struct Spoken {
    pub(crate) query_subject: String,
    pub(crate) watch_subject: String,
    pub(crate) register: String,
    pub(crate) list: String,
    pub(crate) get: String,
    pub(crate) answer: String,
    pub(crate) deregister: String,
}

pub(crate) fn v6() -> Spoken {
    Spoken::of(include_str!("../fixtures/go-micro-v6.jsonl"))
}

pub(crate) fn v3() -> Spoken {
    Spoken::of(include_str!("../fixtures/go-micro-v3.jsonl"))
}

pub(crate) fn v2() -> Spoken {
    Spoken::of(include_str!("../fixtures/go-micro-v2.jsonl"))
}

impl Spoken {
    fn of(file: &str) -> Self {
        let lines: Vec<Value> =
            file.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let line = |exchange: &str, nth: usize| {
            lines.iter().filter(|line| line["exchange"] == exchange).nth(nth).unwrap()
        };
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Self {
            query_subject: text(&line("call", 0)["subject"]),
            watch_subject: text(&line("register", 0)["subject"]),
            register: text(&line("register", 0)["body"]),
            list: text(&line("list", 0)["body"]),
            get: text(&line("call", 0)["body"]),
            answer: text(&line("call", 1)["body"]),
            deregister: text(&line("deregister", 0)["body"]),
        }
    }

    /// The service that it speaks of.
    pub(crate) fn service(&self) -> Service {
        serde_json::from_str(&self.answer).unwrap()
    }

    pub(crate) fn id(&self) -> String {
        self.service().nodes[0].id.clone()
    }

    /// The same service on another node.
    pub(crate) fn with_id(mut self, id: &str) -> Self {
        let old = self.id();
        for body in [&mut self.register, &mut self.answer, &mut self.deregister] {
            *body = body.replace(&old, id);
        }
        self
    }
}

pub(crate) struct GoPeer {
    pub(crate) client: Client,
    pub(crate) spoken: Spoken,
    serving: Option<JoinHandle<()>>,
    asked: Arc<AtomicUsize>,
}

impl GoPeer {
    pub(crate) async fn new(server: &NatsServer, spoken: Spoken) -> Self {
        let client = async_nats::connect(server.address()).await.unwrap();
        Self { client, spoken, serving: None, asked: Arc::default() }
    }

    /// One that is registered: it answers queries, and has said so.
    pub(crate) async fn registered(server: &NatsServer, spoken: Spoken) -> Self {
        let mut peer = Self::new(server, spoken).await;
        peer.serve().await;
        peer.publish(&peer.spoken.watch_subject, None, &peer.spoken.register).await;
        peer.round_trip().await;
        peer
    }

    /// Answers queries from now on, without a word about it.
    pub(crate) async fn serve(&mut self) {
        let mut queries = self.subscribe(&self.spoken.query_subject).await;
        let (client, spoken, asked) =
            (self.client.clone(), self.spoken.clone(), self.asked.clone());
        self.serving = Some(tokio::spawn(async move {
            while let Some(query) = queries.next().await {
                // go-micro reads no more of it than this, and dies of one without a service.
                let result: Value = serde_json::from_slice(&query.payload).unwrap();
                let asks = match result["Action"].as_str().unwrap() {
                    "get" => result["Service"]["name"].as_str().unwrap() == "greeter",
                    "list" => true,
                    _ => false,
                };
                if asks {
                    let answer = Bytes::from(spoken.answer.clone());
                    client.publish(query.reply.unwrap(), answer).await.unwrap();
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
        self.round_trip().await;
    }

    /// How often it has answered.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// Answers no more, as if it were dead; whether anything of it is left at the server is known.
    pub(crate) async fn die(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
        self.round_trip().await;
    }

    pub(crate) async fn announce(&self) {
        self.publish(&self.spoken.watch_subject, None, &self.spoken.register).await;
    }

    pub(crate) async fn say_goodbye(&self) {
        self.publish(&self.spoken.watch_subject, None, &self.spoken.deregister).await;
    }

    pub(crate) async fn subscribe(&self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.round_trip().await;
        subscriber
    }

    pub(crate) async fn publish(&self, subject: &str, reply: Option<&str>, body: &str) {
        let (subject, body) = (subject.to_owned(), Bytes::from(body.to_owned()));
        match reply {
            Some(reply) => {
                self.client.publish_with_reply(subject, reply.to_owned(), body).await.unwrap();
            }
            None => self.client.publish(subject, body).await.unwrap(),
        }
    }

    /// Asks as go-micro does, and then once more; the answers to the first are those that came
    /// before the first one to the second, since who answers does so in order.
    pub(crate) async fn ask(&self, query: &str) -> Vec<Value> {
        let (inbox, fence) = (self.client.new_inbox(), self.client.new_inbox());
        let mut answers = self.subscribe(&inbox).await;
        let mut last = self.subscribe(&fence).await;
        self.publish(&self.spoken.query_subject, Some(&inbox), query).await;
        self.publish(&self.spoken.query_subject, Some(&fence), &self.spoken.list).await;
        let _ = next(&mut last).await;
        answers.unsubscribe().await.unwrap();
        let mut told = Vec::new();
        while let Some(answer) = answers.next().await {
            told.push(serde_json::from_slice(&answer.payload).unwrap());
        }
        told
    }

    pub(crate) async fn round_trip(&self) {
        let inbox = self.client.new_inbox();
        let mut echo = self.client.subscribe(inbox.clone()).await.unwrap();
        self.client.publish(inbox, Bytes::new()).await.unwrap();
        let _ = next(&mut echo).await;
    }
}

impl Drop for GoPeer {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

pub(crate) async fn next(subscriber: &mut Subscriber) -> Message {
    within("a message", subscriber.next()).await.expect("the subscription goes on")
}
