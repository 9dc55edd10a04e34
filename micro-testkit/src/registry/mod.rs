//! What every [`Registry`] keeps, as named checks.

mod away;
mod closing;
mod entries;
mod leases;
mod lookup;
mod observer;
mod watching;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use micro_core::registry::{Node, RegisterOptions, Service, ServiceName};
use micro_core::{ErrorKind, Registry, async_trait};

use self::observer::Observer;
use crate::check::{Checked, LIMIT, Network, ensure, eventually, suite, unique, within};

/// A backend under test.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Another handle to the same world, as another process would have it.
    async fn registry(&self) -> Arc<dyn Registry>;

    /// The shortest lease that the backend keeps.
    fn lease(&self) -> Duration {
        Duration::from_millis(400)
    }

    /// The longest time after the end of a lease, or after the death of a process, until nobody
    /// sees the node any more.
    fn grace(&self) -> Duration {
        LIMIT
    }

    /// The size of a description that cannot be sent, in bytes; `None`: there is none.
    fn too_large(&self) -> Option<usize> {
        None
    }

    /// The network, where there is one. Its handles must give up on it within [`LIMIT`].
    fn network(&self) -> Option<&dyn Network> {
        None
    }
}

suite! { ($) registry_suite in registry:
    entries {
        registering_again_is_one_registration,
        registering_again_tells_the_newest_description,
        a_lost_node_can_be_registered_again,
        nodes_of_one_call_are_registrations_of_their_own,
        one_id_in_two_versions_is_two_registrations,
        deregistering_takes_only_what_is_named,
        deregistering_what_is_not_there_is_fine,
        what_cannot_be_registered_is_refused,
        a_description_arrives_unchanged,
        a_description_too_large_is_refused,
        a_register_that_was_given_up_can_be_repeated,
    }
    lookup {
        nodes_of_one_version_are_merged,
        versions_are_told_apart,
        an_unknown_name_is_not_found,
        a_name_without_nodes_is_not_found,
        names_that_begin_alike_are_told_apart,
        list_tells_what_get_tells,
        lookups_that_were_given_up_do_no_harm,
        every_handle_has_the_same_name_and_is_healthy,
    }
    leases {
        a_lease_that_is_not_renewed_ends,
        a_watcher_sees_the_end_of_a_lease,
        registering_again_renews_the_lease,
        a_registration_without_a_lease_stays,
        a_lease_of_no_time_ends_at_once,
        the_leases_of_a_dropped_registry_run_out,
    }
    watching {
        a_watcher_first_tells_the_present_state,
        a_watcher_of_nothing_is_synced,
        a_watcher_tells_what_changes,
        a_watcher_of_a_name_tells_no_other,
        a_watcher_of_everything_tells_all_names,
        every_watcher_is_told,
        a_renewal_is_no_change,
        deregistering_is_told_at_once,
        a_slow_watcher_misses_nothing,
        a_dropped_watcher_harms_no_other,
        waiting_for_a_change_can_be_given_up,
    }
    closing {
        closing_deregisters_what_was_registered_here,
        closing_ends_the_watchers_of_this_handle,
        closing_twice_is_fine,
    }
    away {
        registering_needs_no_network,
        lookups_without_a_network_fail_in_time,
        a_watcher_outlives_an_outage,
    }
}

/// A name that no other check uses.
fn name() -> Checked<ServiceName> {
    Ok(ServiceName::new(unique("check"))?)
}

/// A service with these nodes.
fn service(name: &ServiceName, version: &str, ids: &[&str]) -> Service {
    let nodes = ids.iter().map(|id| Node::new(*id, format!("at-{id}")));
    nodes.fold(Service::new(name.as_str(), version), Service::with_node)
}

fn forever() -> RegisterOptions {
    RegisterOptions::default()
}

/// The ids of the nodes of one version, in order.
fn ids<'a>(services: &'a [Service], version: &str) -> Vec<&'a str> {
    let of_version = services.iter().filter(|service| service.version == version);
    let mut ids: Vec<&str> = of_version.flat_map(|s| &s.nodes).map(|n| n.id.as_str()).collect();
    ids.sort_unstable();
    ids
}

/// What a lookup tells of a name: checked for what must never be told, an empty list if the name
/// is not found.
async fn look_up(registry: &dyn Registry, name: &ServiceName) -> Checked<Vec<Service>> {
    match within("get", registry.get(name)).await? {
        Ok(services) => {
            ensure!(!services.is_empty(), "get of {name} told an empty list, not NotFound");
            well_formed(&services)?;
            let own = services.iter().all(|service| service.name == name.as_str());
            ensure!(own, "get of {name} told of another name: {services:?}");
            Ok(services)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Looks a name up until what is told satisfies the condition.
async fn see(
    registry: &dyn Registry,
    name: &ServiceName,
    what: &str,
    seen: impl Fn(&[Service]) -> bool,
) -> Checked<Vec<Service>> {
    see_within(LIMIT, registry, name, what, seen).await
}

async fn see_within(
    limit: Duration,
    registry: &dyn Registry,
    name: &ServiceName,
    what: &str,
    seen: impl Fn(&[Service]) -> bool,
) -> Checked<Vec<Service>> {
    let seen = &seen;
    eventually(limit, what, || async move {
        let services = look_up(registry, name).await?;
        if seen(&services) { Ok(Ok(services)) } else { Ok(Err(format!("seen: {services:?}"))) }
    })
    .await
}

/// One service a name and version, with nodes, each once.
fn well_formed(services: &[Service]) -> Checked {
    let mut versions = BTreeSet::new();
    for service in services {
        let version = (&service.name, &service.version);
        ensure!(versions.insert(version), "{version:?} was told twice: {services:?}");
        ensure!(!service.nodes.is_empty(), "{version:?} was told without nodes");
        let ids: BTreeSet<&str> = service.nodes.iter().map(|node| node.id.as_str()).collect();
        ensure!(ids.len() == service.nodes.len(), "a node was told twice: {:?}", service.nodes);
    }
    Ok(())
}
