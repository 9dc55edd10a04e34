//! Services as programs read them: go-micro's JSON, and beside each node's metadata what can be seen of it.

use micro::registry::{Node, Service};
use serde_json::{Value, json};

/// The key of a node's metadata that has the dialects it speaks beside go-micro's.
pub(crate) const DIALECTS: &str = "micro-wire";

/// A service, with `zone`, `lease_ms` and `dialects` of each node.
pub(crate) fn service(service: &Service) -> serde_json::Result<Value> {
    let mut told = serde_json::to_value(service)?;
    if let Some(nodes) = told.get_mut("nodes").and_then(Value::as_array_mut) {
        for (told, node) in nodes.iter_mut().zip(&service.nodes) {
            told["zone"] = json!(zone(node));
            // No lease is longer than 584 million years.
            let millis =
                node.lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
            told["lease_ms"] = json!(millis);
            told["dialects"] = json!(dialects(node));
        }
    }
    Ok(told)
}

/// All of them.
pub(crate) fn services(services: &[Service]) -> serde_json::Result<Vec<Value>> {
    services.iter().map(service).collect()
}

/// Where a node is.
pub(crate) fn zone(node: &Node) -> Option<&str> {
    node.metadata.get("zone").map(String::as_str).filter(|zone| !zone.is_empty())
}

/// What can be spoken with a node.
pub(crate) fn dialects(node: &Node) -> Vec<&str> {
    let others = node.metadata.get(DIALECTS).map(String::as_str).unwrap_or_default();
    let others = others.split(',').map(str::trim).filter(|dialect| !dialect.is_empty());
    std::iter::once("go-micro").chain(others).collect()
}
