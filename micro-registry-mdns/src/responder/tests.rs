use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, QCLASS, QTYPE, Question};

use super::*;
use crate::dns;
use crate::message::MAX_PACKET;

const PORT: u16 = 5353;
const TYPE_NAME: &str = "_micro._tcp.local.";
const HOST: &str = "micro-k3f7q2xz.local.";
const SECOND: Duration = Duration::from_secs(1);

fn responder() -> Responder {
    Responder::new(TYPE_NAME, HOST, PORT, Instant::now())
}

fn announcement(label: &str) -> Announcement {
    let txt = vec![("txtvers".to_owned(), b"1".to_vec())];
    Announcement { label: label.to_owned(), port: 4000, is_local: false, txt }
}

/// One that announced long ago.
fn telling(labels: &[&str], link: &Link, now: Instant) -> Responder {
    let mut responder = responder();
    for label in labels {
        responder.announce(&announcement(label), std::slice::from_ref(link), now - 2 * SECOND);
    }
    responder
}

fn neighbour(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn question(name: &str, kind: TYPE) -> Question<'_> {
    let first = Name::new_unchecked(name);
    Question::new(first, QTYPE::TYPE(kind), QCLASS::CLASS(CLASS::IN), false)
}

fn query<'a>(questions: impl IntoIterator<Item = Question<'a>>) -> Packet<'a> {
    let mut packet = Packet::new_query(77);
    packet.questions.extend(questions);
    packet
}

fn instances() -> Packet<'static> {
    query([question(TYPE_NAME, TYPE::PTR)])
}

/// The types of what is said, in answers and beside them.
fn types(outgoing: &Outgoing) -> (Vec<TYPE>, Vec<TYPE>) {
    let packet = dns::read(&outgoing.message).unwrap();
    assert!(dns::is_response(&packet) && packet.has_flags(PacketFlag::AUTHORITATIVE_ANSWER));
    let types = |records: &[ResourceRecord<'_>]| {
        records.iter().map(|record| record.rdata.type_code()).collect()
    };
    (types(&packet.answers), types(&packet.additional_records))
}

#[test]
fn an_announcement_has_all_records_for_everybody_on_each_link() {
    let (mut responder, link, now) = (responder(), Link::loopback(), Instant::now());
    let said = responder.announce(&announcement("a"), std::slice::from_ref(&link), now);
    let [said] = &*said else { panic!("{said:?}") };
    assert_eq!(said.to, To::Everybody(link.id));
    let all = vec![TYPE::PTR, TYPE::SRV, TYPE::TXT, TYPE::A, TYPE::AAAA];
    assert_eq!(types(said), (all, vec![]));
    let packet = dns::read(&said.message).unwrap();
    assert_eq!(packet.id(), 0);
    for record in &packet.answers {
        let is_shared = record.rdata.type_code() == TYPE::PTR;
        assert_eq!((record.cache_flush, record.ttl), (!is_shared, 120), "{record:?}");
        if let RData::SRV(server) = &record.rdata {
            assert_eq!((server.port, &server.target), (4000, &dns::name(HOST)));
        }
    }
}

#[test]
fn what_only_this_machine_can_call_is_told_on_loopback_alone() {
    let (mut responder, loopback, now) = (responder(), Link::loopback(), Instant::now());
    let other = LinkId { index: 2, is_v4: true };
    let network = Link { id: other, is_loopback: false, ..Link::loopback() };
    let links = [loopback.clone(), network.clone()];
    let local = Announcement { is_local: true, ..announcement("local") };
    let said = responder.announce(&local, &links, now);
    assert_eq!(said.iter().map(|o| o.to).collect::<Vec<_>>(), [To::Everybody(loopback.id)]);
    assert_eq!(responder.announce(&announcement("a"), &links, now).len(), 2);
    let from = ([169, 254, 0, 1], 4444).into();
    for (link, count) in [(&loopback, 2), (&network, 1)] {
        assert_eq!(responder.hear(&instances(), from, link, now).len(), count);
    }
    let text = query([question("local._micro._tcp.local.", TYPE::TXT)]);
    assert_eq!(responder.hear(&text, from, &network, now), []);
    assert_eq!(responder.withdraw("local", &links, now).len(), 1);
}

#[test]
fn who_asks_everybody_is_answered_by_everybody_after_a_moment_and_once_in_a_second() {
    let (link, now) = (Link::loopback(), Instant::now());
    let links = [link.clone()];
    let mut responder = telling(&["a", "b"], &link, now);
    for _ in 0..3 {
        assert_eq!(responder.hear(&instances(), neighbour(PORT), &link, now), []);
    }
    let due = responder.next_due().unwrap();
    assert!(due >= now + Duration::from_millis(20) && due < now + Duration::from_millis(120));
    assert_eq!(responder.due(&links, now), []);
    let said = responder.due(&links, due);
    assert_eq!(said.len(), 2);
    let beside = vec![TYPE::SRV, TYPE::TXT, TYPE::A, TYPE::AAAA];
    for said in &said {
        assert_eq!(
            (said.to, types(said)),
            (To::Everybody(link.id), (vec![TYPE::PTR], beside.clone()))
        );
    }
    assert_eq!(responder.next_due(), None);

    let again = |responder: &mut Responder, now| {
        responder.hear(&instances(), neighbour(PORT), &link, now);
        responder.due(&links, now + SECOND / 5).len()
    };
    assert_eq!(again(&mut responder, due + SECOND / 2), 0, "they have just heard it");
    assert_eq!(again(&mut responder, due + SECOND), 2);
}

#[test]
fn who_asks_from_another_port_is_answered_alone_and_at_once() {
    let (mut responder, link, now) = (responder(), Link::loopback(), Instant::now());
    responder.announce(&announcement("a"), std::slice::from_ref(&link), now);
    let asked = query([question("other.local.", TYPE::A), question(TYPE_NAME, TYPE::PTR)]);
    for _ in 0..2 {
        let said = responder.hear(&asked, neighbour(4444), &link, now);
        let [said] = &*said else { panic!("{said:?}") };
        assert_eq!(said.to, To::One(neighbour(4444)));
        let packet = dns::read(&said.message).unwrap();
        assert_eq!(packet.id(), 77);
        assert_eq!(packet.questions.len(), 1);
        assert_eq!(packet.questions[0].qname, dns::name(TYPE_NAME));
        for record in packet.answers.iter().chain(&packet.additional_records) {
            assert!(!record.cache_flush && record.ttl <= 10, "{record:?}");
        }
    }
    // Who prefers so may have an answer alone from the port of multicast DNS too.
    let mut asked = instances();
    asked.questions[0].unicast_response = true;
    let said = responder.hear(&asked, neighbour(PORT), &link, now);
    assert_eq!(said[0].to, To::One(neighbour(PORT)));
    assert!(dns::read(&said[0].message).unwrap().questions.is_empty());
}

#[test]
fn who_asks_and_asks_hears_it_with_everybody() {
    let (link, now) = (Link::loopback(), Instant::now());
    let mut responder = telling(&["a"], &link, now);
    let alone = |responder: &mut Responder, now| {
        responder.hear(&instances(), neighbour(4444), &link, now).len()
    };
    assert_eq!((0..2 * ALONE).map(|_| alone(&mut responder, now)).sum::<usize>(), ALONE);
    assert_eq!(responder.due(std::slice::from_ref(&link), now + SECOND).len(), 1);
    assert_eq!(alone(&mut responder, now + 2 * SECOND), 1);
}

#[test]
fn who_is_no_neighbour_gets_nothing_alone() {
    let id = LinkId { index: 2, is_v4: true };
    let (link, now) = (Link { id, is_loopback: false, ..Link::loopback() }, Instant::now());
    let mut responder = telling(&["a"], &link, now);
    let stranger = ([192, 0, 2, 1], 4444).into();
    assert_eq!(responder.hear(&instances(), stranger, &link, now), []);
    let said = responder.due(std::slice::from_ref(&link), now + SECOND);
    assert_eq!(said.iter().map(|o| o.to).collect::<Vec<_>>(), [To::Everybody(id)]);
}

#[test]
fn what_is_known_is_not_said_unless_it_is_soon_forgotten() {
    let (link, now) = (Link::loopback(), Instant::now());
    let known = |label: &str, ttl| {
        let alias = dns::instance(label, &dns::name(TYPE_NAME));
        let data = RData::PTR(simple_dns::rdata::PTR(alias));
        ResourceRecord::new(dns::name(TYPE_NAME), CLASS::IN, ttl, data)
    };
    for (ttl, expected) in [(TTL / 2, 1), (TTL / 2 - 1, 2)] {
        let mut responder = telling(&["a", "b"], &link, now);
        let mut asked = instances();
        asked.answers.push(known("A", ttl));
        responder.hear(&asked, neighbour(PORT), &link, now);
        let said = responder.due(std::slice::from_ref(&link), now + SECOND);
        assert_eq!(said.len(), expected, "{ttl}");
    }
    // What more they know may follow.
    let mut responder = telling(&["a", "b"], &link, now);
    let mut asked = instances();
    asked.set_flags(PacketFlag::TRUNCATION);
    responder.hear(&asked, neighbour(PORT), &link, now);
    assert!(responder.next_due().unwrap() >= now + Duration::from_millis(400));
    let mut more = query([]);
    more.answers.push(known("b", TTL));
    responder.hear(&more, ([127, 0, 0, 2], PORT).into(), &link, now);
    more.answers = vec![known("a", TTL)];
    responder.hear(&more, neighbour(PORT), &link, now);
    assert_eq!(responder.due(std::slice::from_ref(&link), now + SECOND).len(), 1);
}

#[test]
fn whoever_wants_one_of_the_names_hears_soon_whose_it_is() {
    let (mut responder, link, now) = (responder(), Link::loopback(), Instant::now());
    responder.announce(&announcement("a"), std::slice::from_ref(&link), now);
    let name = "a._micro._tcp.local.";
    let mut probe = query([question(name, TYPE::SRV)]);
    probe.questions[0].qtype = QTYPE::ANY;
    let claim = telling(&["a"], &link, now);
    probe.name_servers.push(claim.names.server(&claim.told["a"].instance));
    let soon = now + SECOND / 4;
    let said = responder.hear(&probe, neighbour(PORT), &link, soon);
    let [said] = &*said else { panic!("{said:?}") };
    assert_eq!(said.to, To::Everybody(link.id));
    assert_eq!(types(said).0, [TYPE::SRV, TYPE::TXT]);
    // Nobody makes others tell everybody as often as they like.
    assert_eq!(responder.hear(&probe, neighbour(PORT), &link, soon + SECOND / 5), []);
    assert_eq!(responder.hear(&probe, neighbour(PORT), &link, soon + SECOND / 4).len(), 1);
}

#[test]
fn a_claim_beside_a_question_for_what_everybody_has_changes_nothing() {
    let (link, now) = (Link::loopback(), Instant::now());
    let mut responder = telling(&["a"], &link, now);
    let mut probe = instances();
    let claim = telling(&["a"], &link, now);
    probe.name_servers.push(claim.names.server(&claim.told["a"].instance));
    for _ in 0..3 {
        assert_eq!(responder.hear(&probe, neighbour(PORT), &link, now), []);
    }
    assert_eq!(responder.due(std::slice::from_ref(&link), now + SECOND).len(), 1);
}

#[test]
fn each_record_is_had_by_its_name_and_what_is_not_there_is_said_not_to_be() {
    let (link, now) = (Link::loopback(), Instant::now());
    let v4_only = Link { addresses: vec![[127, 0, 0, 1].into()], ..link.clone() };
    let instance = "A._MICRO._tcp.local.";
    let all_types = "_services._dns-sd._udp.local.";
    let cases: [(&str, TYPE, &Link, &[TYPE]); 10] = [
        (instance, TYPE::SRV, &link, &[TYPE::SRV]),
        (instance, TYPE::TXT, &link, &[TYPE::TXT]),
        (instance, TYPE::A, &link, &[TYPE::NSEC]),
        (HOST, TYPE::A, &link, &[TYPE::A]),
        (HOST, TYPE::AAAA, &link, &[TYPE::AAAA]),
        (HOST, TYPE::AAAA, &v4_only, &[TYPE::NSEC]),
        (HOST, TYPE::HINFO, &link, &[TYPE::NSEC]),
        (all_types, TYPE::PTR, &link, &[TYPE::PTR]),
        ("b._micro._tcp.local.", TYPE::SRV, &link, &[]),
        ("_http._tcp.local.", TYPE::PTR, &link, &[]),
    ];
    for (name, kind, link, expected) in cases {
        let mut responder = telling(&["a"], link, now);
        let said = responder.hear(&query([question(name, kind)]), neighbour(4444), link, now);
        let answers: Vec<_> = said.iter().flat_map(|said| types(said).0).collect();
        assert_eq!(answers, expected, "{name} {kind:?}");
    }
    let mut responder = responder();
    let said = responder.hear(&query([question(HOST, TYPE::A)]), neighbour(4444), &link, now);
    assert_eq!(said, [], "nothing is told yet");
}

#[test]
fn who_leaves_is_said_to_and_not_told_again() {
    let (link, now) = (Link::loopback(), Instant::now());
    let links = [link.clone()];
    let mut responder = telling(&["a", "b"], &link, now);
    responder.hear(&instances(), neighbour(PORT), &link, now);
    let said = responder.withdraw("a", &links, now);
    let packet = dns::read(&said[0].message).unwrap();
    assert_eq!(packet.answers.len(), 3);
    assert!(packet.answers.iter().all(|record| record.ttl == 0));
    let answers = dns::answers(&packet, &dns::name(TYPE_NAME));
    assert_eq!(answers, [dns::Answer::Goodbye("a".into())]);
    assert_eq!(responder.due(&links, now + SECOND).len(), 1, "it was asked for before");
    assert_eq!(responder.withdraw("a", &links, now), []);
    assert_eq!(responder.hear(&instances(), neighbour(4444), &link, now).len(), 1);
    responder.announce(&announcement("b"), &links, now - SECOND / 2);
    responder.announce(&announcement("b"), &links, now);
    let said = responder.withdraw("b", &links, now);
    let all = vec![TYPE::PTR, TYPE::SRV, TYPE::TXT, TYPE::A, TYPE::AAAA];
    assert_eq!(types(&said[0]), (all, vec![]), "the host is nobody's any more");
    assert_eq!(types(&said[1]), (vec![TYPE::TXT], vec![]), "what it said just before");
    responder.announce(&announcement("b"), &links, now - 3 * SECOND);
    responder.announce(&announcement("b"), &links, now);
    assert_eq!(responder.withdraw("b", &links, now).len(), 1);
}

#[test]
fn a_packet_has_room_for_the_largest_text_and_for_as_many_addresses_as_there_is_room() {
    let now = Instant::now();
    let addresses: Vec<_> = (0..50).map(|n| [10, 0, 0, n].into()).collect();
    let link = Link { addresses, ..Link::loopback() };
    let mut largest = announcement(&"ä".repeat(31));
    largest.txt = (0..4).map(|n| (format!("d{n}"), vec![0xff; 241])).collect();
    let size: usize = largest.txt.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    assert_eq!(size, 980);
    let mut responder = Responder::new("_micro-296230c0._tcp.local.", HOST, PORT, now);
    let mut said = responder.announce(&largest, std::slice::from_ref(&link), now);
    let asked = query([question("_micro-296230c0._tcp.local.", TYPE::PTR)]);
    said.extend(responder.hear(&asked, neighbour(4444), &link, now));
    assert_eq!(said.len(), 2);
    for said in said {
        assert!(said.message.len() <= MAX_PACKET && said.message.len() > MAX_PACKET - 16);
        let (mut all, beside) = types(&said);
        all.extend(beside);
        assert_eq!(all[..4], [TYPE::PTR, TYPE::SRV, TYPE::TXT, TYPE::A]);
    }
}
