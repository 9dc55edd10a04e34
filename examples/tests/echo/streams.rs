//! The endpoints that stream, in JSON and in protobuf, and peers that die.

use std::time::Duration;

use futures_util::TryStreamExt;
use micro::stream::Receiver;
use micro::{ErrorKind, RequestState};
use micro_examples::echo::{Req, Rsp};
use micro_testkit::server::NatsServer;
use tokio::time::{Instant, timeout};

use super::{Echo, client, table};

const LIMIT: Duration = Duration::from_secs(20);

fn value(value: i32) -> Req {
    Req { value, ..Req::default() }
}

#[tokio::test]
async fn every_shape_streams_in_json_and_in_protobuf() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::streams_in_every_shape(&client(&nats)).await;
}

#[tokio::test]
async fn ten_thousand_messages_arrive_in_order_over_nats() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    let chat = client.stream("echo", "Echo.Chat").bidirectional::<Req, Rsp>().await.unwrap();
    let (sender, receiver) = chat.split();
    let sending = async move {
        for number in 0..10_000 {
            sender.send(&value(number)).await?;
        }
        sender.finish()
    };
    let reading = receiver.map_ok(|rsp| rsp.value).try_collect::<Vec<_>>();
    let (sent, values) = tokio::join!(sending, reading);
    sent.unwrap();
    assert!(values.unwrap().into_iter().eq(0..10_000));
}

#[tokio::test]
async fn a_service_that_is_killed_is_known_at_the_next_message_or_when_it_is_asked() {
    let nats = NatsServer::start().await;
    let mut echo = Echo::start(&nats, &[]).await;
    let asks = micro::ClientOptions::default().with_stream_keepalive(Duration::from_millis(200));
    let client = super::client_with(&nats, asks);
    let open = || client.stream("echo", "Echo.Chat").bidirectional::<Req, Rsp>();
    let mut idle = open().await.unwrap();
    let mut busy = open().await.unwrap();
    echo.program.child.kill().await.unwrap();

    let error = timeout(LIMIT, async {
        loop {
            if let Err(error) = busy.send(&value(1)).await {
                return error;
            }
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(error.await.unwrap().kind(), ErrorKind::Unavailable);
    let error = busy.recv().await.unwrap_err();
    assert_eq!(error.request(), Some(RequestState::Unknown), "{error}");

    let error = timeout(LIMIT, idle.recv()).await.expect("nobody asked").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_node_at_which_nobody_listens_is_passed_over_by_a_stream() {
    let nats = NatsServer::start().await;
    let mut dead = Echo::start(&nats, &["--server_id=dead"]).await;
    let _alive = Echo::start(&nats, &["--server_id=alive"]).await;
    let client = client(&nats);
    // Both are known.
    while client.call::<_, Rsp>("echo", "Echo.Who", &Req::default()).await.unwrap().greeting
        != "echo-dead"
    {}
    dead.program.child.kill().await.unwrap();
    let began = Instant::now();
    for _ in 0..10 {
        let counted = client.stream("echo", "Echo.Count");
        let one = Req { count: 1, ..Req::default() };
        let counted: Receiver<Rsp> = counted.server_streaming(&one).await.unwrap();
        assert_eq!(counted.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    }
    assert!(began.elapsed() < LIMIT);
}
