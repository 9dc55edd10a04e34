//! Calls, and what they fail with.

use std::path::Path;

use micro_interop::{Generation, eventually};
use serde_json::json;

use super::Fleet;

pub(super) fn proto_file() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/src/echo/echo.proto");
    file.to_str().unwrap().to_owned()
}

pub(crate) async fn each_is_called_in_json_with_metadata_and_by_address(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    let shell = &fleet.shell;
    for member in fleet.members() {
        let name = &*member.name;
        let hello = shell.prints(&["call", name, "Echo.Call", r#"{"name":"Bob"}"#]).await;
        assert_eq!(hello, "{\"greeting\":\"Hello Bob\"}\n");
        let hello = shell.json(&["call", name, "Echo.Call", "-"], "{ \"name\": \"Ann\" }\n").await;
        assert_eq!(hello, [json!({ "greeting": "Hello Ann" })]);
        let who = shell.json(&["call", name, "Echo.Who"], "").await;
        assert_eq!(who, [json!({ "greeting": member.node })]);
        let meta = ["call", name, "Echo.Meta", "-m", "Tenant=blue", "-m", "Trace-Id=a=b"];
        let meta = shell.json(&meta, "").await;
        assert_eq!(meta, [json!({ "meta": { "Tenant": "blue", "Trace-Id": "a=b" } })]);
        let at = ["call", "nobody", "Echo.Who", "--address", &member.address];
        // No registry is asked: go-micro looks at the endpoint alone, and so do we.
        assert_eq!(shell.json(&at, "").await, [json!({ "greeting": member.node })]);
        let many = shell.run(&["--count=20", "call", name, "Echo.Who"], "").await;
        assert_eq!((many.code, many.values().len()), (0, 20), "{many:?}");
        assert!(many.err.starts_with("20 calls in ") && many.err.contains(" 0 failed"), "{many:?}");
    }
}

pub(crate) async fn each_is_called_in_protobuf_by_the_proto_file(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    let file = proto_file();
    for member in fleet.members() {
        let call = async |endpoint: &str, body: &str| {
            let words = ["call", &member.name, endpoint, body, "--proto", &file];
            fleet.shell.json(&words, "").await
        };
        assert_eq!(call("Echo.Call", r#"{"name":"Bob"}"#).await, [json!({"greeting":"Hello Bob"})]);
        // The wrapper is a bare text in JSON, whatever the service makes of it.
        assert_eq!(call("Echo.Proto", "\"Bob\"").await, [json!("proto Bob")]);
        let size = call("Echo.Size", r#"{"data":"AAECAwQ="}"#).await;
        assert_eq!(size, [json!({ "value": 5 })]);
    }
}

pub(crate) async fn an_error_of_each_arrives_with_code_and_detail_and_ends_in_1(
    generation: Generation,
) {
    let fleet = Fleet::start(generation).await;
    for member in fleet.members() {
        for (code, status) in [(409, "Conflict"), (404, "Not Found"), (7001, "")] {
            let body = json!({ "code": code, "name": "Bob" }).to_string();
            let failed = fleet.shell.fails(&["call", &member.name, "Echo.Fail", &body], "").await;
            let error = json!({
                "id": "echo.fail", "code": code, "detail": "failed as asked: Bob", "status": status
            });
            assert_eq!((failed.error(), &*failed.out), (error, ""), "{failed:?}");
            // A handler that has not found something is no endpoint that is not there.
            assert_eq!(failed.err.lines().count(), 1, "{failed:?}");
        }
        let plain = ["call", &member.name, "Echo.Plain", r#"{"name":"Bob"}"#];
        let failed = fleet.shell.fails(&plain, "").await;
        let error = json!({ "id": "", "code": 0, "detail": "plain failure of Bob", "status": "" });
        assert_eq!((failed.error(), &*failed.out), (error, ""), "{failed:?}");
    }
}

pub(crate) async fn what_is_mistyped_is_answered_with_what_each_has(generation: Generation) {
    let fleet = Fleet::start(generation).await;
    let mut names = [fleet.go.name.as_str(), fleet.other.name.as_str()];
    names.sort_unstable();
    let meant = format!("hint: did you mean {} or {}?", names[0], names[1]);
    let failed = eventually("a hint", async || {
        let failed = fleet.shell.run(&["call", "go-v", "Echo.Call"], "").await;
        // The list has the time of a lookup.
        failed.err.contains(&meant).then_some(failed)
    });
    let failed = failed.await;
    assert_eq!((failed.code, &failed.error()["code"], &*failed.out), (1, &json!(404), ""));
    for member in fleet.members() {
        for words in [["call", &member.name, "Echo.Cal"], ["stream", &member.name, "Echo.Cal"]] {
            let failed = fleet.shell.fails(&words, "").await;
            assert!(failed.hint().starts_with("did you mean Echo.Call"), "{failed:?}");
            let error = failed.error();
            // As each says it.
            let said = match member.is_go {
                true => (json!(0), json!("rpc: can't find method Cal")),
                false => (json!(404), json!("service echo has no endpoint \"Echo.Cal\"")),
            };
            assert_eq!((&error["code"], &error["detail"]), (&said.0, &said.1), "{failed:?}");
        }
        let slip = ["call", &member.name, "Echo.Call", r#"{"nmae":"Bob"}"#];
        let wrong = fleet.shell.run(&slip, "").await;
        assert_eq!((wrong.code, &*wrong.out), (2, ""), "{wrong:?}");
        assert!(wrong.err.contains(r#"Req has no field "nmae", but "name""#), "{wrong:?}");
        // go-micro would run the handler, and never answer.
        for (verb, endpoint, right) in
            [("call", "Echo.Count", "micro stream"), ("stream", "Echo.Call", "micro call")]
        {
            let wrong = fleet.shell.run(&[verb, &member.name, endpoint], "").await;
            assert_eq!((wrong.code, &*wrong.out), (2, ""), "{wrong:?}");
            let right = format!("{right} {} {endpoint}", member.name);
            assert!(wrong.err.contains(&right), "{wrong:?}");
        }
    }
}
