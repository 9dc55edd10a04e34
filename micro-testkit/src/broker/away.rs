//! Without a network; where there is none, everything works.

use micro_core::{ErrorKind, RequestState};

use super::{Fixture, event, publish, subscribe, topic};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, within};

pub(super) async fn every_handle_tells_the_same_and_is_healthy(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    ensure!(!here.name().is_empty(), "it has no name");
    ensure!(here.name() == there.name(), "two names: {} and {}", here.name(), there.name());
    for broker in [&here, &there] {
        let mut reader = subscribe(&**broker, &topic).await?;
        reader.live(&**broker, &topic).await?;
        broker.health()?;
    }
    let (one, two) = (here.capabilities(), there.capabilities());
    ensure!(one == two, "two handles can do different things: {one:?}, {two:?}");
    Ok(())
}

pub(super) async fn a_publish_without_a_network_fails_in_time(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let Some(network) = fixture.network() else {
        publish(&*broker, &topic, "event").await?;
        return Ok(broker.health()?);
    };
    within("the network's end", network.down()).await?;
    let outcome = within("publish", broker.publish(&topic, event("lost"))).await;
    let health = broker.health();
    within("the network's return", network.up()).await?;
    match outcome? {
        Err(error) if error.kind() == ErrorKind::Unavailable => {
            let sent = error.request().is_some_and(|state| state != RequestState::NotSent);
            ensure!(!sent, "it says that it may have been sent: {error:?}");
        }
        other => return Err(Failure::new(format!("publish while away: {other:?}"))),
    }
    let health = health.map_err(|error| error.kind());
    ensure!(health == Err(ErrorKind::Unavailable), "health while away: {health:?}");
    // What failed as not sent does not come later.
    let mut reader = subscribe(&*broker, &topic).await?;
    reader.live_within(LIMIT * 2, &*broker, &topic).await
}

pub(super) async fn a_subscription_outlives_an_outage(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut readers = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in &mut readers {
        reader.live(&*here, &topic).await?;
    }
    if let Some(network) = fixture.network() {
        within("the network's end", network.down()).await?;
        within("the network's return", network.up()).await?;
    }
    for reader in &mut readers {
        reader.live_within(LIMIT * 2, &*here, &topic).await?;
    }
    publish(&*here, &topic, "event").await?;
    for reader in &mut readers {
        reader.expect("event").await?;
    }
    Ok(())
}

pub(super) async fn subscribing_needs_no_network(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    if let Some(network) = fixture.network() {
        within("the network's end", network.down()).await?;
    }
    let reader = subscribe(&*there, &topic).await;
    if let Some(network) = fixture.network() {
        within("the network's return", network.up()).await?;
    }
    let mut reader = reader?;
    reader.live_within(LIMIT * 2, &*here, &topic).await?;
    publish(&*here, &topic, "event").await?;
    reader.expect("event").await?;
    Ok(())
}
