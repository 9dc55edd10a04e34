//! What is asked for of what is told here.

use std::collections::{BTreeMap, HashSet};

use simple_dns::{Question, ResourceRecord, TYPE};

use super::{Told, key};
use crate::dns::{asks, label_of};
use crate::links::Link;
use crate::message::Names;

/// The names, and which records of each.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// That there are instances of the type.
    pub(super) service_type: bool,
    pub(super) host: Host,
    /// By the keys of those that are told.
    pub(super) instances: BTreeMap<String, Parts>,
    /// That they were all listed already: a question may be repeated a thousand times.
    all: bool,
}

/// Which records of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) v4: bool,
    pub(super) v6: bool,
    /// Whether it has others.
    pub(super) others: bool,
}

/// Which records of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) listed: bool,
    pub(super) server: bool,
    pub(super) text: bool,
    /// Whether it has others.
    pub(super) others: bool,
}

impl Wanted {
    /// Whether others may have answers too.
    pub(super) fn is_shared(&self) -> bool {
        self.service_type || self.instances.values().any(|parts| parts.listed)
    }

    /// What this question is for, if it is told on this link.
    pub(super) fn ask(
        &mut self,
        question: &Question<'_>,
        names: &Names,
        told: &BTreeMap<String, Told>,
        link: &Link,
    ) {
        let asks = |kind| asks(question, kind);
        let here = || told.iter().filter(|(_, told)| told.instance.is_on(link));
        if question.qname == names.service_type {
            if asks(TYPE::PTR) && !std::mem::replace(&mut self.all, true) {
                for (key, _) in here() {
                    self.instances.entry(key.clone()).or_default().listed = true;
                }
            }
        } else if question.qname == names.all_types {
            self.service_type |= asks(TYPE::PTR) && here().next().is_some();
        } else if question.qname == names.host {
            if here().next().is_some() {
                self.host.v4 |= asks(TYPE::A);
                self.host.v6 |= asks(TYPE::AAAA);
                self.host.others |= !asks(TYPE::A) && !asks(TYPE::AAAA);
            }
        } else if let Some(label) = label_of(&question.qname, &names.service_type) {
            let key = key(label);
            if told.get(&key).is_some_and(|told| told.instance.is_on(link)) {
                let parts = self.instances.entry(key).or_default();
                parts.server |= asks(TYPE::SRV);
                parts.text |= asks(TYPE::TXT);
                parts.others |= !asks(TYPE::SRV) && !asks(TYPE::TXT);
            }
        }
    }

    /// Without what whoever asks knows already.
    pub(super) fn forget(
        &mut self,
        known: &HashSet<&ResourceRecord<'_>>,
        names: &Names,
        told: &BTreeMap<String, Told>,
        link: &Link,
    ) {
        if known.is_empty() {
            return;
        }
        self.service_type &= !known.contains(&names.type_listed());
        let addresses = names.addresses(link);
        let is_unknown = |kind| {
            let mut of_kind = addresses.iter().filter(|record| record.rdata.type_code() == kind);
            // That there is none is not known by a record.
            of_kind.clone().next().is_none() || of_kind.any(|record| !known.contains(record))
        };
        self.host.v4 &= is_unknown(TYPE::A);
        self.host.v6 &= is_unknown(TYPE::AAAA);
        self.instances.retain(|key, parts| {
            let Some(Told { instance, .. }) = told.get(key) else { return false };
            parts.listed &= !known.contains(&names.listed(instance));
            parts.server &= !known.contains(&names.server(instance));
            parts.text &= !known.contains(&names.text(instance));
            *parts != Parts::default()
        });
    }

    pub(super) fn add(&mut self, other: Self) {
        self.service_type |= other.service_type;
        self.host.v4 |= other.host.v4;
        self.host.v6 |= other.host.v6;
        self.host.others |= other.host.others;
        for (key, more) in other.instances {
            let parts = self.instances.entry(key).or_default();
            parts.listed |= more.listed;
            parts.server |= more.server;
            parts.text |= more.text;
            parts.others |= more.others;
        }
    }
}
