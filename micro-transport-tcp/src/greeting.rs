//! What each side says first.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::address::Id;

/// No text begins like this, and neither does TLS.
const MAGIC: [u8; 8] = *b"\x9emicro\r\n";
/// The highest version that is spoken here. Both sides speak the lower one of theirs.
const VERSION: u8 = 1;
/// Magic, version, role and the length of what follows.
pub(crate) const HEAD: usize = 11;
/// The most that follows.
#[cfg(test)]
const MOST: usize = 255;

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Greeting {
    pub(crate) role: Role,
    /// The largest packet that this side takes.
    pub(crate) max_packet: u32,
    /// Which port this is; an acceptor says so.
    pub(crate) id: Option<Id>,
}

/// Who says it: a connection to oneself, which TCP can make of a dial, is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Dialler,
    Acceptor,
}

/// Why bytes are no greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// It begins with something else.
    Magic,
    /// A version that never was.
    Version,
    /// A role that there is not.
    Role,
    /// What follows is too short for what it has to say, or says it wrongly.
    Body,
}

impl Greeting {
    pub(crate) fn encode(&self) -> Bytes {
        let id = self.id.as_ref().map_or(&b""[..], |id| id.as_str().as_bytes());
        let mut out = BytesMut::with_capacity(HEAD + 5 + id.len());
        out.put_slice(&MAGIC);
        out.put_u8(VERSION);
        out.put_u8(match self.role {
            Role::Dialler => 1,
            Role::Acceptor => 2,
        });
        // An id has at most 32 bytes.
        out.put_u8(5 + id.len() as u8);
        out.put_u32(self.max_packet);
        out.put_u8(id.len() as u8);
        out.put_slice(id);
        out.freeze()
    }

    /// How many bytes follow these first ones.
    pub(crate) fn follows(head: &[u8; HEAD]) -> Result<usize, Flaw> {
        let [magic @ .., version, role, length] = head;
        if *magic != MAGIC {
            return Err(Flaw::Magic);
        }
        if *version == 0 {
            return Err(Flaw::Version);
        }
        Self::role(*role)?;
        Ok(usize::from(*length))
    }

    /// The greeting of which these are the parts. What a later version adds to its end is passed
    /// over.
    pub(crate) fn decode(head: &[u8; HEAD], body: &[u8]) -> Result<Self, Flaw> {
        if Self::follows(head)? != body.len() {
            return Err(Flaw::Body);
        }
        let role = Self::role(head[9])?;
        let (max_packet, rest) = body.split_first_chunk().ok_or(Flaw::Body)?;
        let (length, rest) = rest.split_first().ok_or(Flaw::Body)?;
        let id = rest.get(..usize::from(*length)).ok_or(Flaw::Body)?;
        let id = match id {
            [] => None,
            id => Some(str::from_utf8(id).ok().and_then(Id::parse).ok_or(Flaw::Body)?),
        };
        Ok(Self { role, max_packet: u32::from_be_bytes(*max_packet), id })
    }

    fn role(byte: u8) -> Result<Role, Flaw> {
        match byte {
            1 => Ok(Role::Dialler),
            2 => Ok(Role::Acceptor),
            _ => Err(Flaw::Role),
        }
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Magic => "it does not speak this protocol",
            Self::Version => "its greeting has no version",
            Self::Role => "its greeting has no role",
            Self::Body => "its greeting is broken",
        })
    }
}

impl std::error::Error for Flaw {}

#[cfg(test)]
mod tests {
    use super::*;

    fn acceptor() -> Greeting {
        Greeting { role: Role::Acceptor, max_packet: 0x0102_0304, id: Id::parse("a1B2") }
    }

    fn decode(bytes: &[u8]) -> Result<Greeting, Flaw> {
        let (head, body) = bytes.split_first_chunk().unwrap();
        Greeting::decode(head, body)
    }

    #[test]
    fn a_greeting_has_the_bytes_that_the_readme_says() {
        let expected = b"\x9emicro\r\n\x01\x02\x09\x01\x02\x03\x04\x04a1B2";
        assert_eq!(acceptor().encode(), expected[..]);
        assert_eq!(decode(expected), Ok(acceptor()));
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let mut later = acceptor().encode().to_vec();
        later[8] = 7;
        later.extend([0; MOST - 9]);
        later[10] = MOST as u8;
        assert_eq!(decode(&later), Ok(acceptor()));
    }

    #[test]
    fn what_is_no_greeting_is_refused_with_the_reason() {
        let good = acceptor().encode();
        for (at, byte, flaw) in [
            (0, b'G', Flaw::Magic),
            (7, 0, Flaw::Magic),
            (8, 0, Flaw::Version),
            (9, 0, Flaw::Role),
            (9, 3, Flaw::Role),
            (10, 8, Flaw::Body),
            (15, 5, Flaw::Body),
            (16, b'/', Flaw::Body),
            (16, 0xff, Flaw::Body),
        ] {
            let mut bad = good.to_vec();
            bad[at] = byte;
            assert_eq!(decode(&bad), Err(flaw), "byte {at} is {byte}");
        }
        for short in HEAD..good.len() {
            let mut bad = good[..short].to_vec();
            assert_eq!(decode(&bad), Err(Flaw::Body));
            bad[10] = (short - HEAD) as u8;
            assert_eq!(decode(&bad), Err(Flaw::Body), "{short} bytes");
        }
    }
}
