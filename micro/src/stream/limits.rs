//! How much of a stream is held.

use crate::hub::InboxLimits;

/// How much of a stream is held for whoever reads it. One of ours sends no more; if go-micro does, the
/// stream ends as `Overloaded`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamLimits {
    /// Messages; 16,384.
    pub messages: usize,
    /// Bytes of their bodies, beyond one message; 16 MiB.
    pub bytes: usize,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self { messages: 16_384, bytes: 16 << 20 }
    }
}

impl StreamLimits {
    /// Sets [`messages`](Self::messages).
    #[must_use]
    pub fn with_messages(mut self, messages: usize) -> Self {
        self.messages = messages;
        self
    }

    /// Sets [`bytes`](Self::bytes).
    #[must_use]
    pub fn with_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// `message`: how large one message may be.
    pub(crate) fn inbox(self, message: usize) -> InboxLimits {
        InboxLimits { messages: self.messages, bytes: self.bytes, message }
    }
}
