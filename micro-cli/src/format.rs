//! How bodies are: JSON, protobuf that is JSON here, or bytes as they are.

use std::io::{self, Write};

use bytes::Bytes;
use micro::codec::{JSON, PROTOBUF};
use micro::{Error, RequestState};

use crate::args::{Bodies, Target};
use crate::console::{Console, Terminal};
use crate::failure::Failure;
use crate::json::{self, Layout};
use crate::proto::Messages;

/// A reply that is longer is not formatted for a terminal: nobody reads it there.
const LONGEST_TREE: usize = 1 << 20;

/// How bodies are.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    pub(crate) content_type: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Json,
    Proto(Box<Messages>),
    Raw,
}

impl Format {
    /// How the bodies of this call or stream are.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        match &target.proto {
            None => Self::without_proto(&target.bodies),
            Some(_) if target.bodies.raw => Err(Failure::usage(
                "--proto makes protobuf of JSON, and --raw leaves bodies as they are: give one",
            )),
            Some(file) => {
                let content_type = target.bodies.content_type.as_deref().unwrap_or(PROTOBUF);
                if is_json(content_type) {
                    return Err(Failure::usage(format!(
                        "with --proto bodies are not {content_type}"
                    )));
                }
                let messages = Messages::of(file, &target.proto_path, &target.endpoint)?;
                let kind = Kind::Proto(Box::new(messages));
                Ok(Self { content_type: content_type.to_owned(), kind })
            }
        }
    }

    /// How the bodies are where there is no .proto file.
    pub(crate) fn without_proto(bodies: &Bodies) -> Result<Self, Failure> {
        let content_type = bodies.content_type.as_deref().unwrap_or(JSON);
        let kind = match bodies.raw {
            true => Kind::Raw,
            false if is_json(content_type) => Kind::Json,
            false => {
                return Err(Failure::usage(format!(
                    "bodies of type {content_type} are not made from JSON: give --raw, or for protobuf --proto FILE.proto"
                )));
            }
        };
        Ok(Self { content_type: content_type.to_owned(), kind })
    }

    /// Whether bodies are JSON, also on their way.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.kind, Kind::Json)
    }

    /// Whether bodies are left as they are.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.kind, Kind::Raw)
    }

    /// What is sent for this input; `name` says in words what that is.
    pub(crate) fn encode(&self, input: Bytes, name: &str) -> Result<Bytes, Failure> {
        match &self.kind {
            Kind::Raw => Ok(input),
            Kind::Json => match json::flaw(&input) {
                None => Ok(input),
                Some(flaw) => Err(Failure::usage(format!("{name} is no JSON: {flaw}"))),
            },
            Kind::Proto(messages) => {
                messages.encode(&input).map_err(|flaw| Failure::usage(format!("{name}: {flaw}")))
            }
        }
    }

    /// Prints a reply: a line, and the only one as a tree, or to the byte if it is raw.
    pub(crate) fn print(
        &self,
        console: &mut Console,
        body: Bytes,
        only: bool,
    ) -> Result<(), Failure> {
        match &self.kind {
            Kind::Raw => {
                console.out().write_all(&body)?;
                if !only {
                    console.out().write_all(b"\n")?;
                }
            }
            Kind::Json => print(console, &body, only)?,
            Kind::Proto(messages) => {
                let json = messages.decode(body).map_err(|flaw| {
                    let error = Error::internal(flaw).with_id("micro");
                    Failure::from(error.with_request(RequestState::Executed))
                })?;
                print(console, &json, only)?;
            }
        }
        Ok(())
    }
}

/// Prints JSON: a line each, and for a terminal as a tree if there is just one. What is no JSON is printed as it is.
pub(crate) fn print(console: &mut Console, body: &[u8], only: bool) -> io::Result<()> {
    let terminal = console.terminal();
    let layout = match only && terminal.stdout && body.len() <= LONGEST_TREE {
        true => Layout::Tree { coloured: terminal.colours_stdout() },
        false => Layout::Line,
    };
    let out = console.out();
    match json::flaw(body) {
        None if terminal.stdout => {
            // Of JSON it can only be the same text.
            let text = String::from_utf8_lossy(body);
            json::write(out, json::harmless(&text).as_bytes(), layout)?;
        }
        None => json::write(out, body, layout)?,
        // A terminal is steered by nobody else.
        Some(_) if terminal.stdout => {
            let text = String::from_utf8_lossy(body);
            for (at, line) in text.lines().enumerate() {
                let end = if at == 0 { "" } else { "\n" };
                write!(out, "{end}{}", Terminal::clean(line))?;
            }
        }
        Some(_) => out.write_all(body)?,
    }
    out.write_all(b"\n")
}

/// `application/json`, `application/problem+json; charset=utf-8`.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == JSON || essence.ends_with("+json") || essence == "text/json"
}
