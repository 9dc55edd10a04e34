//! What `avahi-browse --parsable` prints.

use std::collections::BTreeMap;

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `+` of what comes, `-` of what goes, `=` of what is resolved.
    pub(crate) sign: char,
    pub(crate) interface: String,
    /// `IPv4` or `IPv6`.
    pub(crate) family: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) resolved: Option<Resolved>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub(crate) host: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    /// The strings of the TXT record. Those that are no text are as avahi escapes them.
    pub(crate) txt: BTreeMap<String, String>,
}

impl Shown {
    pub(crate) fn parse(line: &str) -> Self {
        let fields: Vec<&str> = line.splitn(10, ';').collect();
        let resolved = match &fields[..] {
            [_, _, _, _, _, _] => None,
            [_, _, _, _, _, _, host, address, port, txt] => Some(Resolved {
                host: (*host).to_owned(),
                address: (*address).to_owned(),
                port: port.parse().unwrap(),
                txt: properties(txt),
            }),
            _ => panic!("{line:?} is no line of avahi-browse"),
        };
        Self {
            sign: line.chars().next().unwrap(),
            interface: fields[1].to_owned(),
            family: fields[2].to_owned(),
            name: unescape(fields[3]),
            kind: fields[4].to_owned(),
            resolved,
        }
    }

    pub(crate) fn txt(&self, key: &str) -> Option<&str> {
        self.resolved.as_ref()?.txt.get(key).map(String::as_str)
    }
}

/// `\032` is a byte in decimal, and whatever else is after a backslash stands for itself.
fn unescape(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        let number = after.get(..3).and_then(|n| std::str::from_utf8(n).ok()?.parse().ok());
        match (first, number, after) {
            (b'\\', Some(byte), _) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            (b'\\', None, [escaped, after @ ..]) => {
                bytes.push(*escaped);
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// `"a=1" "b=\"x\""`
fn properties(txt: &str) -> BTreeMap<String, String> {
    let strings = txt.trim_matches('"').split("\" \"");
    let pair = |string: &str| {
        let (key, value) = string.split_once('=').unwrap_or((string, ""));
        (key.to_owned(), value.to_owned())
    };
    strings.filter(|string| !string.is_empty()).map(pair).collect()
}
