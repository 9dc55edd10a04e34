//! Without a network; where there is none, nothing ever waits for it.

use micro_core::{ErrorKind, Registry};

use super::{Fixture, Observer, forever, ids, name, see, service};
use crate::Failure;
use crate::check::{Checked, eventually, within};

pub(super) async fn registering_needs_no_network(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    if let Some(network) = fixture.network() {
        network.down().await;
    }
    within("register", here.register(&service(&name, "1", &["a", "b"]), forever())).await??;
    within("deregister", here.deregister(&service(&name, "1", &["b"]))).await??;
    if let Some(network) = fixture.network() {
        network.up().await;
    }
    await_answers(fixture, &*there).await?;
    see(&*there, &name, "what was registered", |seen| ids(seen, "1") == ["a"]).await?;
    Ok(())
}

pub(super) async fn lookups_without_a_network_fail_in_time(fixture: &dyn Fixture) -> Checked {
    let (here, name) = (fixture.registry().await, name()?);
    let Some(network) = fixture.network() else {
        // Nothing to wait for: there is an answer.
        await_answers(fixture, &*here).await?;
        return Ok(here.health()?);
    };
    network.down().await;
    let get = within("get", here.get(&name)).await?;
    let list = within("list", here.list()).await?;
    let health = here.health();
    network.up().await;
    for (what, outcome) in [("get", get.err()), ("list", list.err()), ("health", health.err())] {
        match outcome {
            Some(error) if error.kind() == ErrorKind::Unavailable => {}
            other => return Err(Failure::new(format!("{what} while away: {other:?}"))),
        }
    }
    await_answers(fixture, &*here).await
}

pub(super) async fn a_watcher_outlives_an_outage(fixture: &dyn Fixture) -> Checked {
    let (here, there, name) = (fixture.registry().await, fixture.registry().await, name()?);
    let mut watched = Observer::of(&*there, &name).await?;
    here.register(&service(&name, "1", &["a"]), forever()).await?;
    watched.until("the first node", |seen| seen.ids(&name, "1") == ["a"]).await?;
    if let Some(network) = fixture.network() {
        network.down().await;
    }
    within("register", here.register(&service(&name, "2", &["b"]), forever())).await??;
    // It does not wait for the network either.
    let mut late = Observer::new(&*there, Some(&name)).await?;
    if let Some(network) = fixture.network() {
        network.up().await;
    }
    for watched in [&mut watched, &mut late] {
        let both = |seen: &Observer| {
            seen.synced && seen.ids(&name, "1") == ["a"] && seen.ids(&name, "2") == ["b"]
        };
        watched.until_within(fixture.grace() * 2, "both nodes", both).await?;
    }
    Ok(())
}

/// Waits until lookups are answered again.
async fn await_answers(fixture: &dyn Fixture, registry: &dyn Registry) -> Checked {
    let unknown = &name()?;
    eventually(fixture.grace() * 2, "an answer, with the network back", || async move {
        match within("get", registry.get(unknown)).await? {
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(Err(error.to_string())),
            _ => Ok(Ok(())),
        }
    })
    .await
}
