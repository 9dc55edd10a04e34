//! `micro watch`: services and nodes as they come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::SystemTime;

use micro::Error;
use micro::registry::{Change, Node, Service, WatchOptions, Watcher};
use serde_json::json;

use super::services::version;
use crate::args::Watch;
use crate::console::{Console, Paint, Terminal};
use crate::failure::Failure;
use crate::network::{Network, Part};
use crate::told;

pub(crate) async fn run(
    args: &Watch,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut options = WatchOptions::default();
    options.name.clone_from(&args.name);
    let mut nodes = Told::default();
    let mut watcher = network.client.registry().watch(options).await?;
    let parts = [Part::Registry];
    let present = network.reach(&parts, async { Ok(present(&mut watcher).await) });
    for change in console.terminal().waiting("looking for services", present).await? {
        nodes.print(&change, args.json, console)?;
    }
    console.out().flush()?;
    let found = nodes.nodes.values().map(BTreeMap::len).sum::<usize>();
    console.say(format_args!("watching; nodes now: {found}"));
    if let (0, Some(name)) = (found, &args.name)
        && let Some(hint) = network.services_like(name).await
    {
        console.hint(hint);
    }
    let mut outages = network.outages(Part::Registry);
    loop {
        tokio::select! {
            change = watcher.next() => match change {
                Some(change) => {
                    nodes.print(&change, args.json, console)?;
                    console.out().flush()?;
                }
                None => return Err(Error::unavailable("the registry was closed").into()),
            },
            outage = outages.next() => console.say(outage),
        }
    }
}

/// What is there at the beginning.
async fn present(watcher: &mut Watcher) -> Vec<Change> {
    let mut changes = Vec::new();
    while let Some(change) = watcher.next().await {
        if change == Change::Synced {
            break;
        }
        changes.push(change);
    }
    changes
}

/// The nodes of each name and version that were told of.
#[derive(Default)]
struct Told {
    nodes: BTreeMap<(String, String), BTreeMap<String, Node>>,
}

impl Told {
    fn print(&mut self, change: &Change, json: bool, console: &mut Console) -> io::Result<()> {
        let (name, service): (_, &Arc<Service>) = match change {
            Change::Added(service) => ("added", service),
            Change::Updated(service) => ("updated", service),
            Change::Removed(service) => ("removed", service),
            _ => return Ok(()),
        };
        let key = (service.name.clone(), service.version.clone());
        let before = self.nodes.remove(&key).unwrap_or_default();
        let now: BTreeMap<String, Node> = match name {
            "removed" => BTreeMap::new(),
            _ => service.nodes.iter().map(|node| (node.id.clone(), node.clone())).collect(),
        };
        if json {
            let line = json!({ "change": name, "service": told::service(service)? });
            writeln!(console.out(), "{line}")?;
        } else {
            lines(service, &before, &now, console)?;
        }
        if !now.is_empty() {
            self.nodes.insert(key, now);
        }
        Ok(())
    }
}

/// A line for each node that came, changed or went; one for the service if none did.
fn lines(
    service: &Service,
    before: &BTreeMap<String, Node>,
    now: &BTreeMap<String, Node>,
    console: &mut Console,
) -> io::Result<()> {
    let terminal = console.terminal();
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time = terminal.on_stdout(&time, Paint::Faint);
    let of = format!("{} {}", Terminal::clean(&service.name), Terminal::clean(version(service)));
    let mut changed = false;
    for id in before.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
        let (mark, paint, node) = match (before.get(id), now.get(id)) {
            (None, Some(node)) => ("+", Paint::Good, node),
            (Some(node), None) => ("-", Paint::Bad, node),
            (Some(old), Some(node)) if old != node => ("~", Paint::Name, node),
            _ => continue,
        };
        changed = true;
        let mark = terminal.on_stdout(mark, paint);
        let (id, address) = (Terminal::clean(id), Terminal::clean(&node.address));
        writeln!(console.out(), "{time} {mark} {of} {id} at {address}")?;
    }
    if !changed {
        let mark = terminal.on_stdout("~", Paint::Name);
        writeln!(console.out(), "{time} {mark} {of} has another description")?;
    }
    Ok(())
}
