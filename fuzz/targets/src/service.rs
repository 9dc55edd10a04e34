//! A description of a service by itself.

use micro_core::registry::{Endpoint, Node, Service, Value};

/// A description that is read comes back from its JSON and is no larger than what it was read
/// from; one that may be registered has a name and nodes with ids.
pub fn service(data: &[u8]) -> bool {
    let Ok(service) = serde_json::from_slice::<Service>(data) else { return false };
    assert!(texts(&service) <= data.len(), "more came out than went in");

    let json = serde_json::to_vec(&service).expect("a service has its JSON");
    let again: Service = serde_json::from_slice(&json).expect("what was encoded decodes");
    assert_eq!(again, service, "it is another once encoded again");
    assert_eq!(serde_json::to_vec(&again).expect("a service has its JSON"), json);

    let has_nodes = !service.nodes.is_empty() && service.nodes.iter().all(|n| !n.id.is_empty());
    match service.check() {
        Ok(name) => assert!(name.as_str() == service.name && has_nodes),
        Err(error) => assert!(!has_nodes || error.to_string().len() < 2048, "{error}"),
    }
    let more = service.clone().with_node(Node::new("one-more", "nowhere"));
    assert_eq!(more.nodes.len(), service.nodes.len() + 1);
    true
}

/// The bytes of all texts in it.
fn texts(service: &Service) -> usize {
    let metadata = |map: &std::collections::BTreeMap<String, String>| -> usize {
        map.iter().map(|(key, value)| key.len() + value.len()).sum()
    };
    let node = |node: &Node| metadata(&node.metadata) + node.id.len() + node.address.len();
    let endpoint = |endpoint: &Endpoint| {
        let types = endpoint.request.iter().chain(&endpoint.response).map(value);
        metadata(&endpoint.metadata) + endpoint.name.len() + types.sum::<usize>()
    };
    service.name.len()
        + service.version.len()
        + metadata(&service.metadata)
        + service.nodes.iter().map(node).sum::<usize>()
        + service.endpoints.iter().map(endpoint).sum::<usize>()
}

fn value(of: &Value) -> usize {
    of.name.len() + of.kind.len() + of.values.iter().map(value).sum::<usize>()
}
