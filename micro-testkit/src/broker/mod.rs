//! What every [`Broker`] keeps, as named checks.

mod away;
mod bounds;
mod delivery;
mod ending;
mod queues;
mod reader;
mod topics;

use std::sync::Arc;

use micro_core::broker::{Message, SubscribeOptions, Topic, TopicFilter};
use micro_core::{Broker, Header, async_trait};

use self::reader::Reader;
use crate::check::{Checked, Network, suite, unique, within};

/// A backend under test.
#[async_trait]
pub trait Fixture: Send + Sync + 'static {
    /// Another handle to the same world, as another process would have it.
    async fn broker(&self) -> Arc<dyn Broker>;

    /// How many small events a subscription of these handles holds at most: published without
    /// anybody reading, one more is lost. A small number makes the check quick.
    fn buffer(&self) -> usize;

    /// Publishes there what is no event, in every way that the network allows; nothing where it
    /// allows none.
    async fn garbage(&self, topic: &Topic) {
        let _ = topic;
    }

    /// The network, where there is one. Its handles must give up on it within
    /// [`LIMIT`](crate::LIMIT).
    fn network(&self) -> Option<&dyn Network> {
        None
    }
}

suite! { ($) broker_suite in broker:
    delivery {
        every_subscriber_gets_every_event,
        one_handle_may_subscribe_twice,
        a_publisher_hears_itself,
        events_keep_their_order,
        a_body_of_any_bytes_arrives_unchanged,
        a_header_arrives_unchanged,
        an_empty_event_arrives,
        an_event_says_its_topic,
        what_nobody_subscribes_to_is_gone,
        an_event_can_be_acknowledged,
        garbage_harms_no_subscription,
        flushing_ends_in_time,
    }
    queues {
        a_queue_gets_each_event_once,
        two_queues_get_each_event_each,
        a_queue_takes_nothing_from_the_others,
        one_queue_on_two_topics_is_two_worlds,
        a_queue_goes_on_when_a_member_leaves,
        what_is_no_queue_is_refused,
    }
    topics {
        topics_are_told_apart,
        wildcards_match_or_are_refused,
        a_queue_of_wildcards_gets_each_event_once,
        what_is_no_topic_is_refused,
    }
    bounds {
        a_subscriber_that_does_not_read_is_told_what_it_lost,
        a_slow_subscriber_costs_the_others_nothing,
        an_event_too_large_is_refused,
        a_large_event_arrives,
        a_publish_that_was_given_up_does_no_harm,
        a_read_that_was_given_up_loses_nothing,
    }
    ending {
        a_dropped_subscription_gets_nothing_and_harms_nobody,
        a_closed_subscription_gets_nothing_more,
        what_arrived_before_the_close_can_still_be_read,
        closing_twice_is_fine,
    }
    away {
        every_handle_tells_the_same_and_is_healthy,
        a_publish_without_a_network_fails_in_time,
        a_subscription_outlives_an_outage,
        subscribing_needs_no_network,
    }
}

/// A topic that no other check uses.
fn topic() -> Checked<Topic> {
    Ok(Topic::new(unique("check"))?)
}

/// An event with this body.
fn event(body: impl Into<micro_core::Bytes>) -> Message {
    Message::new(Header::new(), body)
}

/// Publishes an event with this body.
async fn publish(
    broker: &dyn Broker,
    topic: &Topic,
    body: impl Into<micro_core::Bytes>,
) -> Checked {
    Ok(within("publish", broker.publish(topic, event(body))).await??)
}

/// Subscribes to one topic, without a queue.
async fn subscribe(broker: &dyn Broker, topic: &Topic) -> Checked<Reader> {
    Reader::new(broker, &topic.clone().into(), SubscribeOptions::default()).await
}

/// Subscribes to one topic as a member of a queue.
async fn join(broker: &dyn Broker, topic: &Topic, queue: &str) -> Checked<Reader> {
    let options = SubscribeOptions::default().with_queue(queue);
    Reader::new(broker, &topic.clone().into(), options).await
}

/// A filter, checked.
fn filter(text: impl Into<String>) -> Checked<TopicFilter> {
    Ok(TopicFilter::new(text)?)
}
