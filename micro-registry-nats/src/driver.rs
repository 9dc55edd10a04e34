//! The one background task of a registry: it carries messages between its state and NATS.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use micro_core::transport::Refused;
use micro_core::{LogThrottle, Result};
use micro_nats::async_nats::{Message, StatusCode, Subscriber};
use micro_nats::{Nats, State as Connection};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};
use tokio_stream::StreamMap;
use tracing::{debug, error};

use crate::state::{Incoming, Outgoing, Source, State};

/// How many messages are taken in before watchers are told of them.
const BATCH: usize = 256;
/// More answers than a subscription holds are never ready at once.
const MOST_ANSWERS: usize = 100_000;
/// Until a subscription that failed is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// A sleep without anything to wake for.
const LONG: Duration = Duration::from_secs(3600);

/// What the handles and the task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) nats: Nats,
    state: Mutex<State>,
    changed: Notify,
    /// The last revision of the state of which everything was handed to NATS.
    done: watch::Sender<u64>,
    too_large: LogThrottle,
}

impl Shared {
    pub(crate) fn new(nats: Nats, state: State) -> Self {
        Self {
            nats,
            state: Mutex::new(state),
            changed: Notify::new(),
            done: watch::Sender::new(0),
            too_large: LogThrottle::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // What panicked was not the state: it has no step that leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state has changed: the task has to look.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Until everything up to this revision was handed to NATS; not bounded.
    pub(crate) async fn done(&self, revision: u64) {
        // The sender lives as long as this does.
        let _ = self.done.subscribe().wait_for(|done| *done >= revision).await;
    }
}

/// Works until it is aborted. Cancel safe: whoever starts another one goes on with the same state.
pub(crate) async fn drive(shared: Arc<Shared>) {
    let mut states = shared.nats.states();
    let mut subscriptions = Subscriptions::default();
    loop {
        // It is ready again and again under load, and others want the thread too.
        tokio::task::consume_budget().await;
        let connection = *states.borrow_and_update();
        if connection == Connection::Closed {
            // For good, and with it whatever there was to do.
            shared.state().disconnected();
            return;
        }
        let now = Instant::now();
        let (mut wake, wanted, revision) = {
            let mut state = shared.state();
            match connection {
                Connection::Connected { epoch } => {
                    state.connected(epoch, shared.nats.max_payload(), now);
                }
                _ => state.disconnected(),
            }
            let wake = state.advance(now).unwrap_or(now + LONG);
            (wake, state.wanted(), state.revision())
        };
        let connected = matches!(connection, Connection::Connected { .. });
        let mut blocked = false;
        if connected {
            // Before anything is sent whose answers or consequences come there.
            if let Err(error) = subscriptions.become_these(wanted, &shared.nats).await {
                debug!(%error, "a subscription of the registry failed; it is tried again");
                wake = wake.min(Instant::now() + RETRY);
            } else {
                blocked = flush(&shared);
                if !blocked {
                    shared
                        .done
                        .send_if_modified(|done| std::mem::replace(done, revision) != revision);
                }
                // A query that has just left has an end that was not known before.
                if let Some(next) = shared.state().advance(Instant::now()) {
                    wake = wake.min(next);
                }
            }
        }
        tokio::select! {
            batch = subscriptions.next() => receive(&shared, batch),
            () = shared.changed.notified() => {}
            // The sender lives as long as the connection that is shared.
            _ = states.changed() => {}
            room = shared.nats.ready(), if blocked => {
                if room.is_err() {
                    tokio::time::sleep(RETRY).await;
                }
            }
            () = sleep_until(wake) => {}
        }
    }
}

/// Sends what there is; true if there is more than there is room for.
fn flush(shared: &Shared) -> bool {
    let mut state = shared.state();
    while let Some(Outgoing { subject, reply, payload, token }) = state.pop_outgoing() {
        match shared.nats.try_publish(subject.clone(), reply.clone(), payload) {
            Ok(()) => {
                if let Some(token) = token {
                    state.sent(token, Instant::now());
                }
            }
            Err(Refused::TooLarge(payload)) => {
                let (size, limit) = (payload.len(), shared.nats.max_payload());
                // Whoever asks could make it happen as often as they like.
                if let Some(count) = shared.too_large.count() {
                    error!(%subject, size, limit, count, "too large to be sent: it reaches nobody");
                }
            }
            Err(Refused::Closed(_)) => debug!(%subject, "the connection took no message"),
            Err(Refused::Full(payload)) => {
                state.push_back(Outgoing { subject, reply, payload, token });
                return true;
            }
            Err(_) => debug!(%subject, "the connection took no message"),
        }
    }
    false
}

fn receive(shared: &Shared, batch: Vec<(Source, Message)>) {
    let now = Instant::now();
    let mut state = shared.state();
    for (source, message) in &batch {
        let incoming = Incoming {
            source: *source,
            subject: &message.subject,
            reply: message.reply.as_deref(),
            payload: &message.payload,
            nobody: message.status == Some(StatusCode::NO_RESPONDERS),
        };
        state.receive(incoming, now);
    }
}

#[derive(Default)]
struct Subscriptions {
    answers: Option<(String, Subscriber)>,
    others: StreamMap<(Source, String), Subscriber>,
}

impl Subscriptions {
    /// Subscribes what is missing, then ends what is no longer wanted.
    async fn become_these(
        &mut self,
        wanted: BTreeSet<(Source, String)>,
        nats: &Nats,
    ) -> Result<()> {
        for key in &wanted {
            let (source, subject) = key;
            if *source == Source::Answers {
                if self.answers.is_none() {
                    let subscriber = nats.subscribe(subject, None).await?;
                    self.answers = Some((subject.clone(), subscriber));
                }
            } else if !self.others.contains_key(key) {
                let subscriber = nats.subscribe(subject, None).await?;
                self.others.insert(key.clone(), subscriber);
            }
        }
        let unwanted = self.others.keys().filter(|key| !wanted.contains(key));
        for key in unwanted.cloned().collect::<Vec<_>>() {
            self.others.remove(&key);
        }
        if let Some((subject, _)) = &self.answers
            && !wanted.contains(&(Source::Answers, subject.clone()))
        {
            self.answers = None;
        }
        Ok(())
    }

    /// What has come, in an order in which the answers of a node that were sent before its
    /// announcement come before it. Otherwise an answer could bring back who has said goodbye.
    /// Cancel safe: what is taken is returned in the same poll.
    async fn next(&mut self) -> Vec<(Source, Message)> {
        // A budget that is used up would make answers look as if they had not come yet.
        tokio::task::unconstrained(poll_fn(|cx| self.poll_next(cx))).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(Source, Message)>> {
        let mut others = Vec::new();
        while others.len() < BATCH {
            match self.others.poll_next_unpin(cx) {
                Poll::Ready(Some(((source, _), message))) => others.push((source, message)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        // After the others were taken: whatever came before one of them is there by now.
        let mut batch = Vec::new();
        while let Some((_, answers)) = &mut self.answers
            && batch.len() < MOST_ANSWERS
        {
            match std::pin::Pin::new(answers).poll_next(cx) {
                Poll::Ready(Some(message)) => batch.push((Source::Answers, message)),
                Poll::Ready(None) => self.answers = None,
                Poll::Pending => break,
            }
        }
        batch.append(&mut others);
        if batch.is_empty() { Poll::Pending } else { Poll::Ready(batch) }
    }
}
