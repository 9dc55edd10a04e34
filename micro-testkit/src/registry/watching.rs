//! Watchers.

use std::task::Poll;

use micro_core::registry::{Change, Endpoint, Service};
use tokio_stream::Stream;

use super::{Fixture, Observer, forever, name, see, service};
use crate::Failure;
use crate::check::{Checked, ensure, poll_once, within};

pub(super) async fn a_watcher_first_tells_the_present_state(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    here.register(&service(&name, "1", &["a", "b"]), forever()).await?;
    here.register(&service(&name, "2", &["c"]), forever()).await?;
    let there_too = |seen: &[Service]| super::ids(seen, "1").len() + super::ids(seen, "2").len();
    see(&*there, &name, "three nodes", |seen| there_too(seen) == 3).await?;

    for registry in [&here, &there] {
        let mut watched = Observer::new(&**registry, Some(&name)).await?;
        while !watched.synced {
            let change = watched.next("the present state").await?;
            // While it is being found out, it may come in parts.
            let present =
                matches!(change, Some(Change::Added(_) | Change::Updated(_) | Change::Synced));
            ensure!(present, "{change:?} in the present state");
        }
        let (one, two) = (watched.ids(&name, "1"), watched.ids(&name, "2"));
        let whole = one == ["a", "b"] && two == ["c"];
        ensure!(whole, "Synced came before the present state was told: {one:?}, {two:?}");
    }
    Ok(())
}

pub(super) async fn a_watcher_of_nothing_is_synced(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::new(&*there, Some(&name)).await?;
    let first = watched.next("Synced").await?;
    ensure!(first == Some(Change::Synced), "{first:?} came, not Synced");
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    let second = watched.next("the first node").await?;
    let added = Change::Added(service(&name, "1", &["a"]).into());
    ensure!(second.as_ref() == Some(&added), "{second:?} came, not Added");
    Ok(())
}

pub(super) async fn a_watcher_tells_what_changes(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;

    here.register(&service(&name, "1", &["a"]), forever()).await?;
    let one = service(&name, "1", &["a"]);
    expect(&mut watched, Change::Added(one.into())).await?;

    here.register(&service(&name, "1", &["b"]), forever()).await?;
    let two = service(&name, "1", &["a", "b"]);
    expect(&mut watched, Change::Updated(two.clone().into())).await?;

    let mut described = two;
    described.endpoints.push(Endpoint::new("Greeter.Hello"));
    here.register(&described, forever()).await?;
    expect(&mut watched, Change::Updated(described.clone().into())).await?;

    here.deregister(&service(&name, "1", &["a"])).await?;
    described.nodes.remove(0);
    expect(&mut watched, Change::Updated(described.clone().into())).await?;

    here.deregister(&service(&name, "1", &["b"])).await?;
    expect(&mut watched, Change::Removed(described.into())).await
}

async fn expect(watched: &mut Observer, change: Change) -> Checked {
    let told = watched.next(&format!("{change:?}")).await?;
    ensure!(told.as_ref() == Some(&change), "{told:?} was told, not {change:?}");
    Ok(())
}

pub(super) async fn a_watcher_of_a_name_tells_no_other(fixture: &dyn Fixture) -> Checked {
    let (here, there, watched_name) = (fixture.registry().await, fixture.registry().await, name()?);
    let other = name()?;
    here.register(&service(&other, "1", &["a"]), forever()).await?;
    let mut watched = Observer::of(&*there, &watched_name).await?;
    here.register(&service(&other, "1", &["b"]), forever()).await?;
    here.deregister(&service(&other, "1", &["a"])).await?;
    // Had the other name's changes been told, they would come before this one.
    here.register(&service(&watched_name, "1", &["own"]), forever()).await?;
    expect(&mut watched, Change::Added(service(&watched_name, "1", &["own"]).into())).await
}

pub(super) async fn a_watcher_of_everything_tells_all_names(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.registry().await, fixture.registry().await);
    let (early, late) = (name()?, name()?);
    here.register(&service(&early, "1", &["a"]), forever()).await?;
    see(&*there, &early, "the early one", |seen| !seen.is_empty()).await?;
    let mut watched = Observer::new(&*there, None).await?;
    watched.until("the present state", |seen| seen.synced).await?;
    let told = watched.ids(&early, "1");
    ensure!(told == ["a"], "of the present state {told:?} was told");
    here.register(&service(&late, "1", &["b"]), forever()).await?;
    watched.until("the late one", |seen| seen.ids(&late, "1") == ["b"]).await?;
    here.deregister(&service(&early, "1", &["a"])).await?;
    watched.until("the early one's end", |seen| seen.services(&early).is_empty()).await
}

pub(super) async fn every_watcher_is_told(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watchers = Vec::new();
    for registry in [&here, &here, &there, &there] {
        watchers.push(Observer::of(&**registry, &name).await?);
    }
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    for watched in &mut watchers {
        watched.until("the node", |seen| seen.ids(&name, "1") == ["a"]).await?;
    }
    here.deregister(&service(&name, "1", &["a"])).await?;
    for watched in &mut watchers {
        watched.until("its end", |seen| seen.services(&name).is_empty()).await?;
    }
    Ok(())
}

pub(super) async fn a_renewal_is_no_change(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    for _ in 0..5 {
        here.register(&service(&name, "1", &["a"]), forever()).await?;
    }
    expect(&mut watched, Change::Added(service(&name, "1", &["a"]).into())).await?;
    here.register(&service(&name, "2", &["b"]), forever()).await?;
    expect(&mut watched, Change::Added(service(&name, "2", &["b"]).into())).await
}

pub(super) async fn deregistering_is_told_at_once(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    // A lease far longer than any wait here: its end cannot be what is seen.
    let hour = std::time::Duration::from_secs(3600);
    let options = forever().with_ttl(hour);
    here.register(&service(&name, "1", &["a", "b"]), options).await?;
    watched.until("both nodes", |seen| seen.ids(&name, "1") == ["a", "b"]).await?;
    here.deregister(&service(&name, "1", &["a"])).await?;
    watched.until("one node less", |seen| seen.ids(&name, "1") == ["b"]).await?;
    here.deregister(&service(&name, "1", &["b"])).await?;
    watched.until("no node", |seen| seen.services(&name).is_empty()).await
}

pub(super) async fn a_slow_watcher_misses_nothing(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut slow = Observer::of(&*there, &name).await?;
    // A storm of changes while nobody reads; of the first hundred every second one leaves.
    let ids: Vec<String> = (0..200).map(|i| format!("{i:03}")).collect();
    for (i, id) in ids.iter().enumerate() {
        let version = ["1", "2", "3"][i % 3];
        here.register(&service(&name, version, &[id]), forever()).await?;
        // Whatever carries the changes runs on; only the watcher's reader is slow.
        tokio::task::yield_now().await;
        if i >= 100 && i % 2 == 0 {
            let before = i - 100;
            let gone = service(&name, ["1", "2", "3"][before % 3], &[&ids[before]]);
            here.deregister(&gone).await?;
        }
    }
    for (v, version) in ["1", "2", "3"].into_iter().enumerate() {
        let left = |&i: &usize| i % 3 == v && (i >= 100 || i % 2 == 1);
        let left: Vec<&String> = (0..200).filter(left).map(|i| &ids[i]).collect();
        slow.until(&format!("{} nodes of version {version}", left.len()), |seen| {
            seen.ids(&name, version).iter().eq(left.iter().copied())
        })
        .await?;
    }
    Ok(())
}

pub(super) async fn a_dropped_watcher_harms_no_other(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut stays = Observer::of(&*there, &name).await?;
    for _ in 0..50 {
        drop(Observer::new(&*there, Some(&name)).await?);
    }
    drop(Observer::of(&*there, &name).await?);
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    stays.until("the node", |seen| seen.ids(&name, "1") == ["a"]).await
}

pub(super) async fn waiting_for_a_change_can_be_given_up(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    for id in ["a", "b", "c"] {
        // Looked at by somebody who goes away again; whoever comes next is woken all the same.
        let looked = std::future::poll_fn(|cx| watched.watcher().poll_next(cx));
        if let Poll::Ready(change) = poll_once(looked) {
            return Err(Failure::new(format!("{change:?} came before anything had changed")));
        }
        here.register(&service(&name, id, &[id]), forever()).await?;
        let told = watched.next("the new version").await?;
        let added = Change::Added(service(&name, id, &[id]).into());
        ensure!(told.as_ref() == Some(&added), "{told:?} was told, not {added:?}");
    }
    // The same for one who waits in a task that is given up.
    let waits = tokio::spawn(async move {
        let outcome = tokio::time::timeout(
            std::time::Duration::ZERO,
            std::future::poll_fn(|cx| watched.watcher().poll_next(cx)),
        );
        ensure!(outcome.await.is_err(), "a change came that nobody made");
        Ok(watched)
    });
    let mut watched = within("a given up wait", waits).await???;
    here.register(&service(&name, "d", &["d"]), forever()).await?;
    watched.until("the last version", |seen| seen.ids(&name, "d") == ["d"]).await
}
