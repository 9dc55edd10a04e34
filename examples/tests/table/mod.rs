//! What each endpoint of `echo` answers, in JSON and in protobuf, whatever is behind the client.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use micro::codec::{Codec, Decode, Encode, Json, Protobuf};
use micro::stream::Receiver;
use micro::{Client, ErrorKind, RequestState, Result};
use micro_examples::echo::{Req, Rsp};

/// All that follows; `node` is who answers.
pub(crate) async fn answers_in_full(client: &Client, node: &str) {
    greets_and_says_who_it_is(client, node).await;
    carries_a_string(client).await;
    fails_as_asked(client).await;
    gives_metadata_back(client).await;
    keeps_deadlines(client).await;
    makes_and_measures_blobs(client).await;
    streams_in_every_shape(client).await;
}

/// `Echo.Call` and `Echo.Who`.
pub(crate) async fn greets_and_says_who_it_is(client: &Client, node: &str) {
    let bob = Req { name: "Bob".to_owned(), ..Req::default() };
    assert_eq!(both(client, "Echo.Call", &bob).await.unwrap().greeting, "Hello Bob");
    assert_eq!(both(client, "Echo.Who", &bob).await.unwrap().greeting, node);
}

/// `Echo.Proto`: a wrapper in protobuf, bare in JSON.
pub(crate) async fn carries_a_string(client: &Client) {
    let text = "Bob".to_owned();
    let json: String = client.call("echo", "Echo.Proto", &text).await.unwrap();
    let protobuf: String = client.call_proto("echo", "Echo.Proto", &text).await.unwrap();
    assert_eq!([json.as_str(), protobuf.as_str()], ["proto Bob"; 2]);
}

/// `Echo.Fail`, `Echo.Plain`, `Echo.Panic`, and that it lives on.
pub(crate) async fn fails_as_asked(client: &Client) {
    for (code, status) in [(400, "Bad Request"), (404, "Not Found"), (409, "Conflict"), (7777, "")]
    {
        let req = Req { name: "Bob".to_owned(), code, ..Req::default() };
        let error = both(client, "Echo.Fail", &req).await.unwrap_err();
        assert_eq!((error.id(), error.code(), error.status()), ("echo.fail", code, status));
        assert_eq!(error.detail(), "failed as asked: Bob");
        assert_eq!(error.request(), Some(RequestState::Executed));
    }
    let bob = Req { name: "Bob".to_owned(), ..Req::default() };
    let plain = both(client, "Echo.Plain", &bob).await.unwrap_err();
    assert_eq!((plain.id(), plain.code(), plain.to_wire()), ("", 0, "plain failure of Bob".into()));
    let panicked = both(client, "Echo.Panic", &bob).await.unwrap_err();
    assert_eq!((panicked.id(), panicked.code()), ("echo", 500));
    assert_eq!(both(client, "Echo.Call", &bob).await.unwrap().greeting, "Hello Bob");
}

/// `Echo.Meta`.
pub(crate) async fn gives_metadata_back(client: &Client) {
    assert_eq!(both(client, "Echo.Meta", &Req::default()).await.unwrap(), Rsp::default());
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

/// `Echo.Slow`.
pub(crate) async fn keeps_deadlines(client: &Client) {
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
    let error = both(client, "Echo.Slow", &nap(-1)).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (400, "millis is -1"));
}

/// `Echo.Blob` and `Echo.Size`.
pub(crate) async fn makes_and_measures_blobs(client: &Client) {
    for size in [0, 1, 1024, 512 << 10] {
        let blob = both(client, "Echo.Blob", &Req { size, ..Req::default() }).await.unwrap();
        assert_eq!((blob.value, blob.data.len()), (size, size as usize));
        assert!(blob.data.iter().enumerate().all(|(at, byte)| *byte == at as u8));
        let back = Req { data: blob.data, ..Req::default() };
        assert_eq!(both(client, "Echo.Size", &back).await.unwrap().value, size);
    }
    for (size, code) in [(-1, 400), (i32::MAX, 413)] {
        let error = both(client, "Echo.Blob", &Req { size, ..Req::default() }).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    }
}

/// `Echo.Count`, `Echo.Sum` and `Echo.Chat`.
pub(crate) async fn streams_in_every_shape(client: &Client) {
    all_shapes::<Json>(client).await;
    all_shapes::<Protobuf>(client).await;
}

async fn all_shapes<C: Codec + Encode<Req> + Decode<Rsp>>(client: &Client) {
    let three = Req { count: 3, code: 409, name: "Bob".to_owned(), ..Req::default() };
    let counted = client.stream("echo", "Echo.Count").codec::<C>();
    let mut counted: Receiver<Rsp> = counted.server_streaming(&three).await.unwrap();
    for value in 1..=3 {
        assert_eq!(counted.recv().await.unwrap().unwrap().value, value);
    }
    let error = counted.recv().await.unwrap_err();
    assert_eq!((error.code(), error.id()), (409, "echo.fail"));
    assert_eq!(error.detail(), "failed as asked: Bob");

    let sum = client.stream("echo", "Echo.Sum").codec::<C>();
    let sum = sum.client_streaming::<Req, Rsp>().await.unwrap();
    for number in [1, 2, 39] {
        sum.send(&value(number)).await.unwrap();
    }
    assert_eq!(sum.finish().await.unwrap().value, 42);

    let chat = client.stream("echo", "Echo.Chat").codec::<C>();
    let mut chat = chat.bidirectional::<Req, Rsp>().await.unwrap();
    for (name, value) in [("Ann", 0), ("Bob", 7)] {
        chat.send(&Req { name: name.to_owned(), value, ..Req::default() }).await.unwrap();
        let rsp = chat.recv().await.unwrap().unwrap();
        assert_eq!((rsp.greeting, rsp.value), (format!("Hello {name}"), value));
    }
    chat.finish().unwrap();
    assert_eq!(chat.recv().await.unwrap(), None);
}

/// The same call in JSON and in protobuf, which have the same result.
pub(crate) async fn both(client: &Client, endpoint: &str, req: &Req) -> Result<Rsp> {
    let json = client.call::<_, Rsp>("echo", endpoint, req).await;
    let protobuf = client.call_proto::<_, Rsp>("echo", endpoint, req).await;
    match (json, protobuf) {
        (Ok(json), Ok(protobuf)) => {
            assert_eq!(json, protobuf, "{endpoint}");
            Ok(json)
        }
        (Err(json), Err(protobuf)) => {
            assert_eq!(json.to_wire(), protobuf.to_wire(), "{endpoint}");
            assert_eq!(json.request(), protobuf.request(), "{endpoint}");
            Err(json)
        }
        differ => panic!("{endpoint}: {differ:?}"),
    }
}

fn value(value: i32) -> Req {
    Req { value, ..Req::default() }
}
