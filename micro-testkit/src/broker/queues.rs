//! Queue groups.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use micro_core::broker::{SubscribeOptions, Topic};
use micro_core::{Broker, ErrorKind};
use tokio::time::{Instant, timeout};

use super::reader::{Reader, at_once, in_order, next_of, nothing_left};
use super::{Fixture, join, publish, subscribe, topic};
use crate::check::{Checked, LIMIT, ensure, unique, within};

/// Publishes numbers, a few at a time; the members must get each exactly `times` in all.
pub(super) async fn shared(
    members: &mut [Reader],
    publisher: &dyn Broker,
    topic: &Topic,
    count: usize,
    times: usize,
    at_once: usize,
) -> Checked<Vec<usize>> {
    let mut each = vec![0; members.len()];
    let mut came = BTreeMap::<Bytes, usize>::new();
    let numbers: Vec<Bytes> = (0..count).map(|n| n.to_string().into()).collect();
    for some in numbers.chunks(at_once) {
        for number in some {
            publish(publisher, topic, number.clone()).await?;
        }
        for _ in 0..some.len() * times {
            let (at, delivery) = next_of(members, "an event for the queue").await?;
            each[at] += 1;
            let body = delivery.message.body;
            let now = *came.entry(body.clone()).and_modify(|n| *n += 1).or_insert(1);
            ensure!(now <= times, "{body:?} came to {now} members, not {times}");
        }
    }
    ensure!(came.len() == count, "of {count} events {} came", came.len());
    nothing_left(members, publisher, topic).await?;
    Ok(each)
}

pub(super) async fn a_queue_gets_each_event_once(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let queue = unique("queue");
    let mut members = Vec::new();
    for broker in [&here, &there, &there] {
        members.push(join(&**broker, &topic, &queue).await?);
    }
    for member in &mut members {
        member.live(&*here, &topic).await?;
    }
    let each = shared(&mut members, &*here, &topic, 300, 1, at_once(fixture)).await?;
    // By chance alone one of three would be left out once in 10^52.
    ensure!(each.iter().all(|n| *n > 0), "the members got {each:?}: somebody is left out");
    Ok(())
}

pub(super) async fn two_queues_get_each_event_each(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut members = Vec::new();
    for queue in [unique("queue"), unique("queue")] {
        members.push(join(&*here, &topic, &queue).await?);
        members.push(join(&*there, &topic, &queue).await?);
    }
    for member in &mut members {
        member.live(&*here, &topic).await?;
    }
    let each = shared(&mut members, &*here, &topic, 100, 2, at_once(fixture)).await?;
    let (one, two) = (each[0] + each[1], each[2] + each[3]);
    ensure!(one == 100 && two == 100, "of 100 events the queues got {one} and {two}");
    Ok(())
}

pub(super) async fn a_queue_takes_nothing_from_the_others(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let queue = unique("queue");
    let mut members = [join(&*here, &topic, &queue).await?, join(&*there, &topic, &queue).await?];
    let mut alone = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in members.iter_mut().chain(&mut alone) {
        reader.live(&*here, &topic).await?;
    }
    in_order(&mut alone, &*here, &topic, 10, 1).await?;
    for _ in 0..10 {
        next_of(&mut members, "an event for the queue").await?;
    }
    nothing_left(&mut members, &*here, &topic).await?;
    nothing_left(&mut alone, &*here, &topic).await
}

pub(super) async fn one_queue_on_two_topics_is_two_worlds(fixture: &dyn Fixture) -> Checked {
    let (broker, queue) = (fixture.broker().await, unique("queue"));
    let (one, two) = (topic()?, topic()?);
    let mut of_one = join(&*broker, &one, &queue).await?;
    let mut of_two = join(&*broker, &two, &queue).await?;
    for n in 0..10 {
        publish(&*broker, &one, format!("one {n}")).await?;
        publish(&*broker, &two, format!("two {n}")).await?;
        of_one.expect(format!("one {n}")).await?;
        of_two.expect(format!("two {n}")).await?;
    }
    Ok(())
}

pub(super) async fn a_queue_goes_on_when_a_member_leaves(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let queue = unique("queue");
    let mut closes = join(&*there, &topic, &queue).await?;
    let drops = join(&*there, &topic, &queue).await?;
    let mut stays = join(&*here, &topic, &queue).await?;
    closes.live(&*here, &topic).await?;
    stays.live(&*here, &topic).await?;

    closes.close().await?;
    drop(drops);
    // The drop says nothing of when it is done; the close was done when it returned.
    let deadline = Instant::now() + LIMIT;
    let mut in_a_row = 0;
    while in_a_row < 20 {
        ensure!(Instant::now() < deadline, "somebody who has left still takes events");
        let body = unique("event");
        publish(&*here, &topic, body.clone()).await?;
        let heard = async {
            // One that was late before may come first.
            while stays.next("an event for who stays").await?.message.body != body {}
            Checked::Ok(())
        };
        match timeout(Duration::from_millis(500), heard).await {
            Ok(outcome) => outcome.map(|()| in_a_row += 1)?,
            Err(_) => in_a_row = 0,
        }
    }
    let late = closes.rest().await?;
    ensure!(late.is_empty(), "a closed member got {late:?}");
    Ok(())
}

pub(super) async fn what_is_no_queue_is_refused(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    for queue in ["", "a b", "a..b", "a.*", ">", &"x".repeat(256)] {
        let options = SubscribeOptions::default().with_queue(queue);
        let topics = topic.clone().into();
        match within("subscribe", broker.subscribe(&topics, options)).await? {
            Err(error) if error.kind() == ErrorKind::InvalidInput => {}
            other => ensure!(false, "queue {queue:?}: {other:?}, not InvalidInput"),
        }
    }
    Ok(())
}
