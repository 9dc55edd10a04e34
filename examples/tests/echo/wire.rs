//! The bytes, as another language's client sends and sees them.

use std::time::Duration;

use futures_util::StreamExt;
use micro::nats::async_nats::{self, Subscriber};
use micro_testkit::server::NatsServer;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::Echo;

const LIMIT: Duration = Duration::from_secs(20);

struct Raw {
    nats: async_nats::Client,
    inbox: Subscriber,
    to: String,
}

impl Raw {
    async fn new(nats: &NatsServer, echo: &Echo) -> Self {
        let nats = async_nats::connect(nats.url()).await.unwrap();
        let inbox = nats.subscribe("_INBOX.raw").await.unwrap();
        Self { nats, inbox, to: echo.address().to_owned() }
    }

    /// Header and body of the answer; the body, given and got, is base64.
    async fn ask(&mut self, endpoint: &str, content_type: &str, body: &str) -> (Value, String) {
        let mut header =
            json!({ "Micro-ID": "1", "Micro-Service": "echo", "Micro-Endpoint": endpoint });
        if !content_type.is_empty() {
            header["Content-Type"] = content_type.into();
        }
        let request = json!({ "Header": header, "Body": body }).to_string();
        let (to, reply) = (self.to.clone(), "_INBOX.raw");
        self.nats.publish_with_reply(to, reply, request.into()).await.unwrap();
        let answer = timeout(LIMIT, self.inbox.next()).await.expect("no answer").unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        let body = answer["Body"].as_str().unwrap_or_default().to_owned();
        (answer["Header"].clone(), body)
    }
}

#[tokio::test]
async fn an_answer_is_in_the_content_type_of_the_question() {
    let nats = NatsServer::start().await;
    let echo = Echo::start(&nats, &[]).await;
    let mut raw = Raw::new(&nats, &echo).await;
    let (json, protobuf) = ("application/json", "application/protobuf");
    for (content_type, answered, body, expected) in [
        // {"name":"Bob"} and {"greeting":"Hello Bob"}
        (json, json, "eyJuYW1lIjoiQm9iIn0=", "eyJncmVldGluZyI6IkhlbGxvIEJvYiJ9"),
        // Field 1, a text of 3 and of 9 bytes.
        (protobuf, protobuf, "CgNCb2I=", "CglIZWxsbyBCb2I="),
        ("", protobuf, "CgNCb2I=", "CglIZWxsbyBCb2I="),
    ] {
        let (header, body) = raw.ask("Echo.Call", content_type, body).await;
        assert_eq!((&header["Content-Type"], body.as_str()), (&json!(answered), expected));
    }
    let (header, _) = raw.ask("Echo.Call", "text/plain", "CgNCb2I=").await;
    let error = micro::Error::from_wire(header["Micro-Error"].as_str().unwrap());
    assert_eq!(error.code(), 415);
    assert!([json, protobuf, "text/plain"].iter().all(|name| error.detail().contains(name)));
}

#[tokio::test]
async fn plain_text_is_an_error_as_it_is_and_without_a_deadline_none_is_left() {
    let nats = NatsServer::start().await;
    let echo = Echo::start(&nats, &[]).await;
    let mut raw = Raw::new(&nats, &echo).await;
    // {"name":"Bob"}
    let (header, _) = raw.ask("Echo.Plain", "application/json", "eyJuYW1lIjoiQm9iIn0=").await;
    assert_eq!(header["Micro-Error"], "plain failure of Bob");
    // {}, since 0 is what a field is that is not there.
    let (header, body) = raw.ask("Echo.Slow", "application/json", "e30=").await;
    assert_eq!((&header["Micro-Error"], body.as_str()), (&Value::Null, "e30="));
    // No body at all.
    let (header, body) = raw.ask("Echo.Who", "application/json", "").await;
    assert_eq!(header["Micro-Error"], Value::Null);
    assert!(!body.is_empty());
}
