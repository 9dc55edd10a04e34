//! What is asked and answered by multicast DNS (RFC 6762), as messages of DNS (RFC 1035).

use simple_dns::rdata::{PTR, RData};
use simple_dns::{
    CLASS, Label, Name, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE,
};

use crate::message::{MAX_PACKET, TTL};
use crate::record::Strings;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// All instances of the service type, each with what it says.
    Instances,
    /// What the instance with this label says.
    Text(String),
}

/// What somebody says, whether they were asked or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// That there is an instance with this label.
    Instance(String),
    /// What the instance with this label says: its TXT record.
    Text(String, Strings),
    /// That there is no instance with this label any more.
    Goodbye(String),
}

/// Larger messages are none of multicast DNS (RFC 6762, 17).
pub(crate) const MAX_MESSAGE: usize = 9000;
/// As many as are asked at a time, more than any description has parts.
pub(crate) const MOST_QUESTIONS: usize = 1024;
const HEADER: usize = 12;
/// A question, and a record, for the root: its name is one byte.
const SHORTEST_QUESTION: usize = 5;
const SHORTEST_RECORD: usize = 11;
/// A record beside its label: three pointers to names at most, type, class, time and lengths.
const SHORTEST_KNOWN: usize = 17;
/// The longest name of a type, with what a question has beside it.
const MAX_TYPE: usize = 40;

/// A name as in `_micro._tcp.local.`
pub(crate) fn name(text: &str) -> Name<'static> {
    Name::new_unchecked(text).into_owned()
}

/// The name of the instance with this label.
pub(crate) fn instance(label: &str, service_type: &Name<'_>) -> Name<'static> {
    let first = Label::new_unchecked(label.as_bytes());
    let labels: Vec<_> =
        std::iter::once(first).chain(service_type.get_labels().iter().cloned()).collect();
    Name::new_with_labels(&labels).into_owned()
}

/// The label of the instance, if it is one of the type. One that is no text is none of ours.
pub(crate) fn label_of<'a>(name: &'a Name<'_>, service_type: &Name<'_>) -> Option<&'a str> {
    let (first, rest) = name.get_labels().split_first()?;
    let is_of_type = rest == service_type.get_labels();
    std::str::from_utf8(first.as_ref()).ok().filter(|label| is_of_type && !label.is_empty())
}

/// A query of who knows that there are instances with these labels: as many of them as there is
/// room for, which then need not be told (RFC 6762, 7.1).
pub(crate) fn query<'a>(
    id: u16,
    service_type: &Name<'static>,
    questions: &[Question],
    known: impl IntoIterator<Item = &'a str>,
) -> Vec<u8> {
    let mut packet = Packet::new_query(id);
    packet.questions.extend(questions.iter().map(|question| {
        let (name, kind) = match question {
            Question::Instances => (service_type.clone(), TYPE::PTR),
            Question::Text(label) => (instance(label, service_type), TYPE::TXT),
        };
        simple_dns::Question::new(name, kind.into(), QCLASS::CLASS(CLASS::IN), false)
    }));
    let length = |label: &str| label.len() + SHORTEST_KNOWN;
    let questions = questions.iter().map(|question| match question {
        Question::Instances => 0,
        Question::Text(label) => length(label),
    });
    let mut room = MAX_PACKET.saturating_sub(HEADER + MAX_TYPE + questions.sum::<usize>());
    for label in known {
        let Some(rest) = room.checked_sub(length(label)) else { break };
        room = rest;
        let data = RData::PTR(PTR(instance(label, service_type)));
        packet.answers.push(ResourceRecord::new(service_type.clone(), CLASS::IN, TTL, data));
    }
    // There is nothing in it that cannot be written.
    packet.build_bytes_vec_compressed().unwrap_or_default()
}

/// A query or a response of multicast DNS; anything else is ignored, as RFC 6762, 18 wants it.
pub(crate) fn read(message: &[u8]) -> Option<Packet<'_>> {
    let word =
        |at: usize| Some(usize::from(u16::from_be_bytes(*message.get(at..)?.first_chunk()?)));
    let records = word(6)? + word(8)? + word(10)?;
    // As much room is taken as is announced.
    let least = HEADER + word(4)? * SHORTEST_QUESTION + records * SHORTEST_RECORD;
    if message.len() < least || message.len() > MAX_MESSAGE {
        return None;
    }
    let packet = Packet::parse(message).ok()?;
    let is_plain = packet.opcode() == OPCODE::StandardQuery && packet.rcode() == RCODE::NoError;
    is_plain.then_some(packet)
}

/// Whether it says something, and does not ask.
pub(crate) fn is_response(packet: &Packet<'_>) -> bool {
    packet.has_flags(PacketFlag::RESPONSE)
}

/// What a response says of the service type.
pub(crate) fn answers(packet: &Packet<'_>, service_type: &Name<'_>) -> Vec<Answer> {
    let records = packet.answers.iter().chain(&packet.additional_records);
    records.filter_map(|record| answer(record, service_type)).collect()
}

fn answer(record: &ResourceRecord<'_>, service_type: &Name<'_>) -> Option<Answer> {
    if record.class != CLASS::IN {
        return None;
    }
    match &record.rdata {
        RData::PTR(alias) if record.name == *service_type => {
            let label = label_of(alias, service_type)?.to_owned();
            Some(if record.ttl == 0 { Answer::Goodbye(label) } else { Answer::Instance(label) })
        }
        RData::TXT(txt) if record.ttl > 0 => {
            let label = label_of(&record.name, service_type)?.to_owned();
            let string = |(key, value): (&[u8], Option<&[u8]>)| {
                Some((String::from_utf8(key.to_vec()).ok()?, value?.to_vec()))
            };
            Some(Answer::Text(label, txt.iter_raw().filter_map(string).collect()))
        }
        _ => None,
    }
}

/// Whether a question is for records of this type.
pub(crate) fn asks(question: &simple_dns::Question<'_>, kind: TYPE) -> bool {
    let is_class = matches!(question.qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY);
    is_class && (question.qtype == QTYPE::ANY || question.qtype == QTYPE::TYPE(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE_NAME: &[u8] = b"\x06_micro\x04_tcp\x05local\0";

    fn service_type() -> Name<'static> {
        name("_micro._tcp.local.")
    }

    fn response(records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = query(7, &service_type(), &[Question::Instances], []);
        message[2] = 0x84;
        message[7] = u8::try_from(records.len()).unwrap();
        for (name, kind, ttl, content) in records {
            message.extend(*name);
            message.extend(kind.to_be_bytes());
            // The class, and that whoever caches forgets what was before.
            message.extend([0x80, 1]);
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            message.extend(*content);
        }
        message
    }

    fn said(message: &[u8]) -> Option<Vec<Answer>> {
        read(message).map(|packet| answers(&packet, &service_type()))
    }

    #[test]
    fn a_query_asks_for_the_type_and_for_single_instances() {
        let text = Question::Text("a.b".into());
        let message = query(0x0102, &service_type(), &[Question::Instances, text], []);
        let mut expected = vec![1, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        expected.extend(TYPE_NAME);
        expected.extend([0, 12, 0, 1, 3]);
        expected.extend(b"a.b\xc0\x0c\0\x10\0\x01");
        assert_eq!(message, expected);
        let packet = read(&message).unwrap();
        assert!(!is_response(&packet));
        assert_eq!(label_of(&packet.questions[1].qname, &service_type()), Some("a.b"));
    }

    #[test]
    fn a_query_tells_as_much_of_what_is_known_as_there_is_room_for() {
        let labels: Vec<String> = (0..60).map(|n| format!("greeter-{n:02} K3F7Q2XZ-1")).collect();
        let known = || labels.iter().map(String::as_str);
        let message =
            query(0, &name("_micro-296230c0._tcp.local."), &[Question::Instances], known());
        assert!(
            message.len() <= MAX_PACKET && message.len() > MAX_PACKET - 100,
            "{}",
            message.len()
        );
        let message = query(0, &service_type(), &[Question::Instances], known().take(2));
        let packet = read(&message).unwrap();
        let expected = labels[..2].iter().cloned().map(Answer::Instance).collect::<Vec<_>>();
        assert_eq!(answers(&packet, &service_type()), expected);
        assert!(!is_response(&packet));
    }

    #[test]
    fn a_response_tells_instances_what_they_say_and_who_leaves() {
        // The name of the question is at 12.
        let message = response(&[
            (&[0xc0, 12], 12, 10, b"\x01a\xc0\x0c"),
            (b"\x01a\xc0\x0c", 16, 10, b"\x03x=1\x01y\x02=z\x02\xff="),
            (b"\x01a\xc0\x0c", 33, 10, b"\0\0\0\0\0\x01\0"),
            (b"\x01b\xc0\x0c", 16, 0, b"\x03x=2"),
            (b"\x01c\x05_http\x04_tcp\x05local\0", 16, 10, b"\x03x=3"),
            (b"\x06_MICRO\x04_tcp\x05LOCAL\0", 12, 0, b"\x01d\xc0\x0c"),
        ]);
        let strings = vec![("x".to_owned(), b"1".to_vec())];
        let expected = vec![
            Answer::Instance("a".into()),
            Answer::Text("a".into(), strings),
            Answer::Goodbye("d".into()),
        ];
        assert_eq!(said(&message), Some(expected));
        for (at, value) in [(2, 0x88), (3, 3)] {
            let mut other = message.clone();
            other[at] = value;
            assert_eq!(said(&other), None, "another operation, or an error");
        }
    }

    #[test]
    fn what_is_broken_says_nothing() {
        for pointer in [[0xc0, 34], [0xc0, 40], [0xff, 0xff]] {
            let message = response(&[(&pointer, 16, 10, b"\x03x=1")]);
            assert_eq!(said(&message), None, "it points to itself or ahead");
        }
        let mut many = response(&[]);
        many[6..12].fill(0xff);
        assert_eq!(said(&many), None, "more is announced than there is");
        assert_eq!(said(&[0; 11]), None);
        assert_eq!(said(&[0; MAX_MESSAGE + 1]), None);
    }
}
