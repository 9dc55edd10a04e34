//! `micro subscribe`: events as they come.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use micro::Error;
use micro::broker::{
    Broker, Delivery, Message, SubscribeOptions, Subscription, Topic, TopicFilter,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::task::coop::consume_budget;
use tokio::time::timeout;

use crate::args::Subscribe;
use crate::console::{Console, Paint, Terminal};
use crate::failure::Failure;
use crate::network::{Network, Part};
use crate::{format, json};

/// How long an event takes that comes back, at most.
const ECHO: Duration = Duration::from_secs(1);

/// An event as programs read it.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    header: &'a micro::Header,
    #[serde(flatten)]
    body: Body<'a>,
}

/// A body is the JSON that it is, else a text, else bytes.
#[derive(Serialize)]
enum Body<'a> {
    #[serde(rename = "body")]
    Json(&'a RawValue),
    #[serde(rename = "text")]
    Text(&'a str),
    #[serde(rename = "base64")]
    Bytes(String),
}

pub(crate) async fn run(
    args: &Subscribe,
    network: &Network,
    console: &mut Console,
) -> Result<(), Failure> {
    let mut options = SubscribeOptions::default();
    options.queue.clone_from(&args.queue);
    options.check().map_err(Failure::usage)?;
    let broker = network.client.broker();
    let subscribing = network.reach(&[Part::Broker], async {
        let subscription = broker.subscribe(&args.topic, options).await?;
        broker.flush().await?;
        // From here on nothing is missed.
        in_place(&**broker).await?;
        Ok(subscription)
    });
    let mut events = console.terminal().waiting("subscribing", subscribing).await?;
    console.say(format_args!("subscribed to {}", args.topic));
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut outages = network.outages(Part::Broker);
    while left > 0 {
        // Ctrl-C has its turn, however much comes.
        consume_budget().await;
        let next = match events.next().now_or_never() {
            Some(next) => next,
            None => {
                console.out().flush()?;
                tokio::select! {
                    next = events.next() => next,
                    outage = outages.next() => {
                        console.say(outage);
                        continue;
                    }
                }
            }
        };
        match next {
            Some(Ok(event)) => {
                print(args, &event, console)?;
                // There is nobody to tell if that fails: it is printed.
                let _ = event.ack().await;
                left -= 1;
            }
            // It says how many were lost; those that come are still good.
            Some(Err(error)) => console.error(&error),
            None => return Err(Error::unavailable("the broker was closed").into()),
        }
    }
    if args.queue.is_some() {
        console.out().flush()?;
        beyond(&mut events, console).await;
    }
    Ok(())
}

/// Waits until what was subscribed before is subscribed: until an event to a topic of its own has come back. Where that is
/// not allowed, for as long as it would have taken.
async fn in_place(broker: &dyn Broker) -> micro::Result<()> {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let topic = format!("micro-cli.{}.{}", std::process::id(), since.as_nanos());
    let mut echo =
        broker.subscribe(&TopicFilter::new(&topic)?, SubscribeOptions::default()).await?;
    broker.publish(&Topic::new(topic)?, Message::default()).await?;
    broker.flush().await?;
    // Late or never, it says no more than that.
    let _ = timeout(ECHO, echo.next()).await;
    Ok(())
}

/// Says how many events were delivered to this member of a queue beyond those that were wanted: no other member gets them.
async fn beyond(events: &mut Subscription, console: &mut Console) {
    if let Err(error) = events.close().await {
        console.error(&error);
    }
    let mut beyond = 0_u64;
    // It has an end now.
    while let Some(event) = events.next().await {
        beyond += u64::from(event.is_ok());
    }
    if beyond > 0 {
        console.hint(format_args!(
            "{beyond} more events of the queue were delivered here, and are lost to its other members"
        ));
    }
}

fn print(args: &Subscribe, event: &Delivery, console: &mut Console) -> io::Result<()> {
    let (topic, body): (_, &Bytes) = (event.topic.as_str(), &event.message.body);
    let terminal = console.terminal();
    if args.raw {
        return console.out().write_all(body);
    }
    if args.json {
        let line = Line { topic, header: &event.message.header, body: shown(body) };
        let line = serde_json::to_vec(&line)?;
        return format::print(console, &line, false);
    }
    if terminal.stdout && args.topic.has_wildcards() {
        let topic = terminal.on_stdout(&Terminal::clean(topic), Paint::Name);
        write!(console.out(), "{topic} ")?;
    }
    format::print(console, body, false)
}

fn shown(body: &[u8]) -> Body<'_> {
    match (json::flaw(body), serde_json::from_slice(body), std::str::from_utf8(body)) {
        (None, Ok(raw), _) => Body::Json(raw),
        (_, _, Ok(text)) => Body::Text(text),
        _ => Body::Bytes(base64_simd::STANDARD.encode_to_string(body)),
    }
}
