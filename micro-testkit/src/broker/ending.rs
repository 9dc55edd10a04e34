//! The end of a subscription.

use super::reader::{at_once, in_order, nothing_left};
use super::{Fixture, publish, subscribe, topic};
use crate::check::{Checked, ensure};

pub(super) async fn a_dropped_subscription_gets_nothing_and_harms_nobody(
    fixture: &dyn Fixture,
) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut stays = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in &mut stays {
        reader.live(&*here, &topic).await?;
    }
    for _ in 0..20 {
        drop(subscribe(&*here, &topic).await?);
        drop(subscribe(&*there, &topic).await?);
    }
    in_order(&mut stays, &*here, &topic, 20, at_once(fixture)).await?;
    nothing_left(&mut stays, &*here, &topic).await
}

pub(super) async fn a_closed_subscription_gets_nothing_more(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut closes = subscribe(&*there, &topic).await?;
    let mut stays = [subscribe(&*there, &topic).await?];
    closes.live(&*here, &topic).await?;
    stays[0].live(&*here, &topic).await?;
    closes.close().await?;
    in_order(&mut stays, &*here, &topic, 10, at_once(fixture)).await?;
    let late = closes.rest().await?;
    ensure!(late.is_empty(), "after the close {late:?} came");
    Ok(())
}

pub(super) async fn what_arrived_before_the_close_can_still_be_read(
    fixture: &dyn Fixture,
) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut closes = subscribe(&*broker, &topic).await?;
    let mut witness = [subscribe(&*broker, &topic).await?];
    let count = at_once(fixture).min(10);
    in_order(&mut witness, &*broker, &topic, count, count).await?;
    closes.close().await?;
    let bodies = closes.rest().await?;
    let all: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    ensure!(bodies == all, "{all:?} had arrived before the close, {bodies:?} could be read");
    Ok(())
}

pub(super) async fn closing_twice_is_fine(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut closes = subscribe(&*broker, &topic).await?;
    let mut stays = subscribe(&*broker, &topic).await?;
    closes.close().await?;
    closes.close().await?;
    ensure!(closes.rest().await?.is_empty(), "after two closes something came");
    closes.close().await?;
    publish(&*broker, &topic, "event").await?;
    stays.expect("event").await?;
    Ok(())
}
