//! `micro describe`: one service, as a tree.

mod tree;

use micro::registry::{Endpoint, Node, Service, Value};

use self::tree::Tree;
use super::services::version;
use crate::args::Describe;
use crate::console::Console;
use crate::failure::Failure;
use crate::network::Network;
use crate::types::{self, bare};
use crate::{format, told};

pub(crate) async fn run(
    args: &Describe,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let looking = network.whole_service(&args.name);
    let mut services = console.terminal().waiting("looking for the service", looking).await?;
    services.sort_by(|one, other| one.version.cmp(&other.version));
    if args.json {
        let json = told::services(&services).and_then(|told| serde_json::to_vec(&told));
        format::print(console, &json.map_err(std::io::Error::from)?, true)?;
        return Ok(());
    }
    let mut root = Tree::name(args.name.as_str());
    for service in &services {
        root.push(of_version(service));
    }
    Ok(root.print(console)?)
}

fn of_version(service: &Service) -> Tree {
    let mut tree = Tree::field("version", version(service));
    for (key, value) in &service.metadata {
        tree.push(Tree::field(key, value));
    }
    let mut nodes: Vec<&Node> = service.nodes.iter().collect();
    nodes.sort_by(|one, other| one.id.cmp(&other.id));
    tree.push(Tree::list("nodes", nodes.into_iter().map(of_node)));
    let (topics, called): (Vec<_>, Vec<_>) =
        service.endpoints.iter().partition(|endpoint| types::is_subscriber(endpoint));
    tree.push(Tree::list("endpoints", called.into_iter().map(of_endpoint)));
    let topic =
        |endpoint: &&Endpoint| endpoint.metadata.get("topic").unwrap_or(&endpoint.name).clone();
    tree.push(Tree::list(
        "subscribes to",
        topics.iter().map(|endpoint| Tree::name(&topic(endpoint))),
    ));
    let types = types::named(&service.endpoints);
    tree.push(Tree::list("types", types.into_iter().map(of_type)));
    tree
}

fn of_node(node: &Node) -> Tree {
    let mut tree = Tree::name(&node.id);
    tree.push(Tree::field("address", &node.address));
    if let Some(zone) = told::zone(node) {
        tree.push(Tree::field("zone", zone));
    }
    let lease = match node.lease {
        Some(lease) => humantime::format_duration(lease).to_string(),
        None => "none told".to_owned(),
    };
    tree.push(Tree::field("lease", &lease));
    tree.push(Tree::field("dialects", &told::dialects(node).join(", ")));
    let others =
        node.metadata.iter().filter(|(key, _)| !["zone", told::DIALECTS].contains(&key.as_str()));
    tree.push(Tree::list("metadata", others.map(|(key, value)| Tree::field(key, value))));
    tree
}

fn of_endpoint(endpoint: &Endpoint) -> Tree {
    let kind = |value: &Option<Value>| match value {
        Some(value) if value.kind.is_empty() => value.name.clone(),
        Some(value) => value.kind.clone(),
        None => String::new(),
    };
    let (request, response) = (kind(&endpoint.request), kind(&endpoint.response));
    let mut said = match (request.is_empty(), response.is_empty()) {
        (true, true) => String::new(),
        _ => format!("({request}) -> {}", if response.is_empty() { "()" } else { &response }),
    };
    if types::is_stream(endpoint) {
        said.push_str(if said.is_empty() { "stream" } else { ", stream" });
    }
    let mut tree = Tree::field(&endpoint.name, &said);
    let others = endpoint.metadata.iter().filter(|(key, _)| *key != "stream");
    for (key, value) in others {
        tree.push(Tree::field(key, value));
    }
    tree
}

fn of_type(kind: &Value) -> Tree {
    let fields = types::fields(kind).map(|field| Tree::field(&field.name, &field.kind));
    Tree::list(bare(&kind.kind), fields)
}
