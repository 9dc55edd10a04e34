//! What does not fit, and who gives up.

use micro_core::ErrorKind;

use super::reader::{Reader, at_once, in_order};
use super::{Fixture, event, publish, subscribe, topic};
use crate::Failure;
use crate::check::{Checked, ensure, poll_once, within};

/// A body larger than this is not asked of a broker without a limit.
const LARGE: usize = 2 << 20;

/// The least that any broker must carry.
const SMALL: usize = 500_000;

pub(super) async fn a_subscriber_that_does_not_read_is_told_what_it_lost(
    fixture: &dyn Fixture,
) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut slow = subscribe(&*broker, &topic).await?;
    let mut witness = [subscribe(&*broker, &topic).await?];
    let count = fixture.buffer() * 3 + 10;
    in_order(&mut witness, &*broker, &topic, count, at_once(fixture)).await?;

    let mut read = Account::default();
    while read.lost == 0 {
        let item = slow.item("being told what was lost").await?;
        read.take(item, count)?;
    }
    // It goes on: now there is room.
    publish(&*broker, &topic, "after").await?;
    while !read.after {
        let item = slow.item("the event after the loss").await?;
        read.take(item, count)?;
    }
    let (came, lost) = (read.came, read.lost);
    ensure!(came > 0, "of {count} events none came");
    ensure!(came + lost == count, "of {count} events {came} came, but {lost} are told as lost");
    Ok(())
}

/// What a slow subscriber got.
#[derive(Default)]
struct Account {
    came: usize,
    lost: usize,
    next: usize,
    after: bool,
}

impl Account {
    fn take(
        &mut self,
        item: Option<micro_core::Result<micro_core::broker::Delivery>>,
        count: usize,
    ) -> Checked {
        match item {
            Some(Ok(delivery)) if delivery.message.body == "after" => self.after = true,
            Some(Ok(delivery)) => {
                let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
                let number = body.parse::<usize>().ok().filter(|n| (self.next..count).contains(n));
                let Some(number) = number else {
                    return Err(Failure::new(format!("{body:?} came after {}", self.next)));
                };
                self.next = number + 1;
                self.came += 1;
            }
            Some(Err(error)) if error.kind() == ErrorKind::Overloaded => {
                let said = error.detail();
                let digits = said.split(|c: char| !c.is_ascii_digit()).find(|s| !s.is_empty());
                let lost = digits.and_then(|digits| digits.parse::<usize>().ok());
                let Some(lost) = lost.filter(|lost| *lost > 0) else {
                    return Err(Failure::new(format!("it does not say how many: {said:?}")));
                };
                self.lost += lost;
            }
            other => return Err(Failure::new(format!("{other:?} came"))),
        }
        Ok(())
    }
}

pub(super) async fn a_slow_subscriber_costs_the_others_nothing(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let _slow: [Reader; 2] = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    let mut quick = [subscribe(&*here, &topic).await?, subscribe(&*there, &topic).await?];
    for reader in &mut quick {
        reader.live(&*here, &topic).await?;
    }
    let count = fixture.buffer() * 2 + 10;
    in_order(&mut quick, &*here, &topic, count, at_once(fixture)).await
}

pub(super) async fn an_event_too_large_is_refused(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut reader = subscribe(&*broker, &topic).await?;
    // The first event finds out what the network's limit is.
    publish(&*broker, &topic, "first").await?;
    reader.expect("first").await?;
    let Some(limit) = broker.capabilities().max_body else {
        publish(&*broker, &topic, vec![7; LARGE]).await?;
        reader.expect(vec![7; LARGE]).await?;
        return Ok(());
    };
    // What is surely too large: the limit is of what surely goes through. Never touched, so that
    // it costs no memory where the limit is high.
    let size = limit.saturating_mul(4);
    if size <= 4 << 30 {
        match within("publish", broker.publish(&topic, event(vec![0; size]))).await? {
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                let numbers = error.detail().chars().any(|c| c.is_ascii_digit());
                ensure!(numbers, "the error does not say the sizes: {error}");
            }
            other => return Err(Failure::new(format!("{size} of {limit} bytes: {other:?}"))),
        }
    }
    // It harmed nothing, and nothing of it arrives.
    publish(&*broker, &topic, "next").await?;
    reader.expect("next").await?;
    Ok(())
}

pub(super) async fn a_large_event_arrives(fixture: &dyn Fixture) -> Checked {
    let (here, there, topic) = (fixture.broker().await, fixture.broker().await, topic()?);
    let mut reader = subscribe(&*there, &topic).await?;
    reader.live(&*here, &topic).await?;
    let size = here.capabilities().max_body.unwrap_or(SMALL).min(LARGE);
    publish(&*here, &topic, vec![42; size]).await?;
    let body = reader.next("the large event").await?.message.body;
    let same = body.len() == size && body.iter().all(|byte| *byte == 42);
    ensure!(same, "{size} bytes were published, {} came", body.len());
    Ok(())
}

pub(super) async fn a_publish_that_was_given_up_does_no_harm(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut reader = subscribe(&*broker, &topic).await?;
    for n in 0..10 {
        // It may have happened or not.
        let _ = poll_once(broker.publish(&topic, event("given up")));
        publish(&*broker, &topic, n.to_string()).await?;
        let mut given_up = 0;
        loop {
            let body = reader.next("the event").await?.message.body;
            if body == n.to_string() {
                break;
            }
            given_up += 1;
            ensure!(body == "given up" && given_up == 1, "{body:?} came");
        }
    }
    Ok(())
}

pub(super) async fn a_read_that_was_given_up_loses_nothing(fixture: &dyn Fixture) -> Checked {
    let (broker, topic) = (fixture.broker().await, topic()?);
    let mut reader = subscribe(&*broker, &topic).await?;
    for n in 0..100 {
        let looked = poll_once(std::future::poll_fn(|cx| reader.poll(cx)));
        ensure!(looked.is_pending(), "something came that nobody published");
        publish(&*broker, &topic, n.to_string()).await?;
        reader.expect(n.to_string()).await?;
    }
    Ok(())
}
