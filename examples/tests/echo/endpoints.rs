//! Each endpoint, as a client of ours sees it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use micro::registry::ServiceName;
use micro::{ErrorKind, RequestState, Service};
use micro_examples::echo::{self, Req, Rsp};
use micro_testkit::server::NatsServer;

use super::{Echo, both, client};

#[tokio::test]
async fn it_greets_says_who_it_is_and_how_it_is_registered() {
    let nats = NatsServer::start().await;
    let echo = Echo::start(&nats, &["--server_id=one"]).await;
    let client = client(&nats);
    let bob = Req { name: "Bob".to_owned(), ..Req::default() };
    assert_eq!(both(&client, "Echo.Call", &bob).await.unwrap().greeting, "Hello Bob");
    assert_eq!(both(&client, "Echo.Who", &bob).await.unwrap().greeting, "echo-one");
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
    let (client, text) = (client(&nats), "Bob".to_owned());
    let json: String = client.call("echo", "Echo.Proto", &text).await.unwrap();
    let protobuf: String = client.call_proto("echo", "Echo.Proto", &text).await.unwrap();
    assert_eq!([json.as_str(), protobuf.as_str()], ["proto Bob"; 2]);
}

#[tokio::test]
async fn it_fails_as_it_is_asked_to_and_lives_on() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    for (code, status) in [(400, "Bad Request"), (404, "Not Found"), (409, "Conflict"), (7777, "")]
    {
        let req = Req { name: "Bob".to_owned(), code, ..Req::default() };
        let error = both(&client, "Echo.Fail", &req).await.unwrap_err();
        assert_eq!((error.id(), error.code(), error.status()), ("echo.fail", code, status));
        assert_eq!(error.detail(), "failed as asked: Bob");
        assert_eq!(error.request(), Some(RequestState::Executed));
    }
    let bob = Req { name: "Bob".to_owned(), ..Req::default() };
    let plain = both(&client, "Echo.Plain", &bob).await.unwrap_err();
    assert_eq!((plain.id(), plain.code(), plain.to_wire()), ("", 0, "plain failure of Bob".into()));
    let panicked = both(&client, "Echo.Panic", &bob).await.unwrap_err();
    assert_eq!((panicked.id(), panicked.code()), ("echo", 500));
    assert_eq!(both(&client, "Echo.Call", &bob).await.unwrap().greeting, "Hello Bob");
}

#[tokio::test]
async fn metadata_comes_back_as_it_was_given_and_nothing_else() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    assert_eq!(both(&client, "Echo.Meta", &Req::default()).await.unwrap(), Rsp::default());
    let given = [("lower-key", "ä\n\""), ("Upper-Key", "x"), ("Empty", "")];
    let mut json = client.call("echo", "Echo.Meta", &Req::default());
    let mut protobuf = client.call_proto("echo", "Echo.Meta", &Req::default());
    for (key, value) in given {
        json = json.metadata(key, value);
        protobuf = protobuf.metadata(key, value);
    }
    let expected = BTreeMap::from(given.map(|(key, value)| (key.to_owned(), value.to_owned())));
    let (json, protobuf): (Rsp, Rsp) = (json.await.unwrap(), protobuf.await.unwrap());
    assert_eq!([json.meta, protobuf.meta], [expected.clone(), expected]);
}

#[tokio::test]
async fn a_slow_call_says_what_time_it_had_and_ends_with_it() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    let nap = |millis| Req { millis, ..Req::default() };
    let call = client.call::<_, Rsp>("echo", "Echo.Slow", &nap(20));
    let left = call.timeout(Duration::from_secs(20)).await.unwrap().left;
    assert!((10_000..=20_000).contains(&left), "{left}");
    let call = client.call_proto::<_, Rsp>("echo", "Echo.Slow", &nap(20));
    let left = call.timeout(Duration::from_secs(20)).await.unwrap().left;
    assert!((10_000..=20_000).contains(&left), "{left}");

    let call = client.call::<_, Rsp>("echo", "Echo.Slow", &nap(60_000));
    let error = call.timeout(Duration::from_millis(200)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    let error = both(&client, "Echo.Slow", &nap(-1)).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (400, "millis is -1"));
}

#[tokio::test]
async fn blobs_of_any_size_are_made_and_measured() {
    let nats = NatsServer::start().await;
    let _echo = Echo::start(&nats, &[]).await;
    let client = client(&nats);
    for size in [0, 1, 1024, 512 << 10] {
        let blob = both(&client, "Echo.Blob", &Req { size, ..Req::default() }).await.unwrap();
        assert_eq!((blob.value, blob.data.len()), (size, size as usize));
        assert!(blob.data.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        let back = Req { data: blob.data, ..Req::default() };
        assert_eq!(both(&client, "Echo.Size", &back).await.unwrap().value, size);
    }
    for (size, code) in [(-1, 400), (i32::MAX, 413)] {
        let error = both(&client, "Echo.Blob", &Req { size, ..Req::default() }).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}
