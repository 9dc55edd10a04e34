//! What has come on a stream and nobody has read yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use micro_core::{Error, ErrorKind, Result};

use super::lock;

/// How much of a stream is held for whoever reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InboxLimits {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
    /// How large one message may be.
    pub(crate) message: usize,
}

/// What has come on a stream and nobody has read yet, and how it ended.
pub(crate) struct Inbox {
    limits: InboxLimits,
    state: Mutex<State>,
    reader: AtomicWaker,
}

#[derive(Default)]
struct State {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// Nobody reads it.
    closed: bool,
    end: Option<Result<(), Arc<Error>>>,
    /// The reader was told of the end.
    told: bool,
}

impl Inbox {
    pub(crate) fn new(limits: InboxLimits) -> Arc<Self> {
        let (state, reader) = (Mutex::default(), AtomicWaker::new());
        Arc::new(Self { limits, state, reader })
    }

    /// Takes in a message; whoever reads is woken by [`wake`](Self::wake).
    ///
    /// # Errors
    /// Why the stream cannot go on.
    pub(crate) fn push(&self, message: Bytes) -> Result<()> {
        let mut state = lock(&self.state);
        if state.closed || state.end.is_some() {
            return Ok(());
        }
        let limits = &self.limits;
        if message.len() > limits.message {
            return Err(Error::too_large("a message of the stream", message.len(), limits.message));
        }
        let bytes = state.bytes + message.len();
        // One message always has room.
        if !state.messages.is_empty()
            && (state.messages.len() >= limits.messages || bytes > limits.bytes)
        {
            let detail = format!(
                "{} messages of the stream, {} bytes, wait to be read already",
                state.messages.len(),
                state.bytes
            );
            return Err(Error::new(ErrorKind::Overloaded, detail));
        }
        state.bytes = bytes;
        state.messages.push_back(message);
        Ok(())
    }

    /// Nothing comes any more, after what has come. The first end counts.
    pub(crate) fn end(&self, how: Result<()>) {
        let mut state = lock(&self.state);
        state.end.get_or_insert(how.map_err(Arc::new));
        drop(state);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        self.reader.wake();
    }

    /// Nobody reads it any more: what comes is dropped.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.messages = VecDeque::new();
        state.bytes = 0;
    }

    /// The error that it ended with, for who sends.
    pub(crate) fn error(&self) -> Option<Error> {
        match &lock(&self.state).end {
            Some(Err(error)) => Some(Error::clone(error)),
            _ => None,
        }
    }

    /// The next message, then the error if there is one, once; then `None`.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        // Before looking: what comes after that wakes.
        self.reader.register(cx.waker());
        let mut state = lock(&self.state);
        if let Some(message) = state.messages.pop_front() {
            state.bytes -= message.len();
            return Poll::Ready(Some(Ok(message)));
        }
        match &state.end {
            None => Poll::Pending,
            Some(Err(error)) if !state.told => {
                let error = Error::clone(error);
                state.told = true;
                Poll::Ready(Some(Err(error)))
            }
            Some(_) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    fn next(inbox: &Inbox) -> Option<Option<Result<Bytes>>> {
        poll_fn(|cx| inbox.poll(cx)).now_or_never()
    }

    #[test]
    fn what_came_before_the_error_is_read_before_it_and_the_error_once() {
        let limits = InboxLimits { messages: 2, bytes: 100, message: 50 };
        let inbox = Inbox::new(limits);
        inbox.push("a".into()).unwrap();
        inbox.push("b".into()).unwrap();
        let full = inbox.push("c".into()).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::Overloaded);
        inbox.end(Err(full));
        inbox.end(Ok(()));
        assert_eq!(next(&inbox).unwrap().unwrap().unwrap(), "a");
        assert_eq!(next(&inbox).unwrap().unwrap().unwrap(), "b");
        assert!(next(&inbox).unwrap().unwrap().is_err());
        assert!(next(&inbox).unwrap().is_none());
        assert!(inbox.error().is_some());
    }

    #[test]
    fn one_message_has_room_whatever_its_size_up_to_its_own_limit() {
        let inbox = Inbox::new(InboxLimits { messages: 0, bytes: 0, message: 5 });
        assert_eq!(inbox.push("123456".into()).unwrap_err().kind(), ErrorKind::TooLarge);
        inbox.push("12345".into()).unwrap();
        assert!(inbox.push("1".into()).is_err());
        assert!(next(&inbox).unwrap().unwrap().is_ok());
        assert!(next(&inbox).is_none(), "nothing has come, and it has not ended");
        inbox.close();
        inbox.push("1".into()).unwrap();
        assert!(next(&inbox).is_none(), "nobody reads it");
    }
}
