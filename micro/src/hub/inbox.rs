//! What has come on a stream and nobody has read yet.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use micro_core::wire::Window;
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

/// So many messages may be on their way at once, if the inbox has room for as many: enough for any
/// network that they are worth sending over, and many streams have room for theirs beside each other
/// where a connection holds 65,536 messages.
const ON_THE_WAY: usize = 2048;

impl InboxLimits {
    /// How much may be on its way to it.
    fn window(&self) -> Window {
        let number = |limit: usize| u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        Window::new(number(self.messages.min(ON_THE_WAY)), number(self.bytes))
    }

    fn grant(&self, read: Window, granted: Window) -> Option<Window> {
        let size = self.window();
        let half = Window::new(size.messages.div_ceil(2), size.bytes.div_ceil(2));
        (!granted.is_open_after(read.plus(half))).then(|| read.plus(size))
    }
}

/// A message, and what the other side is to be granted.
pub(crate) type Read = (Bytes, Option<Window>);

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
    /// What was read.
    read: Window,
    /// What the other side was granted, if anything.
    granted: Option<Window>,
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

    /// What may be sent to it before anything was read.
    pub(crate) fn first_window(&self) -> Window {
        self.limits.window()
    }

    /// The other side was told that so much may be sent.
    pub(crate) fn granted(&self, window: Window) {
        lock(&self.state).granted = Some(window);
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

    /// The next message, then the error if there is one, once; then `None`. With the message, what
    /// the other side is to be granted: when half of what it was has been read.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Read>>> {
        // Before looking: what comes after that wakes.
        self.reader.register(cx.waker());
        let mut state = lock(&self.state);
        if let Some(message) = state.messages.pop_front() {
            state.bytes -= message.len();
            state.read = state.read.with_message(message.len());
            let grant = state.granted.and_then(|granted| self.limits.grant(state.read, granted));
            return Poll::Ready(Some(Ok((message, grant))));
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
        let next = poll_fn(|cx| inbox.poll(cx)).now_or_never()?;
        Some(next.map(|read| read.map(|(message, _)| message)))
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

    #[test]
    fn the_other_side_is_granted_more_when_half_of_it_was_read() {
        let inbox = Inbox::new(InboxLimits { messages: 4, bytes: 100, message: 50 });
        let read = || {
            inbox.push("12345".into()).unwrap();
            poll_fn(|cx| inbox.poll(cx)).now_or_never().unwrap().unwrap().unwrap().1
        };
        assert_eq!(read(), None, "who was granted nothing keeps to nothing");
        inbox.granted(Window::new(5, 105));
        assert_eq!(read(), None);
        assert_eq!(read(), Some(Window::new(7, 115)));
        // Until it is said.
        assert_eq!(read(), Some(Window::new(8, 120)));
        inbox.granted(Window::new(8, 120));
        assert_eq!(read(), None);
    }

    #[test]
    fn bytes_are_granted_like_messages_and_what_holds_nothing_lets_one_come() {
        let inbox = Inbox::new(InboxLimits { messages: 1000, bytes: 10, message: 50 });
        inbox.granted(inbox.first_window());
        inbox.push("123456".into()).unwrap();
        let read = poll_fn(|cx| inbox.poll(cx)).now_or_never().unwrap().unwrap().unwrap();
        assert_eq!(read.1, Some(Window::new(1001, 16)));
        let none = Inbox::new(InboxLimits { messages: 0, bytes: 0, message: 50 });
        assert_eq!(none.first_window(), Window::new(1, 1));
    }
}
