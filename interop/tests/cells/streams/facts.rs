//! What go-micro's server does with packets as they are: why our callers do as they do.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use micro::stream::Receiver;
use micro_interop::{Generation, RawReply, RawSocket, Req, Rsp, World, eventually, limited, named};
use serde_json::{Value, json};

/// Longer than an answer takes.
const SHORT: Duration = Duration::from_millis(500);

fn stream(id: &str) -> Value {
    json!({ "Micro-Stream": id })
}

fn end(id: &str) -> Value {
    json!({ "Micro-Stream": id, "Micro-Error": "EOS" })
}

/// Asks until something comes, which nothing does before the handler has ended: that there is no such
/// endpoint, unless go-micro says more.
async fn has_ended(socket: &mut RawSocket, id: &str) -> RawReply {
    limited("the end of the handler", async {
        loop {
            socket.send(id, "Nobody.There", json!({}), &json!({})).await;
            if let Ok(reply) = tokio::time::timeout(SHORT, socket.recv_later()).await {
                return reply;
            }
        }
    })
    .await
}

pub(crate) async fn go_says_the_end_of_a_stream_unless_it_has_read_ours(generation: Generation) {
    let world = World::start().await;
    let go = world.go(generation, "echo").await;
    let mut socket = world.raw(generation, &go.address).await;
    socket.send("0", "Echo.Count", stream("0"), &json!({})).await;
    socket.send("0", "Echo.Count", stream("0"), &json!({"count": 1, "millis": 3})).await;
    assert_eq!(socket.recv().await.json(), json!({"value": 1}));
    assert_eq!(socket.recv().await.error(), Some("EOS"));

    let mut socket = world.raw(generation, &go.address).await;
    socket.send("0", "Echo.Chat", stream("0"), &json!({})).await;
    socket.send("0", "Echo.Chat", stream("0"), &json!({"name": "Ann"})).await;
    assert_eq!(socket.recv().await.json(), json!({"greeting": "Hello Ann"}));
    socket.send("0", "Echo.Chat", end("0"), &Value::Null).await;
    let next = has_ended(&mut socket, "0").await;
    let error = next.error().unwrap();
    assert!(error.starts_with("rpc: can't find service"), "no end comes before: {error}");
}

pub(crate) async fn a_message_for_a_stream_that_has_ended_runs_its_handler_again(
    generation: Generation,
) {
    let world = World::start().await;
    let go = world.go(generation, "echo").await;
    let mut socket = world.raw(generation, &go.address).await;
    socket.send("0", "Peer.Listen", stream("0"), &json!({})).await;
    socket.send("0", "Peer.Listen", stream("0"), &json!({"name": "first"})).await;
    socket.send("0", "Peer.Listen", end("0"), &Value::Null).await;
    assert_eq!(socket.recv().await.json(), json!({"value": 1}));
    has_ended(&mut socket, "0").await;
    // The first is taken for an opening.
    for _ in 0..2 {
        socket.send("0", "Peer.Listen", stream("0"), &json!({"name": "again"})).await;
    }
    let client = world.client();
    eventually("one more run", async || {
        let began = named("again began");
        let began: Rsp = client.call("echo", "Peer.Runs", &began).await.unwrap();
        (began.value == 1).then_some(())
    })
    .await;
}

/// v6 reads nothing more from a socket after an end that comes late (server/rpc_server.go:206): it waits for what runs
/// there, and forgets the socket with all that has come meanwhile.
pub(crate) async fn an_end_that_comes_late_costs_the_next_calls_of_its_socket(
    generation: Generation,
) {
    let world = World::start().await;
    let go = world.go(generation, "echo").await;
    let mut socket = world.raw(generation, &go.address).await;
    socket.send("1", "Peer.Run", json!({}), &json!({"name": "slow", "millis": 700})).await;
    socket.send("9", "Echo.Chat", end("9"), &Value::Null).await;
    socket.send("2", "Echo.Call", json!({}), &json!({"name": "Ann"})).await;
    let mut answered = Vec::new();
    let id = |reply: RawReply| reply.header[generation.id_key()].as_str().unwrap_or("?").to_owned();
    while answered.last().is_none_or(|id| id != "1") {
        answered.push(id(socket.recv().await));
    }
    // The first has been answered; what the socket held is answered by now, or never.
    for number in 3.. {
        socket.send(&number.to_string(), "Echo.Call", json!({}), &json!({"name": "Bob"})).await;
        let next = tokio::time::timeout(SHORT, socket.recv_later()).await;
        match next.map(id) {
            Ok(id) if id == number.to_string() => break,
            Ok(id) => answered.push(id),
            // It came to the socket that was about to be forgotten.
            Err(_) => assert!(number < 20, "nothing is answered any more"),
        }
    }
    assert_eq!(answered.iter().any(|id| id == "2"), generation != Generation::V6, "{answered:?}");
}

/// So no end of a stream costs a call.
pub(crate) async fn each_stream_has_a_socket_of_its_own_and_calls_share_one(
    generation: Generation,
) {
    let world = World::start().await;
    let go = world.go(generation, "echo").await;
    let recorder = world.record(&go.address).await;
    let client = world.client();
    for _ in 0..3 {
        let one = Req { count: 1, millis: 3, ..Req::default() };
        let counted: Receiver<Rsp> =
            client.stream("echo", "Echo.Count").server_streaming(&one).await.unwrap();
        assert_eq!(counted.try_collect::<Vec<_>>().await.unwrap().len(), 1);
        client.call::<_, Rsp>("echo", "Echo.Call", &named("Ann")).await.unwrap();
    }
    let (mut streams, mut calls) = (Vec::new(), BTreeSet::new());
    for recorded in recorder.end().await {
        let header = &recorded.json().unwrap()["Header"];
        let reply = recorded.reply.clone().unwrap();
        match (header["Micro-Stream"].is_string(), header["Micro-Endpoint"].as_str()) {
            (true, _) => streams.push(reply),
            (false, Some("Echo.Call")) => drop(calls.insert(reply)),
            (false, _) => {}
        }
    }
    let sockets: BTreeSet<&String> = streams.iter().collect();
    assert_eq!((sockets.len(), calls.len()), (3, 1), "{streams:?}, {calls:?}");
    assert!(calls.iter().all(|call| !sockets.contains(call)));
}
