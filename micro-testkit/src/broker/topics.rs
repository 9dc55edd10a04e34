//! Topics and wildcards.

use micro_core::ErrorKind;
use micro_core::broker::{SubscribeOptions, Topic, TopicFilter};

use super::queues::shared;
use super::reader::{Reader, at_once};
use super::{Fixture, filter, publish, subscribe, topic};
use crate::Failure;
use crate::check::{Checked, ensure, unique, within};

pub(super) async fn topics_are_told_apart(fixture: &dyn Fixture) -> Checked {
    let (broker, base) = (fixture.broker().await, topic()?);
    let names = [
        base.to_string(),
        format!("{base}.a"),
        format!("{base}.a.b"),
        format!("{base}.A"),
        format!("{base}x"),
        format!("{base}.größe"),
    ];
    let topics: Vec<Topic> = names.into_iter().map(Topic::new).collect::<Result<_, _>>()?;
    let mut readers = Vec::new();
    for topic in &topics {
        readers.push(subscribe(&*broker, topic).await?);
    }
    for round in 0..2 {
        for topic in &topics {
            publish(&*broker, topic, format!("{round} {topic}")).await?;
        }
        for (topic, reader) in topics.iter().zip(&mut readers) {
            let delivery = reader.expect(format!("{round} {topic}")).await?;
            ensure!(delivery.topic == *topic, "of {topic}, it says {}", delivery.topic);
        }
    }
    Ok(())
}

pub(super) async fn wildcards_match_or_are_refused(fixture: &dyn Fixture) -> Checked {
    let (broker, base) = (fixture.broker().await, unique("check"));
    let filters = ["*", ">", "*.b", "a.*", "a.>", "*.*", "a.b", "*.>"]
        .map(|tail| TopicFilter::new(format!("{base}.{tail}")));
    if !broker.capabilities().wildcards {
        for filter in filters.into_iter().filter_map(Result::ok).filter(|f| f.has_wildcards()) {
            let outcome = broker.subscribe(&filter, SubscribeOptions::default());
            let outcome = within("subscribe", outcome).await?.map_err(|error| error.kind());
            let refused = matches!(outcome, Err(ErrorKind::Unsupported));
            ensure!(refused, "{filter}, without wildcards: {outcome:?}, not Unsupported");
        }
        return Ok(());
    }
    let mut readers = Vec::new();
    for filter in filters {
        let filter = filter?;
        let reader = Reader::new(&*broker, &filter, SubscribeOptions::default()).await?;
        readers.push((filter, reader));
    }
    let topics = ["", ".a", ".a.b", ".a.b.c", ".b", ".c.b", ".a.c"].map(|t| format!("{base}{t}"));
    for (n, text) in topics.into_iter().enumerate() {
        let topic = Topic::new(text)?;
        publish(&*broker, &topic, n.to_string()).await?;
        for (filter, reader) in &mut readers {
            if !filter.matches(&topic) {
                continue;
            }
            let what = format!("an event of {topic} by {filter}");
            let delivery = reader.next(&what).await?;
            let (body, of) = (&delivery.message.body, &delivery.topic);
            let right = *body == n.to_string() && *of == topic;
            ensure!(right, "{what}: {body:?} of {of} came");
        }
    }
    // Nobody has more than was meant for it: an event of its own comes next.
    let last = Topic::new(format!("{base}.a.b"))?;
    publish(&*broker, &last, "last").await?;
    for (filter, reader) in readers.iter_mut().filter(|(filter, _)| filter.matches(&last)) {
        let delivery = reader.next(&format!("the last event by {filter}")).await?;
        let body = &delivery.message.body;
        ensure!(body == "last", "by {filter}, {body:?} of {} came", delivery.topic);
    }
    Ok(())
}

pub(super) async fn a_queue_of_wildcards_gets_each_event_once(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.broker().await, fixture.broker().await);
    let (base, queue) = (unique("check"), unique("queue"));
    let topic = Topic::new(format!("{base}.x"))?;
    let wild = here.capabilities().wildcards;
    let topics = filter(if wild { format!("{base}.*") } else { format!("{base}.x") })?;
    let mut members = Vec::new();
    for broker in [&here, &there] {
        let options = SubscribeOptions::default().with_queue(&queue);
        members.push(Reader::new(&**broker, &topics, options).await?);
    }
    for member in &mut members {
        member.live(&*here, &topic).await?;
    }
    shared(&mut members, &*here, &topic, 50, 1, at_once(fixture)).await?;
    Ok(())
}

pub(super) async fn what_is_no_topic_is_refused(fixture: &dyn Fixture) -> Checked {
    let refused = |what: &str, text: &str, outcome: Result<(), micro_core::Error>| match outcome {
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        other => Err(Failure::new(format!("{what} {text:?}: {other:?}, not InvalidInput"))),
    };
    for text in ["", " ", "a b", "a..b", ".a", "a.", "a\n", "a.*", ">", &"x".repeat(256)] {
        refused("topic", text, Topic::new(text).map(drop))?;
    }
    for text in ["", "a b", "a..b", "a.>.b", "a*", "a.b>", &"x".repeat(256)] {
        refused("filter", text, TopicFilter::new(text).map(drop))?;
    }
    // And the longest that is one goes through.
    let broker = fixture.broker().await;
    let base = unique("check");
    let longest = Topic::new(format!("{base}.{}", "x".repeat(254 - base.len())))?;
    let mut reader = subscribe(&*broker, &longest).await?;
    publish(&*broker, &longest, "event").await?;
    reader.expect("event").await?;
    Ok(())
}
