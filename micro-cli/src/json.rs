//! JSON as people and programs read it: written as it was, but for white space and colours. No number is read and
//! written again, no key is sorted, and nothing but a piece of it is held.

use std::borrow::Cow;
use std::io::{self, Write};

use clap::builder::styling::{AnsiColor, Style};
use serde::de::IgnoredAny;

use crate::console;

/// Nothing is indented deeper: somebody else's brackets must not become a thousand times as many spaces.
const DEEPEST: usize = 40;

/// How JSON is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// All of it in one line.
    Line,
    /// A line for each field.
    Tree { coloured: bool },
}

/// Why this is no JSON, with the place.
pub(crate) fn flaw(text: &[u8]) -> Option<String> {
    serde_json::from_slice::<IgnoredAny>(text).err().map(|error| error.to_string())
}

/// The same JSON with what JSON leaves as it is and terminals obey, such as U+007F to U+009F, as escapes.
pub(crate) fn harmless(json: &str) -> Cow<'_, str> {
    if !json.contains(steers) {
        return json.into();
    }
    let escaped = |c: char| match steers(c) {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.into(),
    };
    json.chars().map(escaped).collect::<String>().into()
}

/// Not so the white space between values.
fn steers(c: char) -> bool {
    console::steers(c) && !c.is_ascii_whitespace()
}

/// Writes JSON that has no [`flaw`]; what has one comes out as something, without a panic.
pub(crate) fn write(out: &mut impl Write, json: &[u8], layout: Layout) -> io::Result<()> {
    Writer { out, layout, depth: 0, fresh: false }.run(json)
}

struct Writer<'a, W> {
    out: &'a mut W,
    layout: Layout,
    depth: usize,
    /// A bracket was opened, and nothing stands in it yet.
    fresh: bool,
}

impl<W: Write> Writer<'_, W> {
    fn run(mut self, mut rest: &[u8]) -> io::Result<()> {
        while let Some(&byte) = rest.first() {
            let length = match byte {
                b' ' | b'\t' | b'\r' | b'\n' => {
                    rest = &rest[1..];
                    continue;
                }
                b'"' => string(rest),
                b'{' | b'}' | b'[' | b']' | b',' | b':' => 1,
                _ => word(rest),
            };
            let (token, after) = rest.split_at(length);
            match byte {
                b'{' | b'[' => self.open(byte)?,
                b'}' | b']' => self.close(byte)?,
                b',' => {
                    self.out.write_all(b",")?;
                    self.new_line()?;
                }
                b':' => {
                    self.out.write_all(if self.layout == Layout::Line { b":" } else { b": " })?
                }
                _ => self.value(token, is_key(byte, after))?,
            }
            rest = after;
        }
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> io::Result<()> {
        self.begin()?;
        self.out.write_all(&[bracket])?;
        self.depth += 1;
        self.fresh = true;
        Ok(())
    }

    fn close(&mut self, bracket: u8) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        // An empty one stays together.
        if !std::mem::take(&mut self.fresh) {
            self.new_line()?;
        }
        self.out.write_all(&[bracket])
    }

    fn value(&mut self, token: &[u8], key: bool) -> io::Result<()> {
        self.begin()?;
        let style = match (self.layout, token.first()) {
            (Layout::Line | Layout::Tree { coloured: false }, _) => {
                return self.out.write_all(token);
            }
            (_, Some(b'"')) if key => AnsiColor::Blue.on_default().bold(),
            (_, Some(b'"')) => AnsiColor::Green.on_default(),
            _ => Style::new(),
        };
        write!(self.out, "{style}")?;
        self.out.write_all(token)?;
        write!(self.out, "{style:#}")
    }

    /// The first thing in a bracket stands on a line of its own.
    fn begin(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.fresh) { self.new_line() } else { Ok(()) }
    }

    fn new_line(&mut self) -> io::Result<()> {
        if self.layout == Layout::Line {
            return Ok(());
        }
        write!(self.out, "\n{:1$}", "", 2 * self.depth.min(DEEPEST))
    }
}

/// How long the string is that begins here.
fn string(text: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// How long the number, `true`, `false` or `null` is that begins here.
fn word(text: &[u8]) -> usize {
    let ends = |byte: &u8| b" \t\r\n{}[],:\"".contains(byte);
    text.iter().skip(1).position(ends).map_or(text.len(), |at| at + 1)
}

/// A string before a colon.
fn is_key(first: u8, after: &[u8]) -> bool {
    first == b'"' && after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(json: &str, layout: Layout) -> String {
        let mut out = Vec::new();
        write(&mut out, json.as_bytes(), layout).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_has_no_white_space_but_that_of_strings_and_keeps_numbers_and_order() {
        let json = " { \"b\" : [ 1.10 , 12345678901234567890123 , { } , [ ] ] ,\n\t\"a\\\" :\" : \" x\\\\\" } ";
        let line = r#"{"b":[1.10,12345678901234567890123,{},[]],"a\" :":" x\\"}"#;
        assert_eq!(written(json, Layout::Line), line);
        assert_eq!(flaw(json.as_bytes()), None);
    }

    #[test]
    fn a_tree_has_a_line_for_each_field() {
        let tree =
            written(r#"{"a":{"b":[1,2]},"c":{},"d":"e:f"}"#, Layout::Tree { coloured: false });
        let expected = r#"{
  "a": {
    "b": [
      1,
      2
    ]
  },
  "c": {},
  "d": "e:f"
}"#;
        assert_eq!(tree, expected);
        for scalar in ["1", "\"text\"", "null", "[]"] {
            assert_eq!(written(scalar, Layout::Tree { coloured: false }), scalar);
        }
    }

    #[test]
    fn keys_and_strings_have_colours_and_nothing_else_is_changed() {
        let coloured = written(r#"{"a" :"b"}"#, Layout::Tree { coloured: true });
        assert!(coloured.contains("\u{1b}[1m\u{1b}[34m\"a\"\u{1b}[0m: "), "{coloured:?}");
        assert!(coloured.contains("\u{1b}[32m\"b\"\u{1b}[0m"), "{coloured:?}");
    }

    #[test]
    fn a_million_brackets_are_not_a_million_times_as_many_spaces() {
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        assert_eq!(flaw(&deep), None);
        let mut out = Vec::new();
        write(&mut out, &deep, Layout::Tree { coloured: false }).unwrap();
        assert!(out.len() < 200 * deep.len(), "{}", out.len());
    }

    #[test]
    fn what_is_no_json_makes_no_panic() {
        for text in ["}}]]", "\"", "\"\\", "{\"a", ",,", ":", "\u{e9}"] {
            assert!(flaw(text.as_bytes()).is_some());
            written(text, Layout::Tree { coloured: true });
        }
    }
}
