//! Packets that wait to be sent, and what each of them is.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::Header;

/// Packets that wait to be sent.
#[derive(Default)]
pub(super) struct Queue {
    /// Where calls wait they are in the order of their ids, and the first is not given up.
    packets: VecDeque<Queued>,
    bytes: usize,
    /// How many of them are given up.
    given_up: usize,
}

struct Queued {
    packet: Bytes,
    about: About,
}

/// What a packet is, for when it is taken or too large.
pub(super) enum About {
    Call(u64),
    Probe(u64),
    /// A call that is not to be sent any more; its packet is gone already.
    GivenUp(u64),
    /// The request's header, for an error in its place.
    Reply(Arc<Header>),
    /// The request's header and the error, for a shorter form of it.
    Error(Box<(Arc<Header>, Box<str>)>),
    /// There is nothing shorter to send.
    ShortError,
    /// A message of a stream.
    Message(u64),
    /// The end of a stream's messages; whoever has left does not miss it.
    End,
}

impl Queue {
    pub(super) fn push(&mut self, packet: Bytes, about: About) {
        if self.packets.capacity() == 0 {
            // Most of those who call have one request at a time, and there are many of them.
            self.packets.reserve_exact(1);
        }
        self.bytes += packet.len();
        self.packets.push_back(Queued { packet, about });
    }

    pub(super) fn push_front(&mut self, packet: Bytes, about: About) {
        self.bytes += packet.len();
        self.packets.push_front(Queued { packet, about });
    }

    pub(super) fn front(&self) -> Option<&Bytes> {
        self.packets.front().map(|queued| &queued.packet)
    }

    pub(super) fn pop(&mut self) -> Option<About> {
        let Queued { packet, about } = self.packets.pop_front()?;
        self.bytes -= packet.len();
        self.forget_given_up();
        Some(about)
    }

    /// The call is not to be sent any more.
    pub(super) fn give_up(&mut self, call: u64) {
        // Many may be given up together: each is found, and none is moved for another.
        let at = self.packets.binary_search_by_key(&Some(call), |queued| queued.about.call());
        if let Ok(at) = at {
            let queued = &mut self.packets[at];
            self.bytes -= queued.packet.len();
            *queued = Queued { packet: Bytes::new(), about: About::GivenUp(call) };
            self.given_up += 1;
            self.forget_given_up();
        }
    }

    pub(super) fn has_probe(&self) -> bool {
        self.packets.iter().any(|queued| matches!(queued.about, About::Probe(_)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The messages of this stream are not to be sent any more.
    pub(super) fn forget_messages(&mut self, stream: u64) {
        let bytes = &mut self.bytes;
        self.packets.retain(|queued| {
            let goes = matches!(queued.about, About::Message(id) if id == stream);
            *bytes -= if goes { queued.packet.len() } else { 0 };
            !goes
        });
    }

    /// Whether messages of a stream are among them.
    pub(super) fn has_messages(&self) -> bool {
        self.packets.iter().any(|queued| matches!(queued.about, About::Message(_)))
    }

    /// How many of them somebody waits for.
    pub(super) fn missed(&self) -> usize {
        self.packets.iter().filter(|queued| !matches!(queued.about, About::End)).count()
    }

    /// Forgets what was given up, once it is the next or the larger part of the queue.
    fn forget_given_up(&mut self) {
        while self.packets.front().is_some_and(Queued::is_given_up) {
            self.packets.pop_front();
            self.given_up -= 1;
        }
        if self.given_up > self.packets.len() / 2 {
            self.packets.retain(|queued| !queued.is_given_up());
            self.given_up = 0;
        }
    }
}

impl Queued {
    fn is_given_up(&self) -> bool {
        matches!(self.about, About::GivenUp(_))
    }
}

impl About {
    /// What names it where calls wait.
    fn call(&self) -> Option<u64> {
        match self {
            Self::Call(id) | Self::Probe(id) | Self::GivenUp(id) => Some(*id),
            _ => None,
        }
    }
}
