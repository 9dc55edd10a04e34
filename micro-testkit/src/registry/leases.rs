//! Leases: how a registration ends that nobody takes away.

use std::time::Duration;

use micro_core::Registry;
use micro_core::registry::{RegisterOptions, Service, ServiceName};
use tokio::time::{Instant, interval};

use super::{Fixture, Observer, forever, ids, name, see, see_within, service};
use crate::Failure;
use crate::check::{Checked, ensure, within};

/// How much longer a lease is made, attempt by attempt, on a machine that stands still for a
/// whole one and then rightly never sees the node.
const LONGER: [u32; 5] = [1, 2, 4, 8, 16];

/// Registers a node with a lease, until the watcher has seen it; until when it must be gone.
async fn lease(
    fixture: &dyn Fixture,
    registry: &dyn Registry,
    node: &Service,
    watched: &mut Observer,
    shown: &[&str],
) -> Checked<Duration> {
    let name = ServiceName::new(&node.name)?;
    let mut outcome = Ok(());
    for longer in LONGER {
        let lease = fixture.lease() * longer;
        let options = RegisterOptions::default().with_ttl(lease);
        within("register", registry.register(node, options)).await??;
        let all = |seen: &Observer| seen.ids(&name, &node.version) == shown;
        outcome = watched.until_within(lease, "a node with a lease", all).await;
        if outcome.is_ok() {
            return Ok(lease + fixture.grace());
        }
    }
    outcome.map(|()| Duration::ZERO)
}

pub(super) async fn a_lease_that_is_not_renewed_ends(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::new(&*there, Some(&name)).await?;
    let node = service(&name, "1", &["a"]);
    let limit = lease(fixture, &*here, &node, &mut watched, &["a"]).await?;
    for registry in [&here, &there] {
        let what = "NotFound after the lease";
        see_within(limit, &**registry, &name, what, <[_]>::is_empty).await?;
    }
    Ok(())
}

pub(super) async fn a_watcher_sees_the_end_of_a_lease(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    // One who is there before the node, one who comes after it. Nobody asks: they see it by
    // themselves.
    let mut before = Observer::of(&*there, &name).await?;
    let node = service(&name, "1", &["a"]);
    let limit = lease(fixture, &*here, &node, &mut before, &["a"]).await?;
    let mut after = Observer::new(&*here, Some(&name)).await?;
    let gone = |seen: &Observer| seen.synced && seen.services(&name).is_empty();
    before.until_within(limit, "the end of the lease", gone).await?;
    after.until_within(limit, "the end of the lease", gone).await
}

pub(super) async fn registering_again_renews_the_lease(fixture: &dyn Fixture) -> Checked {
    for longer in LONGER {
        if renewed_in_time(fixture, fixture.lease() * longer).await? {
            return Ok(());
        }
    }
    Err(Failure::new("the machine is too busy to renew a lease in time"))
}

/// Renews one of two nodes until the other one's lease has ended, and for two leases at least.
/// False if a renewal came too late to prove anything.
async fn renewed_in_time(fixture: &dyn Fixture, lease: Duration) -> Checked<bool> {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let options = RegisterOptions::default().with_ttl(lease);
    let mut watched = Observer::of(&*there, &name).await?;
    let started = Instant::now();
    let mut last = started;
    here.register(&service(&name, "1", &["left", "renewed"]), options.clone()).await?;

    let renewed = service(&name, "1", &["renewed"]);
    let mut every = interval(lease / 4);
    let end = started + lease * 2 + fixture.grace();
    let mut seen = false;
    loop {
        tokio::select! {
            _ = every.tick() => {
                let now = Instant::now();
                within("renewing", here.register(&renewed, options.clone())).await??;
                // It may have taken effect as late as now, and the one before as early as it began.
                if last.elapsed() >= lease {
                    return Ok(false);
                }
                last = now;
            }
            change = watched.next("the end of the other lease") => {
                ensure!(change?.is_some(), "the watcher ended");
            }
        }
        let ids = watched.ids(&name, "1");
        let kept = ids.iter().any(|id| id == "renewed");
        if seen && !kept {
            if last.elapsed() >= lease {
                return Ok(false);
            }
            return Err(Failure::new(format!("the node that was renewed is gone: {ids:?}")));
        }
        seen |= kept;
        if ids == ["renewed"] && started.elapsed() > lease * 2 {
            return Ok(true);
        }
        ensure!(Instant::now() < end, "the lease that was not renewed has not ended: {ids:?}");
    }
}

pub(super) async fn a_registration_without_a_lease_stays(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    here.register(&service(&name, "1", &["stays"]), forever()).await?;
    let ends = service(&name, "1", &["ends"]);
    let limit = lease(fixture, &*here, &ends, &mut watched, &["ends", "stays"]).await?;
    let alone = |seen: &Observer| seen.ids(&name, "1") == ["stays"];
    watched.until_within(limit, "the end of the one lease", alone).await?;
    see(&*there, &name, "the one without", |seen| ids(seen, "1") == ["stays"]).await?;
    Ok(())
}

pub(super) async fn a_lease_of_no_time_ends_at_once(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let options = RegisterOptions::default().with_ttl(Duration::ZERO);
    here.register(&service(&name, "1", &["a"]), options).await?;
    for registry in [&here, &there] {
        see_within(fixture.grace(), &**registry, &name, "NotFound", <[_]>::is_empty).await?;
    }
    // It says nothing about the next registration.
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    see(&*there, &name, "the node", |seen| ids(seen, "1") == ["a"]).await?;
    Ok(())
}

pub(super) async fn the_leases_of_a_dropped_registry_run_out(fixture: &dyn Fixture) -> Checked {
    let (dies, lives, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*lives, &name).await?;
    lives.register(&service(&name, "1", &["lives"]), forever()).await?;
    let node = service(&name, "1", &["dies"]);
    let limit = lease(fixture, &*dies, &node, &mut watched, &["dies", "lives"]).await?;
    if std::sync::Arc::strong_count(&dies) != 1 {
        return Err(Failure::new("the fixture keeps a handle, so it cannot be dropped"));
    }
    drop(dies);
    let alone = |seen: &Observer| seen.ids(&name, "1") == ["lives"];
    watched.until_within(limit, "the end of the dead one's lease", alone).await?;
    see(&*lives, &name, "the one that lives", |seen| ids(seen, "1") == ["lives"]).await?;
    Ok(())
}
