//! Events arrive, unchanged and in order.

use micro_core::Header;
use micro_core::broker::Message;

use super::reader::{at_once, in_order, nothing_left};
use super::{Fixture, publish, subscribe, topic};
use crate::check::{Checked, ensure, within};

pub(super) async fn every_subscriber_gets_every_event(fixture: &dyn Fixture) -> Checked {
    let (here, there, other) =
        (fixture.broker().await, fixture.broker().await, fixture.broker().await);
    let topic = topic()?;
    let mut readers = Vec::new();
    for broker in [&here, &there, &other] {
        readers.push(subscribe(&**broker, &topic).await?);
    }
    for reader in &mut readers {
        reader.live(&*here, &topic).await?;
    }
    in_order(&mut readers, &*here, &topic, 30, at_once(fixture)).await?;
    nothing_left(&mut readers, &*here, &topic).await
}

pub(super) async fn one_handle_may_subscribe_twice(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut readers = [subscribe(&*broker, &topic).await?, subscribe(&*broker, &topic).await?];
    in_order(&mut readers, &*broker, &topic, 10, at_once(fixture)).await?;
    nothing_left(&mut readers, &*broker, &topic).await
}

pub(super) async fn a_publisher_hears_itself(fixture: &dyn Fixture) -> Checked {
    let broker = fixture.broker().await;
    // What is published once `subscribe` has returned arrives, the first time too.
    for round in 0..20 {
        let topic = topic()?;
        let mut reader = subscribe(&*broker, &topic).await?;
        publish(&*broker, &topic, format!("round {round}")).await?;
        reader.expect(format!("round {round}")).await?;
    }
    Ok(())
}

pub(super) async fn events_keep_their_order(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut readers = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in &mut readers {
        reader.live(&*here, &topic).await?;
    }
    in_order(&mut readers, &*here, &topic, 2_000, at_once(fixture)).await
}

pub(super) async fn a_body_of_any_bytes_arrives_unchanged(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut reader = subscribe(&*there, &topic).await?;
    reader.live(&*here, &topic).await?;
    for byte in 0..=u8::MAX {
        publish(&*here, &topic, vec![byte; 3]).await?;
        reader.expect(vec![byte; 3]).await?;
    }
    let every: Vec<u8> = (0..=u8::MAX).cycle().take(100_000).collect();
    for size in [1, 2, 255, 256, 4095, 65_537, 100_000] {
        publish(&*here, &topic, every[..size].to_vec()).await?;
        reader.expect(every[..size].to_vec()).await?;
    }
    for text in ["{}", "null", "{\"Header\":null}", "PING\r\n"] {
        publish(&*here, &topic, text).await?;
        reader.expect(text).await?;
    }
    Ok(())
}

pub(super) async fn a_header_arrives_unchanged(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut reader = subscribe(&*there, &topic).await?;
    reader.live(&*here, &topic).await?;
    let odd = [
        ("Content-Type", "application/json"),
        ("Tenant", "blue"),
        ("tenant", "another one"),
        ("with space", " and space around "),
        ("größe", "\u{1F980}"),
        ("quote\"and\\", "\"\\/\u{8}\u{c}\n\r\t"),
        ("empty", ""),
        ("", "empty key"),
        ("control", "\u{0}\u{1f}\u{7f}\u{2028}"),
        ("html", "<a href='x'>&amp;</a>"),
        ("colon: and, comma", "a: b, c; d=e"),
    ];
    let header: Header = odd.into_iter().collect();
    within("publish", here.publish(&topic, Message::new(header, "body"))).await??;
    let delivery = reader.expect("body").await?;
    for (key, value) in odd {
        let came = delivery.message.header.get(key);
        ensure!(came == Some(value), "header {key:?}: {value:?} was sent, {came:?} came");
    }
    Ok(())
}

pub(super) async fn an_empty_event_arrives(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut reader = subscribe(&*there, &topic).await?;
    reader.live(&*here, &topic).await?;
    within("publish", here.publish(&topic, Message::default())).await??;
    reader.expect("").await?;
    Ok(())
}

pub(super) async fn an_event_says_its_topic(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.broker().await, fixture.broker().await);
    for _ in 0..3 {
        let topic = topic()?;
        let mut reader = subscribe(&*there, &topic).await?;
        reader.live(&*here, &topic).await?;
        publish(&*here, &topic, "event").await?;
        let delivery = reader.expect("event").await?;
        ensure!(delivery.topic == topic, "of {topic}, it says {}", delivery.topic);
    }
    Ok(())
}

pub(super) async fn what_nobody_subscribes_to_is_gone(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    publish(&*broker, &topic, "early").await?;
    let mut reader = subscribe(&*broker, &topic).await?;
    publish(&*broker, &topic, "in time").await?;
    reader.expect("in time").await?;
    Ok(())
}

pub(super) async fn an_event_can_be_acknowledged(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut reader = subscribe(&*broker, &topic).await?;
    for n in 0..3 {
        publish(&*broker, &topic, n.to_string()).await?;
        let delivery = reader.expect(n.to_string()).await?;
        // Twice does no harm, and where it means nothing it is fine.
        within("ack", delivery.ack()).await??;
        within("ack", delivery.ack()).await??;
    }
    Ok(())
}

pub(super) async fn garbage_harms_no_subscription(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut readers = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in &mut readers {
        reader.live(&*here, &topic).await?;
    }
    for n in 0..3 {
        within("publishing garbage", fixture.garbage(&topic)).await?;
        publish(&*here, &topic, n.to_string()).await?;
        for reader in &mut readers {
            // Some of it may look like an event, as long as the good one comes too.
            while reader.next("the event after garbage").await?.message.body != n.to_string() {}
        }
    }
    Ok(())
}

pub(super) async fn flushing_ends_in_time(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    within("flush, of nothing", broker.flush()).await??;
    let mut reader = subscribe(&*broker, &topic).await?;
    publish(&*broker, &topic, "event").await?;
    within("flush", broker.flush()).await??;
    reader.expect("event").await?;
    Ok(())
}
