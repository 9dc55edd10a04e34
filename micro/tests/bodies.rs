//! One handler, bodies in JSON and in protobuf, over memory.
#![cfg(all(feature = "memory", feature = "protobuf"))]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro::codec::{JSON, JsonOrProtobuf, OCTET_STREAM, PROTOBUF};
use micro::middleware::Reply;
use micro::server::SubscriberOptions;
use micro::{Bytes, Client, Context, ErrorKind, Plugins, RequestState, Running, Service};
use tokio::sync::mpsc;
use tower::util::MapResponseLayer;

const LIMIT: Duration = Duration::from_secs(20);
/// google.protobuf.StringValue with this text.
const BOB: &[u8] = b"\n\x03Bob";

async fn greeter(plugins: &Plugins) -> Running {
    let service = Service::builder("greeter").plugins(plugins).json_or_proto_handler(
        "Greeter.Hello",
        async |_: Context, name: String| match name.as_str() {
            "" => Err(micro::Error::not_found("nobody")),
            name => Ok(format!("Hello {name}")),
        },
    );
    service.build().unwrap().start().await.unwrap()
}

/// A client that keeps the content type of the last reply.
fn watching(plugins: &Plugins) -> (Client, Arc<Mutex<String>>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let layer = MapResponseLayer::new({
        let seen = seen.clone();
        move |reply: Reply| {
            *seen.lock().unwrap() = reply.content_type.to_string();
            reply
        }
    });
    (Client::builder().plugins(plugins).call_layer(layer).build().unwrap(), seen)
}

#[tokio::test]
async fn one_handler_answers_json_in_json_and_protobuf_in_protobuf() {
    let plugins = Plugins::new();
    let running = greeter(&plugins).await;
    let (client, content_type) = watching(&plugins);
    let reply: String = client.call("greeter", "Greeter.Hello", "Bob").await.unwrap();
    assert_eq!((reply.as_str(), content_type.lock().unwrap().as_str()), ("Hello Bob", JSON));
    let name = "Bob".to_owned();
    let reply: String = client.call_proto("greeter", "Greeter.Hello", &name).await.unwrap();
    assert_eq!((reply.as_str(), content_type.lock().unwrap().as_str()), ("Hello Bob", PROTOBUF));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_reply_has_the_requests_content_type_and_protobuf_where_there_is_none() {
    let plugins = Plugins::new();
    let running = greeter(&plugins).await;
    let (client, content_type) = watching(&plugins);
    let json: (&[u8], &[u8]) = (br#""Bob""#, br#""Hello Bob""#);
    let protobuf: (&[u8], &[u8]) = (BOB, b"\n\x09Hello Bob");
    for (given, answered, (request, reply)) in [
        ("Application/JSON; charset=utf-8", JSON, json),
        ("application/x-protobuf", "application/x-protobuf", protobuf),
        ("", PROTOBUF, protobuf),
    ] {
        let call = client.call_raw("greeter", "Greeter.Hello", request.to_vec());
        assert_eq!(call.content_type(given).await.unwrap(), reply, "{given:?}");
        assert_eq!(*content_type.lock().unwrap(), answered, "{given:?}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_neither_is_refused_and_both_are_named_and_errors_are_the_same_for_both() {
    let plugins = Plugins::new();
    let running = greeter(&plugins).await;
    let client = running.client();
    let raw = |body: &'static [u8], content_type: &'static str| {
        client.call_raw("greeter", "Greeter.Hello", body).content_type(content_type).into_future()
    };
    let error = raw(BOB, OCTET_STREAM).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::UnsupportedMediaType, 415));
    assert_eq!(error.request(), Some(RequestState::Executed));
    for name in [OCTET_STREAM, JSON, PROTOBUF] {
        assert!(error.detail().contains(name), "{error}");
    }
    for (body, content_type) in [(BOB, JSON), (&br#""Bob""#[..], PROTOBUF)] {
        let error = raw(body, content_type).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidInput, 400), "{content_type}");
    }
    for (body, content_type) in [(&br#""""#[..], JSON), (&b""[..], PROTOBUF)] {
        let error = raw(body, content_type).await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (404, "nobody"), "{content_type}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn one_subscriber_reads_events_in_json_in_protobuf_and_without_a_content_type() {
    let (tell, mut told) = mpsc::channel(8);
    let service = Service::builder("s").subscriber_with::<JsonOrProtobuf, _, _, _>(
        "names",
        SubscriberOptions::default().in_order(),
        move |_: Context, name: String| {
            let tell = tell.clone();
            async move {
                tell.send(name).await.unwrap();
                Ok(())
            }
        },
    );
    let running = service.build().unwrap().start().await.unwrap();
    let client = running.client();
    client.publish("names", "in JSON").await.unwrap();
    client.publish_with::<JsonOrProtobuf, _>("names", &"in protobuf".to_owned()).await.unwrap();
    let plain = client.publish_with::<micro::codec::Raw, Bytes>("names", &Bytes::from_static(BOB));
    plain.content_type("").await.unwrap();
    for expected in ["in JSON", "in protobuf", "Bob"] {
        let name = tokio::time::timeout(LIMIT, told.recv()).await.expect("no event").unwrap();
        assert_eq!(name, expected);
    }
    running.stop().await.unwrap();
}
