//! Saying goodbye.

use super::{Fixture, Observer, forever, ids, name, see, service};
use crate::check::{Checked, within};

pub(super) async fn closing_deregisters_what_was_registered_here(fixture: &dyn Fixture) -> Checked {
    let (leaves, stays) = (fixture.registry().await, fixture.registry().await);
    let (name, other) = (name()?, name()?);
    let mut watched = Observer::of(&*stays, &name).await?;
    leaves.register(&service(&name, "1", &["a", "b"]), forever()).await?;
    leaves.register(&service(&other, "1", &["c"]), forever()).await?;
    stays.register(&service(&name, "1", &["d"]), forever()).await?;
    watched.until("three nodes", |seen| seen.ids(&name, "1") == ["a", "b", "d"]).await?;
    see(&*stays, &other, "the other service", |seen| ids(seen, "1") == ["c"]).await?;

    within("close", leaves.close()).await??;
    watched.until("the one that stays", |seen| seen.ids(&name, "1") == ["d"]).await?;
    see(&*stays, &other, "no other service", <[_]>::is_empty).await?;
    see(&*stays, &name, "the one that stays", |seen| ids(seen, "1") == ["d"]).await?;
    Ok(())
}

pub(super) async fn closing_ends_the_watchers_of_this_handle(fixture: &dyn Fixture) -> Checked {
    let (leaves, stays, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut ends = Observer::of(&*leaves, &name).await?;
    let mut goes_on = Observer::of(&*stays, &name).await?;
    within("close", leaves.close()).await??;
    while ends.next("the end of the watcher").await?.is_some() {}
    stays.register(&service(&name, "1", &["a"]), forever()).await?;
    goes_on.until("the node", |seen| seen.ids(&name, "1") == ["a"]).await
}

pub(super) async fn closing_twice_is_fine(fixture: &dyn Fixture) -> Checked {
    let (leaves, stays, name) = (fixture.registry().await, fixture.registry().await, name()?);
    within("close, with nothing registered", leaves.close()).await??;
    within("close again", leaves.close()).await??;
    stays.register(&service(&name, "1", &["a"]), forever()).await?;
    see(&*stays, &name, "the other handle's node", |seen| ids(seen, "1") == ["a"]).await?;
    Ok(())
}
