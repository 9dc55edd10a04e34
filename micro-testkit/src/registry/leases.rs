//! Leases: how a registration ends that nobody takes away.

use micro_core::registry::RegisterOptions;
use tokio::time::{Instant, interval};

use super::{Fixture, Observer, forever, ids, name, see, see_within, service};
use crate::Failure;
use crate::check::{Checked, ensure, within};

fn leased(fixture: &dyn Fixture) -> RegisterOptions {
    RegisterOptions::default().with_ttl(fixture.lease())
}

pub(super) async fn a_lease_that_is_not_renewed_ends(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::new(&*there, Some(&name)).await?;
    here.register(&service(&name, "1", &["a"]), leased(fixture)).await?;
    watched.until("the node", |seen| seen.ids(&name, "1") == ["a"]).await?;
    let limit = fixture.lease() + fixture.grace();
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
    here.register(&service(&name, "1", &["a"]), leased(fixture)).await?;
    before.until("the node", |seen| seen.ids(&name, "1") == ["a"]).await?;
    let mut after = Observer::new(&*here, Some(&name)).await?;
    let limit = fixture.lease() + fixture.grace();
    let gone = |seen: &Observer| seen.synced && seen.services(&name).is_empty();
    before.until_within(limit, "the end of the lease", gone).await?;
    after.until_within(limit, "the end of the lease", gone).await
}

pub(super) async fn registering_again_renews_the_lease(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let renewed = service(&name, "1", &["renewed"]);
    let mut watched = Observer::of(&*there, &name).await?;
    here.register(&service(&name, "1", &["left", "renewed"]), leased(fixture)).await?;
    let both = ["left", "renewed"];
    watched.until("both nodes", |seen| seen.ids(&name, "1") == both).await?;

    // Renewed well within its lease until the other one's has ended, and for two leases at least.
    let mut every = interval(fixture.lease() / 4);
    let started = Instant::now();
    let end = started + fixture.lease() + fixture.grace();
    let mut last = started;
    loop {
        tokio::select! {
            _ = every.tick() => {
                // On a machine that stood still for a lease the node was rightly lost.
                let late = last.elapsed() >= fixture.lease();
                ensure!(!late, "the check itself renewed too late: the machine is overloaded");
                within("renewing", here.register(&renewed, leased(fixture))).await??;
                last = Instant::now();
            }
            change = watched.next("the end of the other lease") => {
                ensure!(change?.is_some(), "the watcher ended");
            }
        }
        let seen = watched.ids(&name, "1");
        let kept = seen.iter().any(|id| id == "renewed");
        ensure!(kept, "the node that was renewed is gone: {seen:?}");
        if seen == ["renewed"] && started.elapsed() > fixture.lease() * 2 {
            break;
        }
        ensure!(Instant::now() < end, "the lease that was not renewed has not ended: {seen:?}");
    }
    see(&*there, &name, "the renewed node", |seen| ids(seen, "1") == ["renewed"]).await?;
    Ok(())
}

pub(super) async fn a_registration_without_a_lease_stays(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    here.register(&service(&name, "1", &["stays"]), forever()).await?;
    here.register(&service(&name, "1", &["ends"]), leased(fixture)).await?;
    watched.until("both nodes", |seen| seen.ids(&name, "1") == ["ends", "stays"]).await?;
    let limit = fixture.lease() + fixture.grace();
    let alone = |seen: &Observer| seen.ids(&name, "1") == ["stays"];
    watched.until_within(limit, "the end of the one lease", alone).await?;
    see(&*there, &name, "the one without", |seen| ids(seen, "1") == ["stays"]).await?;
    Ok(())
}

pub(super) async fn a_lease_of_no_time_ends_at_once(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let options = RegisterOptions::default().with_ttl(std::time::Duration::ZERO);
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
    dies.register(&service(&name, "1", &["dies"]), leased(fixture)).await?;
    lives.register(&service(&name, "1", &["lives"]), forever()).await?;
    watched.until("both nodes", |seen| seen.ids(&name, "1") == ["dies", "lives"]).await?;
    if std::sync::Arc::strong_count(&dies) != 1 {
        return Err(Failure::new("the fixture keeps a handle, so it cannot be dropped"));
    }
    drop(dies);
    let limit = fixture.lease() + fixture.grace();
    let alone = |seen: &Observer| seen.ids(&name, "1") == ["lives"];
    watched.until_within(limit, "the end of the dead one's lease", alone).await?;
    see(&*lives, &name, "the one that lives", |seen| ids(seen, "1") == ["lives"]).await?;
    Ok(())
}
