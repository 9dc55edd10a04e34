//! `Debug.Health`, which every server answers, over memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::codec::{JSON, OCTET_STREAM, PROTOBUF};
use micro::middleware::Reply;
use micro::{
    Client, Context, Error, ErrorKind, Plugins, RequestState, Result, Running, Server,
    ServerOptions, Service, ServiceBuilder,
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tower::util::{MapResponseLayer, MapResultLayer};

const HEALTH: &str = "Debug.Health";
const OK_JSON: &str = r#"{"status":"ok"}"#;
/// The message whose first field is this text.
const OK_PROTOBUF: &str = "\n\u{2}ok";

fn nobody_gets_in(_: Result<Reply>) -> Result<Reply> {
    Err(Error::new(ErrorKind::Unauthenticated, "who are you?"))
}

async fn start(service: ServiceBuilder) -> (Running, Client) {
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client().clone();
    (running, client)
}

#[tokio::test]
async fn every_server_says_ok_in_json_and_in_protobuf_whatever_the_body() {
    let plugins = Plugins::new();
    let (running, _) = start(Service::builder("s").plugins(&plugins)).await;
    let content_type = Arc::new(Mutex::new(String::new()));
    let seen = content_type.clone();
    let layer = MapResponseLayer::new(move |reply: Reply| {
        *seen.lock().unwrap() = reply.content_type.to_string();
        reply
    });
    let client = Client::builder().plugins(&plugins).call_layer(layer).build().unwrap();
    for (given, answered, expected) in [
        (JSON, JSON, OK_JSON),
        ("Application/JSON; charset=utf-8", JSON, OK_JSON),
        (PROTOBUF, PROTOBUF, OK_PROTOBUF),
        ("application/x-protobuf", "application/x-protobuf", OK_PROTOBUF),
        ("", PROTOBUF, OK_PROTOBUF),
    ] {
        for body in ["", "{}", "\n\u{1}s", "\u{0} garbage"] {
            let call = client.call_raw("s", HEALTH, body).content_type(given);
            assert_eq!(call.await.unwrap(), expected, "{given:?}, {body:?}");
            assert_eq!(*content_type.lock().unwrap(), answered, "{given:?}");
        }
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn another_content_type_is_refused_and_both_that_are_answered_are_named() {
    let (running, client) = start(Service::builder("s")).await;
    let error = client.call_raw("s", HEALTH, "").content_type(OCTET_STREAM).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::UnsupportedMediaType, 415));
    assert_eq!((error.id(), error.request()), ("s", Some(RequestState::Executed)));
    for name in [OCTET_STREAM, JSON, PROTOBUF] {
        assert!(error.detail().contains(name), "{error}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_that_serves_no_call_more_and_one_that_lets_nobody_in_say_ok() {
    let busy = ServerOptions::default().with_max_calls(0).with_max_body(1);
    let now = || Service::builder("s").handler("S.Now", async |_: Context, (): ()| Ok("now"));
    let closed = now().serve_layer(MapResultLayer::new(nobody_gets_in));
    for (service, code) in [(now().server_options(busy), 429), (closed, 401)] {
        let (running, client) = start(service).await;
        let refused = client.call_raw("s", "S.Now", "").content_type(JSON).retries(0).await;
        assert_eq!(refused.unwrap_err().code(), code);
        let health = client.call_raw("s", HEALTH, vec![b'x'; 1_000]).content_type(JSON);
        assert_eq!(health.retries(0).await.unwrap(), OK_JSON, "{code}");
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_told_of_it_unless_the_application_has_its_own() {
    let names = |server: &Server| -> Vec<String> {
        server.endpoints().into_iter().map(|endpoint| endpoint.name).collect()
    };
    let plain = Server::new().handler("S.Now", async |_: Context, (): ()| Ok("now"));
    assert_eq!(names(&plain), ["S.Now"]);
    let own = Server::new().handler(HEALTH, async |_: Context, (): ()| Ok("never better"));
    assert_eq!(names(&own), [HEALTH]);

    for (server, expected) in [(plain, ["S.Now"]), (own, [HEALTH])] {
        let (running, client) = start(Service::builder("s").server(server)).await;
        let found = client.registry().get(&"s".parse().unwrap()).await.unwrap();
        let told: Vec<&str> = found[0].endpoints.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(told, expected);
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_applications_own_handler_answers_instead_behind_its_layers_and_limits() {
    let own = || {
        let handler = async |_: Context, (): ()| Ok("never better");
        Service::builder("s").handler(HEALTH, handler)
    };
    for (service, expected) in [
        (own(), Ok("never better")),
        (own().serve_layer(MapResultLayer::new(nobody_gets_in)), Err(401)),
        (own().limit(HEALTH, 0), Err(429)),
    ] {
        let (running, client) = start(service).await;
        let answer = client.call::<_, String>("s", HEALTH, &()).retries(0).await;
        let answer = answer.as_deref().map_err(Error::code);
        assert_eq!(answer, expected);
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_to_it_gets_what_one_to_any_unary_endpoint_gets() {
    let unary = async |_: Context, _: Value| Ok(json!({ "status": "ok" }));
    let (running, client) = start(Service::builder("s").handler("S.Unary", unary)).await;
    let outcome = async |endpoint: &'static str| {
        let open = client.stream("s", endpoint).client_streaming::<Value, Value>().await.unwrap();
        open.finish().await.map_err(|error| (error.kind(), error.detail().to_owned()))
    };
    let (health, other) = (outcome(HEALTH).await, outcome("S.Unary").await);
    assert_eq!(health, other);
    assert_eq!(health, Ok(json!({ "status": "ok" })));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_for_it_again_and_again_does_not_keep_a_server_from_stopping() {
    let mut took = Vec::new();
    let mut answered = Vec::new();
    for endpoint in [HEALTH, "S.Now"] {
        let plugins = Plugins::new();
        let service = Service::builder("s").plugins(&plugins);
        let service = service.handler("S.Now", async |_: Context, (): ()| Ok("now"));
        let (running, _) = start(service).await;
        let client = Client::builder().plugins(&plugins).build().unwrap();
        let address = running.node().address.clone();
        let asking = tokio::spawn(async move {
            let ask = || client.call::<_, Value>("s", endpoint, &()).address(&address).retries(0);
            let mut answers = 0;
            while ask().await.is_ok() {
                answers += 1;
                sleep(Duration::from_millis(50)).await;
            }
            answers
        });
        let begun = Instant::now();
        running.stop().await.unwrap();
        took.push(begun.elapsed());
        answered.push(asking.await.unwrap());
    }
    assert!(answered.iter().all(|answers| *answers > 2), "{answered:?}");
    let [health, calls] = took[..] else { panic!("{took:?}") };
    assert!(health < Duration::from_secs(1), "{health:?}");
    assert!(calls >= Duration::from_secs(2), "what keeps one from stopping: {calls:?}");
}
