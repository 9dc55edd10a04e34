//! What the TXT record of an instance says; the README has it in words.

use std::time::Duration;

/// The most that a TXT record has. With the other records of its instance and some addresses it
/// is a packet of at most [`MAX_PACKET`](crate::responder::MAX_PACKET) bytes.
const MAX_TXT: usize = 980;
/// The most that one string of it has (RFC 1035).
const MAX_STRING: usize = 255;
/// The most instances that the description of a node is spread over.
pub(crate) const MAX_PARTS: u16 = 64;
/// A node that says less or more is believed for so long.
pub(crate) const SHORTEST_LEASE: Duration = Duration::from_millis(250);
/// See [`SHORTEST_LEASE`].
pub(crate) const LONGEST_LEASE: Duration = Duration::from_secs(300);
/// As much of a name as people are shown.
const SHOWN: usize = 80;
const VERSION: &str = "1";

/// The strings of a TXT record, each a key and its value. Keys have no case, and of two that are
/// the same the first one counts (RFC 6763, 6.4).
pub(crate) type Strings = Vec<(String, Vec<u8>)>;

/// What an instance says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// That a node is there, or leaves.
    Head(Head),
    /// A part of its description.
    Part(Part),
}

/// The instance that stands for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// How long to believe it from now on; zero: it leaves.
    pub(crate) lease: Duration,
    /// Counts up with everything that this instance says anew.
    pub(crate) beat: u64,
    /// When this description was first said, in milliseconds since 1970: of two who claim one
    /// node, the later one counts.
    pub(crate) since: u64,
    /// Of the description.
    pub(crate) revision: u64,
    /// In how many instances beside this one the description is; zero: it is in `data`.
    pub(crate) parts: u16,
    /// The description, if it has room here.
    pub(crate) data: Vec<u8>,
}

/// An instance that carries a part of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Of the description.
    pub(crate) revision: u64,
    /// From 1.
    pub(crate) number: u16,
    /// A part of the description.
    pub(crate) data: Vec<u8>,
}

impl Head {
    /// The strings; `shown` is for people who browse, and nobody reads it.
    pub(crate) fn encode(&self, namespace: Option<&str>, shown: &[(&str, &str)]) -> Strings {
        let mut strings = first_strings(namespace);
        push(&mut strings, "lease", self.lease.as_millis());
        push(&mut strings, "beat", self.beat);
        push(&mut strings, "since", self.since);
        if !self.lease.is_zero() {
            push(&mut strings, "rev", format_args!("{:016x}", self.revision));
            for (key, value) in shown {
                push(&mut strings, key, cut(value, SHOWN));
            }
            if self.parts > 0 {
                push(&mut strings, "parts", self.parts);
            }
            push_data(&mut strings, &self.data);
        }
        strings
    }

    /// How much of a description has room beside the other strings.
    pub(crate) fn room(&self, namespace: Option<&str>, shown: &[(&str, &str)]) -> usize {
        let longest = Self { beat: u64::MAX, lease: LONGEST_LEASE, ..self.clone() };
        data_room(&longest.encode(namespace, shown))
    }
}

impl Part {
    pub(crate) fn encode(&self, namespace: Option<&str>) -> Strings {
        let mut strings = first_strings(namespace);
        push(&mut strings, "rev", format_args!("{:016x}", self.revision));
        push(&mut strings, "part", self.number);
        push_data(&mut strings, &self.data);
        strings
    }
}

/// How much of a description has room in one part.
pub(crate) fn part_room(namespace: Option<&str>) -> usize {
    data_room(&Part { revision: 0, number: MAX_PARTS, data: Vec::new() }.encode(namespace))
}

/// Reads what an instance says; what is wrong with it, if it says nothing to us.
pub(crate) fn decode(
    txt: &[(String, Vec<u8>)],
    namespace: Option<&str>,
) -> Result<Record, &'static str> {
    if text(txt, "txtvers") != Some(VERSION) {
        return Err("it is of another version");
    }
    if text(txt, "ns") != namespace {
        return Err("it is of another namespace");
    }
    if text(txt, "part").is_some() {
        let number = number(txt, "part")?;
        if !(1..=MAX_PARTS).contains(&number) {
            return Err("its part is out of bounds");
        }
        return Ok(Record::Part(Part { revision: revision(txt)?, number, data: data(txt) }));
    }
    let (beat, since) = (number(txt, "beat")?, number(txt, "since")?);
    if beat == 0 {
        return Err("it has said nothing yet");
    }
    let lease = Duration::from_millis(number(txt, "lease")?);
    if lease.is_zero() {
        let head = Head { lease, beat, since, revision: 0, parts: 0, data: Vec::new() };
        return Ok(Record::Head(head));
    }
    let lease = lease.clamp(SHORTEST_LEASE, LONGEST_LEASE);
    let parts = if text(txt, "parts").is_some() { number(txt, "parts")? } else { 0 };
    if parts > MAX_PARTS {
        return Err("it has too many parts");
    }
    let data = if parts == 0 { data(txt) } else { Vec::new() };
    Ok(Record::Head(Head { lease, beat, since, revision: revision(txt)?, parts, data }))
}

fn first_strings(namespace: Option<&str>) -> Strings {
    // As RFC 6763 recommends, the version is the first.
    let mut strings = Strings::new();
    push(&mut strings, "txtvers", VERSION);
    if let Some(namespace) = namespace {
        push(&mut strings, "ns", namespace);
    }
    strings
}

fn push(strings: &mut Strings, key: &str, value: impl ToString) {
    strings.push((key.to_owned(), value.to_string().into_bytes()));
}

fn push_data(strings: &mut Strings, data: &[u8]) {
    for (index, chunk) in data.chunks(MAX_STRING - "d0=".len()).enumerate() {
        strings.push((format!("d{index}"), chunk.to_vec()));
    }
}

/// What is left for data, in strings with a length, a key of two letters and `=`.
fn data_room(strings: &Strings) -> usize {
    let used: usize = strings.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let left = MAX_TXT.saturating_sub(used);
    let string = MAX_STRING + 1;
    let overhead = "0d0=".len();
    left / string * (string - overhead) + (left % string).saturating_sub(overhead)
}

fn data(txt: &[(String, Vec<u8>)]) -> Vec<u8> {
    let strings = (0..10).map_while(|index| value(txt, &format!("d{index}")));
    strings.flatten().copied().collect()
}

fn revision(txt: &[(String, Vec<u8>)]) -> Result<u64, &'static str> {
    let hex = text(txt, "rev").unwrap_or_default();
    u64::from_str_radix(hex, 16).map_err(|_| "its revision is no number")
}

fn number<T: std::str::FromStr>(txt: &[(String, Vec<u8>)], key: &str) -> Result<T, &'static str> {
    text(txt, key).unwrap_or_default().parse().map_err(|_| "a number of it is none")
}

fn text<'a>(txt: &'a [(String, Vec<u8>)], key: &str) -> Option<&'a str> {
    std::str::from_utf8(value(txt, key)?).ok()
}

fn value<'a>(txt: &'a [(String, Vec<u8>)], key: &str) -> Option<&'a [u8]> {
    let (_, value) = txt.iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
    Some(value)
}

/// The beginning of a text, of at most as many bytes, without half a character.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(strings: &Strings) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in strings {
            bytes.push(u8::try_from(key.len() + 1 + value.len()).unwrap());
            bytes.extend([key.as_bytes(), b"=", value].concat());
        }
        bytes
    }

    fn read(strings: &Strings, namespace: Option<&str>) -> Result<Record, &'static str> {
        decode(strings, namespace)
    }

    fn head(data: Vec<u8>) -> Head {
        let lease = Duration::from_secs(20);
        Head { lease, beat: 7, since: 1_790_000_000_000, revision: 0xab, parts: 0, data }
    }

    #[test]
    fn a_head_and_a_part_are_read_as_they_were() {
        for namespace in [None, Some("blue")] {
            let head = head((0..=255).cycle().take(600).collect());
            let shown = [("name", "greeter"), ("address", "127.0.0.1:1")];
            let record = read(&head.encode(namespace, &shown), namespace);
            assert_eq!(record, Ok(Record::Head(head)));
            let part = Part { revision: 1, number: MAX_PARTS, data: vec![0xff; 900] };
            assert_eq!(read(&part.encode(namespace), namespace), Ok(Record::Part(part)));
        }
        let spread = Head { parts: 3, ..head(Vec::new()) };
        assert_eq!(read(&spread.encode(None, &[]), None), Ok(Record::Head(spread)));
        let leaves = Head { lease: Duration::ZERO, revision: 0, ..head(Vec::new()) };
        assert_eq!(read(&leaves.encode(None, &[]), None), Ok(Record::Head(leaves)));
    }

    #[test]
    fn what_fills_the_room_fills_the_record_and_no_more() {
        let shown = [("id", "ä".repeat(100))];
        let shown = [(shown[0].0, &*shown[0].1)];
        let longest = Head { lease: LONGEST_LEASE, beat: u64::MAX, ..head(Vec::new()) };
        for namespace in [None, Some("a")] {
            let room = longest.room(namespace, &shown);
            let full = Head { data: vec![1; room], ..longest.clone() };
            assert_eq!(wire(&full.encode(namespace, &shown)).len(), MAX_TXT);
            let part = Part { revision: 1, number: 64, data: vec![1; part_room(namespace)] };
            assert_eq!(wire(&part.encode(namespace)).len(), MAX_TXT);
        }
        assert_eq!(cut(shown[0].1, 81), "ä".repeat(40));
    }

    #[test]
    fn what_is_of_another_namespace_or_version_or_out_of_bounds_is_not_read() {
        let strings = head(vec![1]).encode(Some("blue"), &[]);
        for namespace in [None, Some("red")] {
            assert_eq!(read(&strings, namespace), Err("it is of another namespace"));
        }
        let with = |key: &str, value: &str| {
            let mut strings = head(vec![1]).encode(None, &[]);
            strings.retain(|(known, _)| known != key);
            push(&mut strings, key, value);
            read(&strings, None)
        };
        for (key, value) in [
            ("txtvers", "2"),
            ("lease", "-1"),
            ("beat", ""),
            ("beat", "0"),
            ("since", "18446744073709551616"),
            ("rev", "x"),
            ("part", "0"),
            ("part", "65"),
            ("parts", "65"),
            ("ns", ""),
        ] {
            assert!(with(key, value).is_err(), "{key}={value}");
        }
        for (lease, believed) in [("1", SHORTEST_LEASE), ("99999999999", LONGEST_LEASE)] {
            let Ok(Record::Head(head)) = with("lease", lease) else { panic!("{lease}") };
            assert_eq!(head.lease, believed);
        }
    }
}
