//! How streams end when something goes wrong, over a network in memory.
#![cfg(feature = "memory")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod caller;
mod interrupted;
mod lifetime;
mod net;
mod raw;

use std::future::pending;
use std::time::Duration;

use micro::stream::{self, Receiver, Sender};
use micro::{Context, Result, ServiceBuilder};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// For what must come sooner or later.
const LIMIT: Duration = Duration::from_secs(20);

/// What handlers say, and that they are gone, however they went.
type Said = mpsc::Receiver<String>;

#[derive(Clone)]
struct Tell(mpsc::Sender<String>);

impl Tell {
    fn new() -> (Self, Said) {
        let (tell, said) = mpsc::channel(100_000);
        (Self(tell), said)
    }

    fn say(&self, what: impl Into<String>) {
        let _ = self.0.try_send(what.into());
    }
}

/// Says that its handler is gone.
struct Gone(Tell);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.say("gone");
    }
}

async fn hears(said: &mut Said, what: &str) {
    let next = timeout(LIMIT, said.recv()).await.expect("nothing was heard in time");
    assert_eq!(next.as_deref(), Some(what));
}

/// Adds up what comes; says each number, and the sum when all has come.
fn sums(service: ServiceBuilder, tell: &Tell) -> ServiceBuilder {
    let tell = tell.clone();
    let sum = move |_: Context, mut numbers: Receiver<u32>| {
        let tell = tell.clone();
        async move {
            let _gone = Gone(tell.clone());
            tell.say("begun");
            let mut sum = 0;
            while let Some(number) = numbers.recv().await? {
                tell.say(number.to_string());
                sum += number;
            }
            tell.say(format!("sum {sum}"));
            Ok(sum)
        }
    };
    service.stream_handler("S.Sum", stream::client_streaming(sum))
}

/// Serves `S.Wait`, which ends only when it is ended.
fn waits(service: ServiceBuilder, tell: &Tell) -> ServiceBuilder {
    let tell = tell.clone();
    let wait = move |_: Context, numbers: Receiver<u32>, sender: Sender<u32>| {
        let tell = tell.clone();
        async move {
            let _gone = Gone(tell.clone());
            tell.say("begun");
            let _held = (numbers, sender);
            pending::<Result<()>>().await
        }
    };
    service.stream_handler("S.Wait", stream::bidirectional(wait))
}
