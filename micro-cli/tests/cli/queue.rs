//! A member of a queue that ends while there are events for it.

use rustix::process::Signal;
use serde_json::Value;

use crate::program::{Done, Program};
use crate::world::World;

/// More at once than one that wants a single event.
const EVENTS: usize = 400;

/// How often that is tried.
const ROUNDS: usize = 4;

/// How many events a member of the queue said were lost to the others.
fn lost(done: &Done) -> usize {
    if done.stderr.is_empty() {
        return 0;
    }
    let hint = done.stderr.strip_prefix("hint: ").unwrap_or_else(|| panic!("{done:?}"));
    let told = " more events of the queue were delivered here, and are lost to its other members\n";
    let number = hint.strip_suffix(told).unwrap_or_else(|| panic!("{done:?}"));
    let number = number.parse().unwrap();
    assert_ne!(number, 0, "{done:?}");
    number
}

/// All that it prints before this event.
async fn before(member: &mut Program, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        match member.line().await {
            line if line == last => return heard,
            line => heard.push(line),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_is_printed_by_a_member_or_told_to_be_lost() {
    let world = World::new().await;
    let publisher = world.client();
    let (mut lost_at_all, mut all_told) = (0, 0);
    for round in 0..ROUNDS {
        // NATS may take those of the round before for members still.
        let topic = format!("jobs.{round}");
        let one = world.subscriber(&[&topic, "--queue=workers", "--count=1"]).await;
        let mut other = world.subscriber(&[&topic, "--queue=workers"]).await;
        for number in 0..EVENTS {
            publisher.publish(&topic, &number).await.unwrap();
        }
        let done = one.end().await;
        assert_eq!((done.code(), done.stdout.lines().count()), (Some(0), 1), "{done:?}");
        let lost = lost(&done);
        // Now there is one member alone, to which it comes after all others.
        publisher.publish(&topic, &"last").await.unwrap();
        let mut heard = before(&mut other, "\"last\"").await;
        heard.extend(done.stdout.lines().map(str::to_owned));
        heard.sort_unstable();
        heard.dedup();
        // Of what is on its way when a subscription ends, the NATS client may know nothing.
        assert!(heard.len() + lost <= EVENTS, "{topic}: {} heard and {lost} lost", heard.len());
        all_told += usize::from(heard.len() + lost == EVENTS);
        lost_at_all += lost;
        other.signal(Signal::INT);
        assert_eq!(other.end().await.code(), Some(0));
    }
    // So many at once find the first member again and again before it has left.
    assert!(lost_at_all > 0, "nothing was ever lost: the test shows nothing");
    assert!(all_told > 0, "the events that are missing were never told");
}

#[tokio::test]
async fn a_member_to_which_no_more_came_has_nothing_to_say() {
    let world = World::new().await;
    let one = world.subscriber(&["jobs", "--queue=workers", "--count=1"]).await;
    world.prints(&["publish", "jobs", "1"]).await;
    assert_eq!(one.end().await.fine(), "1\n");
    // Without a queue others hear it all the same.
    let alone = world.subscriber(&["jobs", "--count=1"]).await;
    let publisher = world.client();
    for number in 0..EVENTS {
        publisher.publish("jobs", &Value::from(number)).await.unwrap();
    }
    assert_eq!(alone.end().await.fine(), "0\n");
}
