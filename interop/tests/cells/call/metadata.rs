//! What a caller sends beside the body.

use std::collections::BTreeMap;

use micro_interop::Generation;

/// A key, how the older generations write it, and a value.
const ODD: [(&str, &str, &str); 6] = [
    ("lower-key", "Lower-Key", "lower"),
    ("Plain", "Plain", "plain"),
    ("UPPER_lower-mixed", "UPPER_lower-Mixed", "mixed"),
    ("Non-Ascii", "Non-Ascii", "Grüße ✓ 你好"),
    ("Empty", "Empty", ""),
    ("Quotes", "Quotes", "a \"quoted\" back\\slash, a comma"),
];

pub(crate) fn odd() -> Vec<(&'static str, &'static str)> {
    ODD.iter().map(|&(key, _, value)| (key, value)).collect()
}

/// As it is to arrive where go-micro of this generation was on the way.
pub(crate) fn arrived(generation: Generation) -> BTreeMap<String, String> {
    let key = |(key, old, _): (&'static str, &'static str, _)| {
        if generation.keeps_keys() { key } else { old }
    };
    ODD.iter().map(|&odd| (key(odd).to_owned(), odd.2.to_owned())).collect()
}

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, Req, Rsp, World};

    use super::{arrived, odd};

    pub(crate) async fn odd_metadata_arrives(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        for content in ["application/json", "application/protobuf"] {
            let call = Command::call("echo", "Echo.Meta")
                .body(&Req::default())
                .metadata(&odd())
                .content(content);
            let reply: Rsp = go.ask(call).await.unwrap();
            assert_eq!(reply.meta, arrived(generation), "{content}");
        }
    }
}

pub(crate) mod rust_calls_go {
    use micro_interop::{Generation, Req, Rsp, World};

    use super::{arrived, odd};

    pub(crate) async fn odd_metadata_arrives(generation: Generation) {
        let world = World::start().await;
        let _go = world.go(generation, "echo").await;
        let client = world.client();
        let mut call = client.call("echo", "Echo.Meta", &Req::default());
        for (key, value) in odd() {
            call = call.metadata(key, value);
        }
        let reply: Rsp = call.await.unwrap();
        assert_eq!(reply.meta, arrived(generation));
    }
}
