//! The backends, and what is known of the services that are asked for.

use std::future::Future;
use std::time::Duration;

use micro::registry::{Service, ServiceName};
use micro::{Client, Error, ErrorKind, Flags, Plugins, RequestState, Result};
use tokio::time::{Instant, Interval, MissedTickBehavior, sleep, timeout};

use crate::failure::Failure;
use crate::{nearest, types};

/// How long a network may take to be there: whoever types a command is told within two seconds.
const REACH: Duration = Duration::from_millis(1500);
/// How often it is looked whether it is.
const GLANCE: Duration = Duration::from_millis(20);
/// How long the command looks around after a failure, for what may help.
const LOOK: Duration = Duration::from_secs(1);
/// How long the last words may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What is used of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Registry,
    Transport,
    Broker,
}

/// The backends that the flags choose.
pub(crate) struct Network {
    pub(crate) client: Client,
}

impl Network {
    /// Opens nothing yet.
    pub(crate) fn new(flags: &Flags, plugins: &Plugins) -> Result<Self, Failure> {
        let flags = flags.clone().or_profile("nats");
        let client = Client::builder().plugins(plugins).flags(&flags);
        // It is about names and addresses that somebody gave.
        Ok(Self { client: client.build().map_err(Failure::usage)? })
    }

    /// Waits for something that needs these parts of the network, but not long where they are not there.
    pub(crate) async fn reach<T>(
        &self,
        parts: &[Part],
        wait: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut wait = std::pin::pin!(wait);
        let limit = Instant::now() + REACH;
        loop {
            match parts.iter().try_for_each(|part| self.health(*part)) {
                // From here on something may have been sent, and only the wait itself knows.
                Ok(()) => return wait.await,
                Err(error) if Instant::now() >= limit => {
                    return Err(error.with_request(RequestState::NotSent));
                }
                Err(_) => {}
            }
            tokio::select! {
                biased;
                done = &mut wait => return done,
                () = sleep(GLANCE) => {}
            }
        }
    }

    /// Tells when this part of the network goes away and comes back, in words.
    pub(crate) fn outages(&self, part: Part) -> Outages<'_> {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Outages { network: self, part, ticks, away: false }
    }

    fn health(&self, part: Part) -> Result<()> {
        match part {
            Part::Registry => self.client.registry().health(),
            Part::Transport => self.client.transport().health(),
            Part::Broker => self.client.broker().health(),
        }
    }

    /// The versions of a service, with a hint where there is none.
    pub(crate) async fn service(&self, name: &ServiceName) -> Result<Vec<Service>, Failure> {
        match self.reach(&[Part::Registry], self.client.registry().get(name)).await {
            Ok(services) => Ok(services),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let hint = self.services_like(name).await;
                Err(Failure::from(error).with_hint(hint))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The versions of a service with every node that answers in time, for whom that matters more than being quick; with a
    /// hint where there is none.
    pub(crate) async fn whole_service(&self, name: &ServiceName) -> Result<Vec<Service>, Failure> {
        let mut services = self.reach(&[Part::Registry], self.client.registry().list()).await?;
        services.retain(|service| service.name == name.as_str());
        // Nothing was missed if it answers now.
        if services.is_empty() { self.service(name).await } else { Ok(services) }
    }

    /// What may have been meant by the name of a service that is not there.
    pub(crate) async fn services_like(&self, name: &ServiceName) -> Option<String> {
        let services = timeout(LOOK, self.client.registry().list()).await.ok()?.ok()?;
        let names = services.iter().map(|service| service.name.as_str());
        nearest::hint(name.as_str(), names, "services there are")
    }

    /// What a call or stream failed with, and what may help: names that are like those which are not there.
    pub(crate) async fn explain(
        &self,
        service: &ServiceName,
        endpoint: &str,
        error: Error,
    ) -> Failure {
        let hint = match (error.kind(), error.request()) {
            (ErrorKind::NotFound, Some(RequestState::NotSent)) => self.services_like(service).await,
            (ErrorKind::NotFound, Some(RequestState::Executed)) => {
                self.endpoints_like(service, endpoint).await
            }
            // It is about what was typed: metadata that belongs to the wire, an address that is none.
            (ErrorKind::InvalidInput, Some(RequestState::NotSent)) if error.id().is_empty() => {
                return Failure::usage(error);
            }
            (_, Some(RequestState::Unknown)) => Some("whether it ran is not known".to_owned()),
            _ => None,
        };
        Failure::from(error).with_hint(hint)
    }

    /// What may have been meant by the name of an endpoint; `None` if it is there: then the handler has not found
    /// something.
    async fn endpoints_like(&self, service: &ServiceName, endpoint: &str) -> Option<String> {
        let services = timeout(LOOK, self.client.registry().get(service)).await.ok()?.ok()?;
        if types::endpoint(&services, endpoint).is_some() {
            return None;
        }
        let names = types::called(&services).map(|endpoint| endpoint.name.as_str());
        nearest::hint(endpoint, names, "its endpoints")
    }

    /// Lets go of everything; whoever was told something last is told, within a bound.
    pub(crate) async fn close(self) {
        if self.health(Part::Transport).is_err() {
            // Nobody hears them.
            return;
        }
        // There is nobody left to tell that it failed.
        let _ = timeout(LAST_WORDS, self.client.flush()).await;
    }
}

/// When a part of the network goes away and comes back.
pub(crate) struct Outages<'a> {
    network: &'a Network,
    part: Part,
    ticks: Interval,
    away: bool,
}

impl Outages<'_> {
    /// The next time that it is gone, or is there again. Cancel safe.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            self.ticks.tick().await;
            match (self.network.health(self.part), self.away) {
                (Err(error), false) => {
                    self.away = true;
                    return format!("{error}; waiting for it");
                }
                (Ok(()), true) => {
                    self.away = false;
                    return "it is back".to_owned();
                }
                _ => {}
            }
        }
    }
}
