//! What a responder says, in records and messages of DNS.

use std::net::IpAddr;

use simple_dns::rdata::{A, AAAA, NSEC, PTR, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, ResourceRecord, TYPE};

use crate::dns;
use crate::links::Link;
use crate::own::Announcement;

/// The largest packet that is sent: what goes through every network in one piece, since IPv6 asks
/// for an MTU of 1280 bytes, less its header of 40 bytes and that of UDP of 8.
pub(crate) const MAX_PACKET: usize = 1232;
/// Seconds for which a record is believed without hearing of it. RFC 6762, 10 recommends 120 for
/// what may move, and 75 minutes for other records, which would show those who died for as long.
pub(crate) const TTL: u32 = 120;
/// The same for who asks from another port, and may know nothing of goodbyes (RFC 6762, 6.7).
const TTL_ONE_SHOT: u32 = 10;
/// Under this name every service type of a network is listed (RFC 6763, 9).
const ALL_TYPES: &str = "_services._dns-sd._udp.local.";

/// The names that all instances of a registry have in common.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) service_type: Name<'static>,
    pub(crate) host: Name<'static>,
    pub(crate) all_types: Name<'static>,
}

/// An instance, as its records have it.
#[derive(Debug)]
pub(crate) struct Instance {
    pub(crate) name: Name<'static>,
    pub(crate) is_local: bool,
    port: u16,
    txt: TXT<'static>,
}

/// What is said at once.
#[derive(Debug, Default)]
pub(crate) struct Response<'a> {
    pub(crate) answers: Vec<ResourceRecord<'a>>,
    /// What is worth knowing beside; left out where there is no room.
    pub(crate) additional: Vec<ResourceRecord<'a>>,
}

impl Instance {
    pub(crate) fn new(announcement: &Announcement, names: &Names) -> Self {
        let Announcement { label, port, is_local, txt } = announcement;
        let mut strings = TXT::new();
        for (key, value) in txt {
            // None of them is too long: see `record`.
            let _ = strings.add_attribute(key, Some(value));
        }
        let name = dns::instance(label, &names.service_type);
        Self { name, is_local: *is_local, port: *port, txt: strings }
    }

    /// Whether it is told there: who cannot be reached is not shown.
    pub(crate) fn is_on(&self, link: &Link) -> bool {
        link.is_loopback || !self.is_local
    }
}

impl Names {
    pub(crate) fn new(service_type: &str, host: &str) -> Self {
        let [service_type, host, all_types] = [service_type, host, ALL_TYPES].map(dns::name);
        Self { service_type, host, all_types }
    }

    /// That the service type is one.
    pub(crate) fn type_listed(&self) -> ResourceRecord<'_> {
        shared(&self.all_types, PTR(self.service_type.clone()))
    }

    /// All records of the instance.
    pub(crate) fn all<'a>(&'a self, instance: &'a Instance) -> Response<'a> {
        let answers = vec![self.listed(instance), self.server(instance), self.text(instance)];
        Response { answers, additional: Vec::new() }
    }

    /// That the instance is one of the type.
    pub(crate) fn listed<'a>(&'a self, instance: &'a Instance) -> ResourceRecord<'a> {
        shared(&self.service_type, PTR(instance.name.clone()))
    }

    /// Where the instance is.
    pub(crate) fn server<'a>(&'a self, instance: &'a Instance) -> ResourceRecord<'a> {
        let (port, target) = (instance.port, self.host.clone());
        unique(&instance.name, RData::SRV(SRV { priority: 0, weight: 0, port, target }))
    }

    /// What the instance says.
    pub(crate) fn text<'a>(&self, instance: &'a Instance) -> ResourceRecord<'a> {
        unique(&instance.name, RData::TXT(instance.txt.clone()))
    }

    /// Where the host is, as seen on this link.
    pub(crate) fn addresses(&self, link: &Link) -> Vec<ResourceRecord<'_>> {
        let address = |ip: &IpAddr| {
            let data = match *ip {
                IpAddr::V4(v4) => RData::A(A::from(v4)),
                IpAddr::V6(v6) => RData::AAAA(AAAA::from(v6)),
            };
            unique(&self.host, data)
        };
        link.addresses.iter().map(address).collect()
    }

    /// That the name has these records and no others.
    pub(crate) fn nothing_else<'a>(
        &self,
        name: &'a Name<'a>,
        types: &[TYPE],
    ) -> ResourceRecord<'a> {
        unique(name, RData::NSEC(NSEC::from_types(name.clone(), types)))
    }
}

/// Others have records of this name too.
fn shared<'a>(name: &'a Name<'a>, data: PTR<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name.clone(), CLASS::IN, TTL, RData::PTR(data))
}

/// Nobody else has: whoever caches forgets what was before.
fn unique<'a>(name: &'a Name<'a>, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(name.clone(), CLASS::IN, TTL, data).with_cache_flush(true)
}

impl Response<'_> {
    pub(crate) fn for_everybody(self) -> Vec<u8> {
        self.write(&Packet::new_reply(0))
    }

    /// That what it says is no more.
    pub(crate) fn goodbye(mut self) -> Vec<u8> {
        self.answers.iter_mut().for_each(|record| record.ttl = 0);
        self.for_everybody()
    }

    /// To whoever asked alone, from the port of multicast DNS or from one of their own.
    pub(crate) fn for_one(mut self, query: &Packet<'_>, is_one_shot: bool) -> Vec<u8> {
        let mut head = Packet::new_reply(query.id());
        if is_one_shot {
            for record in self.answers.iter_mut().chain(&mut self.additional) {
                record.ttl = record.ttl.min(TTL_ONE_SHOT);
                record.cache_flush = false;
            }
            // The others have responses of their own.
            let is_answered = |q: &&Question<'_>| self.answers.iter().any(|r| r.name == q.qname);
            head.questions.extend(query.questions.iter().find(is_answered).cloned());
        }
        self.write(&head)
    }

    fn write(mut self, head: &Packet<'_>) -> Vec<u8> {
        loop {
            let mut packet = Packet::new_reply(head.id());
            packet.set_flags(PacketFlag::AUTHORITATIVE_ANSWER);
            packet.questions.clone_from(&head.questions);
            packet.answers.clone_from(&self.answers);
            packet.additional_records.clone_from(&self.additional);
            // There is nothing in it that cannot be written.
            let message = packet.build_bytes_vec_compressed().unwrap_or_default();
            // The last of the answers are addresses, of which some do.
            if message.len() <= MAX_PACKET
                || self.additional.pop().or_else(|| self.answers.pop()).is_none()
            {
                return message;
            }
        }
    }
}
