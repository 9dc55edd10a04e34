//! Fields of a request that the registry does not know.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro::{Context, Server};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::world::World;

/// It takes more than its schema says: another spelling, and whatever else there is.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Order {
    #[serde(alias = "quantity", default)]
    amount: u32,
    #[serde(flatten)]
    address: Address,
}

#[derive(Serialize, Deserialize, JsonSchema)]
struct Address {
    #[serde(alias = "postcode", default)]
    zip: String,
}

/// What it does not know stands among its fields.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Open {
    #[serde(default)]
    amount: u32,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Gives back what it was sent, and counts how often that was.
fn orders(placed: Arc<AtomicUsize>) -> Server {
    let place = move |_: Context, order: Order| {
        placed.fetch_add(1, Ordering::SeqCst);
        async move { Ok(order) }
    };
    Server::new()
        .handler("Orders.Place", place)
        .describe::<Order, Order>("Orders.Place")
        .handler("Orders.Open", async |_: Context, open: Open| Ok(open))
        .describe::<Open, Open>("Orders.Open")
}

fn place(body: &str) -> [&str; 4] {
    ["call", "orders", "Orders.Place", body]
}

#[tokio::test]
async fn a_near_slip_is_refused_and_nothing_is_sent() {
    let world = World::new().await;
    let placed = Arc::new(AtomicUsize::new(0));
    let _orders = world.serve("orders", "1", orders(placed.clone())).await;
    for (body, said) in [
        (r#"{"amuont":7}"#, r#"Order has no field "amuont", but "amount"; its fields: "#),
        (r#"{"amount":7,"zipp":"1"}"#, r#"Order has no field "zipp", but "zip"; its fields: "#),
    ] {
        let text = world.micro(&place(body)).run().await.misused();
        assert!(text.contains(said), "{text}");
    }
    // Whatever was sent before it came before it.
    let sent = world.prints(&place(r#"{"amount":7}"#)).await;
    assert_eq!(sent, "{\"amount\":7,\"zip\":\"\"}\n");
    assert_eq!(placed.load(Ordering::SeqCst), 1);
    let unchecked = [&place(r#"{"amuont":7}"#)[..], &["--unchecked"]].concat();
    assert_eq!(world.prints(&unchecked).await, "{\"amount\":0,\"zip\":\"\"}\n");
}

#[tokio::test]
async fn a_field_that_is_far_from_all_is_sent_with_a_hint_at_what_is_known() {
    let (world, _echo) = World::with_echo().await;
    let call = ["call", "echo", "Echo.Call", r#"{"name":"Bob","wrapping":"red"}"#];
    let hint = "hint: the registry knows no field \"wrapping\" of Req; \
                its fields: code, count, data, millis, name, size, value\n";
    let greeting = "{\"greeting\":\"Hello Bob\"}\n";
    assert_eq!(world.micro(&call).run().await.fine_with(hint), greeting);
    let unchecked = [&call[..], &["--unchecked"]].concat();
    assert_eq!(world.micro(&unchecked).run().await.fine(), greeting);
    let stream = ["stream", "echo", "Echo.Count", r#"{"count":1,"wrapping":"red"}"#];
    assert_eq!(world.micro(&stream).run().await.fine_with(hint), "{\"value\":1}\n");
}

#[tokio::test]
async fn what_serde_takes_beyond_the_schema_is_sent() {
    let world = World::new().await;
    let _orders = world.serve("orders", "1", orders(Arc::default())).await;
    for (body, field, reply) in [
        (r#"{"quantity":7}"#, "quantity", r#"{"amount":7,"zip":""}"#),
        (r#"{"amount":7,"postcode":"1"}"#, "postcode", r#"{"amount":7,"zip":"1"}"#),
    ] {
        let done = world.micro(&place(body)).run().await;
        let hint = format!("hint: the registry knows no field {field:?} of Order; its fields: ");
        assert!(done.stderr.starts_with(&hint) && done.stderr.lines().count() == 1, "{done:?}");
        assert_eq!((done.code(), done.stdout), (Some(0), format!("{reply}\n")));
    }
    let open = r#"{"amount":7,"wrapping":"red"}"#;
    let done = world.micro(&["call", "orders", "Orders.Open", open]).run().await;
    assert_eq!((done.code(), done.stdout), (Some(0), format!("{open}\n")));
}
