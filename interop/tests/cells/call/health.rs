//! `Debug.Health`, which go-micro's services of some generations answer, and all of ours.

const HEALTH: &str = "Debug.Health";

pub(crate) mod go_calls_rust {
    use micro_interop::{Command, Generation, World, from_base64};
    use serde_json::{Value, json};

    use super::HEALTH;

    pub(crate) async fn debug_health_is_ok_in_json_and_in_protobuf(generation: Generation) {
        let world = World::start().await;
        let _echo = world.echo("echo").await;
        let go = world.go_client(generation).await;
        let health = || Command::call("echo", HEALTH);
        let reply: Value = go.ask(health().with("type", "json").body(&json!({}))).await.unwrap();
        assert_eq!(reply, json!({ "status": "ok" }));
        // A message whose first field is a text, as HealthRequest and HealthResponse are.
        let named = health().with("type", "string").body(&"echo");
        let reply: String = go.ask(named.content("application/protobuf")).await.unwrap();
        assert_eq!(reply, "ok");
        for (content, expected) in [
            ("application/json", &br#"{"status":"ok"}"#[..]),
            ("application/protobuf", b"\x0a\x02ok"),
        ] {
            let reply: String = go.ask(health().raw(b"{}").content(content)).await.unwrap();
            assert_eq!(from_base64(&reply), expected, "{content}");
        }
    }
}

pub(crate) mod rust_calls_go {
    use micro::{ErrorKind, RequestState};
    use micro_interop::{Generation, World};
    use serde_json::{Value, json};

    use super::HEALTH;

    pub(crate) async fn debug_health_is_ok_where_go_serves_it_and_not_found_elsewhere(
        generation: Generation,
    ) {
        let world = World::start().await;
        let client = world.client();
        // No debug handler of v6 is known here.
        if generation != Generation::V6 {
            let _go = world.go_with(generation, "watched", &["--debug"]).await;
            let reply: Value = client.call("watched", HEALTH, &json!({})).await.unwrap();
            assert_eq!(reply, json!({ "status": "ok" }));
            // A message whose first field is a text, as HealthRequest and HealthResponse are.
            let name = "watched".to_owned();
            let reply: String = client.call_proto("watched", HEALTH, &name).await.unwrap();
            assert_eq!(reply, "ok");
            let found = client.registry().get(&"watched".parse().unwrap()).await.unwrap();
            let mut told = found.iter().flat_map(|service| &service.endpoints);
            assert!(!told.any(|endpoint| endpoint.name.starts_with("Debug.")), "{found:?}");
        }
        let _go = world.go(generation, "echo").await;
        let error = client.call::<_, Value>("echo", HEALTH, &json!({})).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.request()),
            (ErrorKind::NotFound, Some(RequestState::Executed)),
            "{error:?}"
        );
        assert_eq!(error.detail(), "rpc: can't find service Debug");
    }
}
