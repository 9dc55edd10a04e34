//! `micro services`: what there is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use micro::registry::Service;

use crate::args::Services;
use crate::console::{Console, Terminal};
use crate::failure::Failure;
use crate::network::{Network, Part};
use crate::table::Row;
use crate::{format, table, told, types};

pub(crate) async fn run(
    args: &Services,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let listing = network.reach(&[Part::Registry], network.client.registry().list());
    let mut services = console.terminal().waiting("looking for services", listing).await?;
    services.sort_by(|one, other| (&one.name, &one.version).cmp(&(&other.name, &other.version)));
    if args.json {
        let json = told::services(&services).and_then(|told| serde_json::to_vec(&told));
        format::print(console, &json.map_err(std::io::Error::from)?, true)?;
        return Ok(());
    }
    if services.is_empty() {
        console.say("no services");
    }
    let named = by_name(&services);
    if console.terminal().stdout && !named.is_empty() {
        let rows: Vec<_> = named.values().map(|versions| row(versions)).collect();
        table::print(console, ["SERVICE", "VERSIONS", "NODES", "ENDPOINTS"], &rows)?;
        return Ok(());
    }
    for name in named.keys() {
        writeln!(console.out(), "{}", Terminal::clean(name))?;
    }
    Ok(())
}

fn row(versions: &[&Service]) -> Row<4> {
    let said: Vec<&str> = versions.iter().map(|service| version(service)).collect();
    let nodes: usize = versions.iter().map(|service| service.nodes.len()).sum();
    let endpoints: BTreeSet<&str> = (versions.iter())
        .flat_map(|service| types::called(std::slice::from_ref(*service)))
        .map(|endpoint| endpoint.name.as_str())
        .collect();
    let name = versions.first().map(|service| service.name.clone()).unwrap_or_default();
    let cells = [name, said.join(", "), nodes.to_string(), endpoints.len().to_string()];
    Row { cells, paint: None }
}

fn by_name(services: &[Service]) -> BTreeMap<&str, Vec<&Service>> {
    let mut named = BTreeMap::<&str, Vec<&Service>>::new();
    for service in services {
        named.entry(&service.name).or_default().push(service);
    }
    named
}

/// A version, also one that is empty.
pub(crate) fn version(service: &Service) -> &str {
    if service.version.is_empty() { "(none)" } else { &service.version }
}
