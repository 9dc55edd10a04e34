//! Each endpoint, as a client of ours sees it.

use std::sync::{Arc, OnceLock};

use micro::Service;
use micro::registry::ServiceName;
use micro_examples::echo::{self, Req};
use micro_testkit::server::NatsServer;

use super::table::{self, both};
use super::{Echo, client};

#[tokio::test]
async fn it_greets_says_who_it_is_and_how_it_is_registered() {
    let nats = NatsServer::start().await;
    let echo = Echo::start(&nats, &["--server_id=one"]).await;
    let client = client(&nats);
    table::greets_and_says_who_it_is(&client, "echo-one").await;
    assert_eq!((&echo.serving["serving"], echo.node()), (&"echo".into(), "echo-one"));

    let name: ServiceName = "echo".parse().unwrap();
    let found = client.registry().get(&name).await.unwrap().remove(0);
    assert_eq!((found.nodes[0].id.as_str(), found.nodes.len()), ("echo-one", 1));
    assert_eq!(echo.serving["address"], found.nodes[0].address);
    let call = found.endpoints.iter().find(|endpoint| endpoint.name == "Echo.Call").unwrap();
    let (request, response) = (call.request.as_ref().unwrap(), call.response.as_ref().unwrap());
    assert_eq!((request.kind.as_str(), response.kind.as_str()), ("Req", "Rsp"));
    let mut fields: Vec<_> = request.values.iter().map(|f| (&f.name[..], &f.kind[..])).collect();
    fields.sort_unstable();
    let number = |name| (name, "int32");
    let expected = [
        number("code"),
        number("count"),
        ("data", "[]uint8"),
        number("millis"),
        ("name", "string"),
        number("size"),
        number("value"),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn the_same_service_serves_within_one_process() {
    let node = Arc::new(OnceLock::new());
    let service = Service::builder("echo").server(echo::server(node.clone())).build().unwrap();
    node.set(service.node_id()).unwrap();
    let running = service.start().await.unwrap();
    let who = both(&running.client(), "Echo.Who", &Req::default()).await.unwrap();
    assert_eq!(who.greeting, running.node().id);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_string_goes_as_a_wrapper_in_protobuf_and_bare_in_json() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::carries_a_string(&client(&nats)).await;
}

#[tokio::test]
async fn it_fails_as_it_is_asked_to_and_lives_on() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::fails_as_asked(&client(&nats)).await;
}

#[tokio::test]
async fn metadata_comes_back_as_it_was_given_and_nothing_else() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::gives_metadata_back(&client(&nats)).await;
}

#[tokio::test]
async fn a_slow_call_says_what_time_it_had_and_ends_with_it() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::keeps_deadlines(&client(&nats)).await;
}

#[tokio::test]
async fn blobs_of_any_size_are_made_and_measured() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    table::makes_and_measures_blobs(&client(&nats)).await;
}
