//! How much of a stream whoever reads it takes.

use std::fmt;
use std::str::FromStr;

use crate::{Error, Result};

/// How much may be sent on a stream, counted from its beginning: so many messages, with so many
/// bytes of bodies; a message is sent while neither is reached.
///
/// go-micro's streams have no such thing: who reads too slowly loses. A caller of ours says it in
/// its [probes](super::Session::grant), which go-micro answers as any call of an endpoint that it
/// has not, and a service of ours keeps to it. As text it is both numbers, decimal, with a space
/// between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Window {
    /// Messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Window {
    /// So much.
    pub fn new(messages: u64, bytes: u64) -> Self {
        Self { messages, bytes }
    }

    /// One message more.
    #[must_use]
    pub fn with_message(self, bytes: usize) -> Self {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.plus(Self { messages: 1, bytes })
    }

    /// So much more.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(more.messages),
            bytes: self.bytes.saturating_add(more.bytes),
        }
    }

    /// Whether a message may be sent after so much.
    pub fn is_open_after(self, sent: Self) -> bool {
        sent.messages < self.messages && sent.bytes < self.bytes
    }

    /// The larger of both, of each number: what was said later may come earlier.
    pub(super) fn or(self, other: Self) -> Self {
        Self { messages: self.messages.max(other.messages), bytes: self.bytes.max(other.bytes) }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.messages, self.bytes)
    }
}

impl FromStr for Window {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse::<u64>().ok();
        let both = text.split_once(' ').and_then(|(m, b)| Some((number(m)?, number(b)?)));
        let (messages, bytes) =
            both.ok_or_else(|| Error::invalid_input("this is no window of a stream"))?;
        Ok(Self { messages, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_comes_back_from_its_text_and_nothing_else_is_one() {
        let window = Window::new(4096, u64::MAX);
        assert_eq!(window.to_string().parse::<Window>().unwrap(), window);
        for text in ["", "1", "1 ", "1 -1", "1 2 3", "a b", "1,2", "99999999999999999999 1"] {
            assert!(text.parse::<Window>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn it_is_open_until_either_number_is_reached() {
        let window = Window::new(2, 10);
        let one = Window::default().with_message(9);
        assert!(window.is_open_after(Window::default()));
        assert!(window.is_open_after(one));
        assert!(!window.is_open_after(one.with_message(0)));
        assert!(!window.is_open_after(Window::default().with_message(10)));
        assert_eq!(window.or(Window::new(1, 20)), Window::new(2, 20));
    }
}
