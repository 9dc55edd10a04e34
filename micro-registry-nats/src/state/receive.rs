//! What a message that came means.

use micro_nats::async_nats::Subject;
use tokio::time::Instant;
use tracing::warn;

use super::{ASK_PAUSE, Incoming, MAX_OUTGOING, Outgoing, Source, State, is_time};
use crate::config::Options;
use crate::members::{Beat, NodeKey};
use crate::message::{
    Event, Garbage, Heartbeat, Target, Told, decode_announcement, decode_answer, decode_query,
};
use crate::subjects::may_answer_to;

impl State {
    /// Takes in one message. Nothing that comes can do more harm than to be dropped and counted.
    pub(crate) fn receive(&mut self, message: Incoming<'_>, now: Instant) {
        if let Err(garbage) = self.take_in(message, now) {
            self.drop_garbage(message.subject, garbage, now);
        }
    }

    fn take_in(&mut self, message: Incoming<'_>, now: Instant) -> Result<(), Garbage> {
        if message.nobody {
            if let Some(token) = self.queries.token_of(message.subject) {
                self.queries.nobody(token);
            }
            return Ok(());
        }
        if message.payload.len() > self.options.max_message {
            return Err(Garbage("a message larger than allowed"));
        }
        match message.source {
            Source::Answers => self.take_answer(message, now),
            Source::Queries => self.take_query(message, now),
            Source::Announcements => self.take_announcement(message.payload, now),
            Source::Heartbeats => self.take_heartbeat(message, now),
        }
    }

    fn take_answer(&mut self, message: Incoming<'_>, now: Instant) -> Result<(), Garbage> {
        let told = decode_answer(message.payload)?;
        if let Some(token) = self.queries.token_of(message.subject) {
            self.queries.answer(token, &told.service, now);
        }
        self.remember(told, now);
        Ok(())
    }

    fn take_query(&mut self, message: Incoming<'_>, now: Instant) -> Result<(), Garbage> {
        let question = decode_query(message.payload)?;
        let reply = message.reply.ok_or(Garbage("a query without a reply subject"))?;
        if let Some(id) = question.id {
            if self.ids.is_ours(&id) {
                self.take_own_query(reply, &question.target, now);
                return Ok(());
            }
            // With the reply subject, which only the asker knows, so that nobody else can make
            // us believe that it was answered.
            if !self.recent.is_new(format!("{id} {reply}")) {
                return Ok(());
            }
        }
        let somebody_listens = self.own.is_address(reply) || self.members.is_address(reply);
        if somebody_listens || !may_answer_to(reply) {
            return Err(Garbage("a query whose reply subject must not be answered on"));
        }
        let reply = Subject::from(reply);
        for payload in self.own.answers(&question.target, self.max_payload) {
            if self.outgoing.len() >= MAX_OUTGOING {
                return Err(Garbage("more queries than can be answered"));
            }
            let subject = reply.clone();
            self.outgoing.push_back(Outgoing { subject, reply: None, payload, token: None });
        }
        Ok(())
    }

    /// What is registered here answers queries from here, as if it had been another's.
    fn take_own_query(&mut self, reply: &str, target: &Target, now: Instant) {
        let Some(token) = self.queries.token_of(reply) else {
            return;
        };
        for service in self.own.matching(target) {
            self.queries.answer(token, &service, now);
        }
    }

    fn take_announcement(&mut self, payload: &[u8], now: Instant) -> Result<(), Garbage> {
        let announcement = decode_announcement(payload)?;
        if let Some(id) = announcement.id {
            // What we said is known here, and what came back late may be true no more.
            if self.ids.is_ours(&id) || !self.recent.is_new(id) {
                return Ok(());
            }
        }
        match announcement.event {
            Event::Put(told) => self.remember(told, now),
            Event::Delete(service) => {
                for node in &service.nodes {
                    let key = NodeKey::new(&service.version, &node.id);
                    if self.own.holds(&service.name, &key) {
                        self.own.contradict(&service.name, &key, now);
                    } else {
                        self.members.remove(&service.name, &key);
                    }
                }
            }
        }
        Ok(())
    }

    fn take_heartbeat(&mut self, message: Incoming<'_>, now: Instant) -> Result<(), Garbage> {
        let name = self.subjects.service_of(message.subject).unwrap_or_default().to_owned();
        let heartbeat = Heartbeat::decode(message.payload)?;
        let key = NodeKey::new(heartbeat.version(), heartbeat.id());
        if self.own.holds(&name, &key) {
            return Ok(());
        }
        self.own.heard(&name, key, now + heartbeat.lease());
        if !self.interest.covers(&name) {
            return Ok(());
        }
        match self.members.beat(&name, &heartbeat, now) {
            Beat::Renewed => {}
            Beat::NoRoom => self.warn_full(1, now),
            Beat::News => self.ask_for_news(&name, now),
        }
        Ok(())
    }

    /// Keeps what was told of nodes of others, if somebody watches them.
    fn remember(&mut self, mut told: Told, now: Instant) {
        if !self.interest.covers(&told.service.name) {
            return;
        }
        // Of what is registered here nobody else knows more.
        let nodes = std::mem::take(&mut told.service.nodes);
        let others = nodes.into_iter().filter(|node| {
            let key = NodeKey::new(&told.service.version, &node.id);
            !self.own.holds(&told.service.name, &key)
        });
        told.service.nodes = others.collect();
        let refused = self.members.insert(told, now);
        if refused > 0 {
            self.warn_full(refused, now);
        }
    }

    fn ask_for_news(&mut self, name: &str, now: Instant) {
        self.asked.retain(|_, at| now < *at + ASK_PAUSE);
        if !self.asked.contains_key(name) && self.queries.ask(name, Vec::new()) {
            self.asked.insert(name.to_owned(), now);
        }
    }

    fn drop_garbage(&mut self, subject: &str, Garbage(why): Garbage, now: Instant) {
        self.dropped += 1;
        if is_time(&mut self.warned, now) {
            warn!(subject, why, dropped = self.dropped, "message dropped");
        }
    }

    fn warn_full(&mut self, refused: usize, now: Instant) {
        if is_time(&mut self.warned_full, now) {
            let Options { max_nodes, max_bytes, .. } = self.options;
            warn!(refused, max_nodes, max_bytes, "no room for more nodes: watchers miss some");
        }
    }
}
