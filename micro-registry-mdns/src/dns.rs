//! As much of DNS messages (RFC 1035) as a one-shot query needs (RFC 6762, 5.1).

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// All instances of the service type, each with what it says.
    Instances,
    /// What the instance with this label says.
    Text(String),
}

/// What somebody answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// That there is an instance with this label.
    Instance(String),
    /// What the instance with this label says: the content of its TXT record.
    Text(String, Vec<u8>),
}

/// As many as are asked at a time, more than any description has parts.
pub(crate) const MOST_QUESTIONS: usize = 1024;
const HEADER: usize = 12;
const MAX_NAME: usize = 255;
const MAX_LABEL: usize = 63;
const PTR: u16 = 12;
const TXT: u16 = 16;
const IN: u16 = 1;
/// In the class of a record: whoever caches forgets what was before. No part of the class.
const CACHE_FLUSH: u16 = 0x8000;
const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const POINTER: u8 = 0xc0;

/// A query; `service_type` as in `_micro._tcp.local.`
pub(crate) fn encode_query(id: u16, service_type: &str, questions: &[Question]) -> Vec<u8> {
    let mut message = Vec::with_capacity(512);
    message.extend(id.to_be_bytes());
    message.extend([0, 0]);
    message.extend(u16::try_from(questions.len()).unwrap_or(u16::MAX).to_be_bytes());
    message.resize(HEADER, 0);
    for question in questions {
        let kind = match question {
            Question::Instances => PTR,
            Question::Text(label) => {
                push_label(&mut message, label);
                TXT
            }
        };
        for label in labels_of(service_type) {
            push_label(&mut message, label);
        }
        message.push(0);
        message.extend(kind.to_be_bytes());
        message.extend(IN.to_be_bytes());
    }
    message
}

/// What a response to the query of this id says of the service type; `None` if it is none. What
/// is broken ends it: what was read before counts.
pub(crate) fn decode_response(message: &[u8], id: u16, service_type: &str) -> Option<Vec<Answer>> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = *message.get(2)?;
    if word(0)? != id || flags & RESPONSE == 0 || flags & OPCODE != 0 {
        return None;
    }
    let (questions, records) = (word(4)?, u32::from(word(6)?) + u32::from(word(8)?));
    let records = records + u32::from(word(10)?);
    let mut at = HEADER;
    for _ in 0..questions {
        at = read_name(message, at)?.1 + 4;
    }
    let mut answers = Vec::new();
    for _ in 0..records {
        let Some((answer, next)) = read_record(message, at, service_type) else { break };
        answers.extend(answer);
        at = next;
    }
    Some(answers)
}

/// The record at this place, if it says something to us, and where the next one begins.
fn read_record(message: &[u8], at: usize, service_type: &str) -> Option<(Option<Answer>, usize)> {
    let (name, at) = read_name(message, at)?;
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let (kind, class, length) = (word(at)?, word(at + 2)?, usize::from(word(at + 8)?));
    // A goodbye is no answer.
    let ttl = message.get(at + 4..at + 8)?;
    let start = at + 10;
    let end = start + length;
    let content = message.get(start..end)?;
    let is_ours = class & !CACHE_FLUSH == IN && ttl != [0; 4];
    let answer = match kind {
        PTR if is_ours && is_type(&name, service_type) => {
            let (alias, _) = read_name(message, start)?;
            instance_of(alias, service_type).map(Answer::Instance)
        }
        TXT if is_ours => {
            instance_of(name, service_type).map(|label| Answer::Text(label, content.to_vec()))
        }
        _ => None,
    };
    Some((answer, end))
}

/// The labels of the name at this place, and where what comes after it begins. A label that is
/// no text makes a name that is none of ours.
fn read_name(message: &[u8], start: usize) -> Option<(Vec<String>, usize)> {
    let mut labels = Vec::new();
    let (mut at, mut after, mut length) = (start, None, 0);
    loop {
        let first = *message.get(at)?;
        if first & POINTER == POINTER {
            let low = *message.get(at + 1)?;
            let target = usize::from(u16::from_be_bytes([first & !POINTER, low]));
            // Only to what came before, so that it ends.
            if target >= at {
                return None;
            }
            after = after.or(Some(at + 2));
            at = target;
        } else if usize::from(first) > MAX_LABEL {
            return None;
        } else if first == 0 {
            return Some((labels, after.unwrap_or(at + 1)));
        } else {
            let end = at + 1 + usize::from(first);
            length += end - at;
            if length > MAX_NAME {
                return None;
            }
            labels.push(String::from_utf8_lossy(message.get(at + 1..end)?).into_owned());
            at = end;
        }
    }
}

fn instance_of(mut name: Vec<String>, service_type: &str) -> Option<String> {
    if name.is_empty() || !is_type(&name[1..], service_type) {
        return None;
    }
    Some(name.swap_remove(0))
}

fn is_type(name: &[String], service_type: &str) -> bool {
    let mut labels = labels_of(service_type);
    name.iter().all(|label| labels.next().is_some_and(|l| l.eq_ignore_ascii_case(label)))
        && labels.next().is_none()
}

fn labels_of(service_type: &str) -> impl Iterator<Item = &str> {
    service_type.split('.').filter(|label| !label.is_empty())
}

fn push_label(message: &mut Vec<u8>, label: &str) {
    let bytes = &label.as_bytes()[..label.len().min(MAX_LABEL)];
    message.push(u8::try_from(bytes.len()).unwrap_or(0));
    message.extend(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "_micro._tcp.local.";

    fn response(records: &[(&[u8], u16, u32, &[u8])]) -> Vec<u8> {
        let mut message = encode_query(7, TYPE, &[Question::Instances]);
        message[2] = 0x84;
        message[7] = u8::try_from(records.len()).unwrap();
        for (name, kind, ttl, content) in records {
            message.extend(*name);
            message.extend(kind.to_be_bytes());
            message.extend((IN | CACHE_FLUSH).to_be_bytes());
            message.extend(ttl.to_be_bytes());
            message.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
            message.extend(*content);
        }
        message
    }

    #[test]
    fn a_query_asks_for_the_type_and_for_single_instances() {
        let text = Question::Text("a".into());
        let message = encode_query(0x0102, TYPE, &[Question::Instances, text]);
        let name = b"\x06_micro\x04_tcp\x05local\0";
        let mut expected = vec![1, 2, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];
        expected.extend(name);
        expected.extend([0, 12, 0, 1, 1, b'a']);
        expected.extend(name);
        expected.extend([0, 16, 0, 1]);
        assert_eq!(message, expected);
    }

    #[test]
    fn an_answer_tells_instances_and_what_they_say() {
        // The name of the question is at 12.
        let message = response(&[
            (&[0xc0, 12], PTR, 10, b"\x01a\xc0\x0c"),
            (b"\x01a\xc0\x0c", TXT, 10, b"\x03x=1"),
            (b"\x01a\xc0\x0c", 33, 10, b"\0\0\0\0\0\x01\0"),
            (b"\x01b\xc0\x0c", TXT, 0, b"\x03x=2"),
            (b"\x01c\x05_http\x04_tcp\x05local\0", TXT, 10, b"\x03x=3"),
        ]);
        let expected =
            vec![Answer::Instance("a".into()), Answer::Text("a".into(), b"\x03x=1".to_vec())];
        assert_eq!(decode_response(&message, 7, TYPE), Some(expected));
        assert_eq!(decode_response(&message, 8, TYPE), None, "it answers somebody else");
        let query = encode_query(7, TYPE, &[Question::Instances]);
        assert_eq!(decode_response(&query, 7, TYPE), None, "it is a question");
    }

    #[test]
    fn a_name_that_points_to_itself_or_ahead_ends() {
        for pointer in [[0xc0, 34], [0xc0, 40], [0xff, 0xff]] {
            let message = response(&[(&pointer, TXT, 10, b"\x03x=1")]);
            assert_eq!(decode_response(&message, 7, TYPE), Some(vec![]));
        }
    }
}
