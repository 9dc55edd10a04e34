//! Who tells what is registered here and answers who asks for it, by the rules of RFC 6762 and
//! RFC 6763: without I/O and without a clock.

mod wanted;

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use simple_dns::{Packet, PacketFlag, ResourceRecord, TYPE};
use tokio::time::Instant;

use self::wanted::{Host, Parts, Wanted};
use crate::allowance::Rate;
use crate::links::{Link, LinkId};
use crate::message::{Instance, Names, Response, TTL};
use crate::own::Announcement;

/// What is said to everybody is not said again for so long (RFC 6762, 6).
const SAID_ONCE_IN: Duration = Duration::from_secs(1);
/// Who wants to have a name is told so often whose it is (RFC 6762, 6).
const DEFENDED_ONCE_IN: Duration = Duration::from_millis(250);
/// So many packets go to single askers in a second; more hear it with everybody.
const ALONE: usize = 2_000;
/// Milliseconds: of many who know answers to one question, not all speak at once (RFC 6762, 6).
const DELAY: Range<u64> = 20..120;
/// Milliseconds: who says that more of what they know follows is heard out (RFC 6762, 7.2).
const DELAY_IF_MORE: Range<u64> = 400..500;

/// A message, and whom it goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) to: To,
    pub(crate) message: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    Everybody(LinkId),
    One(SocketAddr),
}

/// The instances that are told, and what is yet to be answered.
#[derive(Debug)]
pub(crate) struct Responder {
    names: Names,
    /// From another port asks who hears nothing of what is said to everybody.
    port: u16,
    /// By their labels in lower case: names have no case.
    told: BTreeMap<String, Told>,
    host_said: Said,
    type_said: Said,
    alone: Rate,
    /// At most one for each link.
    delayed: Vec<Delayed>,
}

#[derive(Debug)]
struct Told {
    instance: Instance,
    /// What it said before, and when.
    before: Option<(Instance, Said)>,
    said: Said,
}

/// When something was last said to everybody, on each link.
#[derive(Debug, Default)]
struct Said(Vec<(LinkId, Instant)>);

/// What was asked for, and will be answered soon.
#[derive(Debug)]
struct Delayed {
    link: LinkId,
    at: Instant,
    /// Who asked, if it is one alone.
    from: Option<SocketAddr>,
    wanted: Wanted,
}

impl Responder {
    pub(crate) fn new(service_type: &str, host: &str, port: u16, now: Instant) -> Self {
        Self {
            names: Names::new(service_type, host),
            port,
            told: BTreeMap::new(),
            host_said: Said::default(),
            type_said: Said::default(),
            alone: Rate::new(ALONE, Duration::from_secs(1), now),
            delayed: Vec::new(),
        }
    }

    /// Tells everybody of an instance, or what it says now.
    pub(crate) fn announce(
        &mut self,
        announcement: &Announcement,
        links: &[Link],
        now: Instant,
    ) -> Vec<Outgoing> {
        let instance = Instance::new(announcement, &self.names);
        let mut said = Said::default();
        let mut outgoing = Vec::new();
        for link in links.iter().filter(|link| instance.is_on(link)) {
            said.note(link.id, now);
            let mut response = self.names.all(&instance);
            response.answers.extend(self.names.addresses(link));
            outgoing.push(to_everybody(link, response.for_everybody()));
        }
        let key = key(&announcement.label);
        let before = self.told.remove(&key).map(|told| (told.instance, told.said));
        self.told.insert(key, Told { instance, before, said });
        outgoing
    }

    /// Tells everybody that an instance is no more.
    pub(crate) fn withdraw(&mut self, label: &str, links: &[Link], now: Instant) -> Vec<Outgoing> {
        let Some(Told { instance, before, .. }) = self.told.remove(&key(label)) else {
            return Vec::new();
        };
        let mut outgoing = Vec::new();
        for link in links.iter().filter(|link| instance.is_on(link)) {
            let mut response = self.names.all(&instance);
            // Where nobody else is on the host, nobody need know where it is.
            if !self.told.values().any(|told| told.instance.is_on(link)) {
                response.answers.extend(self.names.addresses(link));
            }
            outgoing.push(to_everybody(link, response.goodbye()));
            // Whoever heard that less than a second before the last has not forgotten it.
            if let Some((before, said)) = &before
                && said.within(2 * SAID_ONCE_IN, link.id, now)
            {
                let answers = vec![self.names.text(before)];
                let response = Response { answers, ..Response::default() };
                outgoing.push(to_everybody(link, response.goodbye()));
            }
        }
        outgoing
    }

    /// What to answer at once.
    pub(crate) fn hear(
        &mut self,
        query: &Packet<'_>,
        from: SocketAddr,
        link: &Link,
        now: Instant,
    ) -> Vec<Outgoing> {
        let known: HashSet<_> = query.answers.iter().filter(|r| r.ttl >= TTL / 2).collect();
        if query.questions.is_empty() {
            self.hear_known(&known, from, link);
            return Vec::new();
        }
        let mut wanted = Wanted::default();
        for question in &query.questions {
            wanted.ask(question, &self.names, &self.told, link);
        }
        wanted.forget(&known, &self.names, &self.told, link);
        let is_one_shot = from.port() != self.port;
        let is_private = is_one_shot || query.questions.iter().all(|q| q.unicast_response);
        // Who is no neighbour may be somebody who never asked, as who asks and asks.
        if is_private && link.reaches(from.ip()) && self.alone.left(now) > 0 {
            let responses = self.responses(&wanted, link).into_iter();
            let to_one = |response: Response<'_>| Outgoing {
                to: To::One(from),
                message: response.for_one(query, is_one_shot),
            };
            let outgoing: Vec<_> = responses.map(to_one).collect();
            self.alone.take(outgoing.len());
            return outgoing;
        }
        if wanted.is_shared() {
            let more = query.has_flags(PacketFlag::TRUNCATION);
            self.delay(wanted, from, link, more, now);
            return Vec::new();
        }
        // Who wants to have a name has to hear soon whose it is.
        let is_probe = !query.name_servers.is_empty();
        let once_in = if is_probe { DEFENDED_ONCE_IN } else { SAID_ONCE_IN };
        self.say(&mut wanted, link, once_in, now)
    }

    /// What to answer now, of what was asked before.
    pub(crate) fn due(&mut self, links: &[Link], now: Instant) -> Vec<Outgoing> {
        let mut outgoing = Vec::new();
        while let Some(due) = self.delayed.iter().position(|delayed| delayed.at <= now) {
            let Delayed { link, mut wanted, .. } = self.delayed.swap_remove(due);
            // It may have gone in the meantime.
            if let Some(link) = links.iter().find(|there| there.id == link) {
                outgoing.extend(self.say(&mut wanted, link, SAID_ONCE_IN, now));
            }
        }
        outgoing
    }

    /// When [`due`](Self::due) has something to say.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.delayed.iter().map(|delayed| delayed.at).min()
    }

    /// The rest of what somebody knows who has asked before.
    fn hear_known(&mut self, known: &HashSet<&ResourceRecord<'_>>, from: SocketAddr, link: &Link) {
        let is_theirs = |d: &Delayed| d.link == link.id && d.from == Some(from);
        if let Some(delayed) = self.delayed.iter_mut().find(|delayed| is_theirs(delayed)) {
            delayed.wanted.forget(known, &self.names, &self.told, link);
        }
    }

    fn delay(&mut self, wanted: Wanted, from: SocketAddr, link: &Link, more: bool, now: Instant) {
        if let Some(delayed) = self.delayed.iter_mut().find(|delayed| delayed.link == link.id) {
            delayed.wanted.add(wanted);
            delayed.from = delayed.from.filter(|before| *before == from);
            return;
        }
        let delay = Duration::from_millis(fastrand::u64(if more { DELAY_IF_MORE } else { DELAY }));
        self.delayed.push(Delayed { link: link.id, at: now + delay, from: Some(from), wanted });
    }

    /// Says it to everybody, but for what they have just heard.
    fn say(
        &mut self,
        wanted: &mut Wanted,
        link: &Link,
        once_in: Duration,
        now: Instant,
    ) -> Vec<Outgoing> {
        let is_news = |said: &mut Said| {
            let is_news = !said.within(once_in, link.id, now);
            if is_news {
                said.note(link.id, now);
            }
            is_news
        };
        wanted.service_type = wanted.service_type && is_news(&mut self.type_said);
        if wanted.host != Host::default() && !is_news(&mut self.host_said) {
            wanted.host = Host::default();
        }
        let told = &mut self.told;
        wanted.instances.retain(|key, _| told.get_mut(key).is_some_and(|t| is_news(&mut t.said)));
        let responses = self.responses(wanted, link).into_iter();
        responses.map(|response| to_everybody(link, response.for_everybody())).collect()
    }

    /// One for each name, so that none is too large.
    fn responses(&self, wanted: &Wanted, link: &Link) -> Vec<Response<'_>> {
        let mut responses = Vec::new();
        if wanted.service_type {
            let answers = vec![self.names.type_listed()];
            responses.push(Response { answers, ..Response::default() });
        }
        if wanted.host != Host::default() {
            responses.push(self.host(wanted.host, link));
        }
        for (key, parts) in &wanted.instances {
            // It may have been withdrawn in the meantime.
            if let Some(Told { instance, .. }) = self.told.get(key) {
                responses.push(self.instance(instance, *parts, link));
            }
        }
        responses
    }

    fn host(&self, host: Host, link: &Link) -> Response<'_> {
        let addresses = self.names.addresses(link);
        let types: Vec<_> = addresses.iter().map(|record| record.rdata.type_code()).collect();
        let is_asked = |record: &ResourceRecord<'_>| match record.rdata.type_code() {
            TYPE::A => host.v4,
            _ => host.v6,
        };
        let (mut answers, additional): (Vec<_>, Vec<_>) = addresses.into_iter().partition(is_asked);
        let is_missing = |asked: bool, kind: TYPE| asked && !types.contains(&kind);
        if host.others || is_missing(host.v4, TYPE::A) || is_missing(host.v6, TYPE::AAAA) {
            answers.push(self.names.nothing_else(&self.names.host, &types));
        }
        Response { answers, additional }
    }

    fn instance<'a>(&'a self, instance: &'a Instance, parts: Parts, link: &Link) -> Response<'a> {
        let names = &self.names;
        let (mut answers, mut additional) = (Vec::new(), Vec::new());
        let mut place = |is_asked: bool, is_worth_it: bool, record: ResourceRecord<'a>| {
            if is_asked {
                answers.push(record);
            } else if is_worth_it {
                additional.push(record);
            }
        };
        place(parts.listed, false, names.listed(instance));
        place(parts.server, parts.listed, names.server(instance));
        place(parts.text, parts.listed, names.text(instance));
        let nothing_else = names.nothing_else(&instance.name, &[TYPE::TXT, TYPE::SRV]);
        place(parts.others, false, nothing_else);
        if parts.listed || parts.server {
            additional.extend(names.addresses(link));
        }
        Response { answers, additional }
    }
}

impl Said {
    fn note(&mut self, link: LinkId, now: Instant) {
        self.0.retain(|(other, at)| *other != link && *at + 2 * SAID_ONCE_IN > now);
        self.0.push((link, now));
    }

    fn within(&self, time: Duration, link: LinkId, now: Instant) -> bool {
        self.0.iter().any(|(other, at)| *other == link && *at + time > now)
    }
}

fn to_everybody(link: &Link, message: Vec<u8>) -> Outgoing {
    Outgoing { to: To::Everybody(link.id), message }
}

fn key(label: &str) -> String {
    label.to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
