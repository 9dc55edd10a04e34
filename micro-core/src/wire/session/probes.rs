//! Probes: whether a peer lives, and how much of a stream either side takes.

use super::events::RequestId;
use super::queue::About;
use super::{PROBE_ENDPOINT, Role, Session};
use crate::header::keys::{MICRO_REQUEST_WINDOW, MICRO_WINDOW};
use crate::wire::gomicro::{self, Outgoing};
use crate::wire::window::Window;
use crate::{Error, Header};

impl Session {
    /// Whether the other side takes one message more of a stream: always, unless it is one of ours
    /// and has said how much it takes.
    pub fn may_send(&self) -> bool {
        match &self.role {
            Role::Client(_) => true,
            Role::Streaming(outbound) => outbound.may_send(),
            Role::Server(_, inbound) => inbound.may_send(),
        }
    }

    /// Asks the service of the stream of this session how much more it takes, if half of what it
    /// has said is used up and it is not asked already. It answers at once, perhaps that it takes no
    /// more: then it is to be asked again after a while.
    pub fn ask_window(&mut self) {
        let Role::Streaming(outbound) = &mut self.role else { return };
        if outbound.asks_window() {
            self.push_probe(&Header::new());
        }
    }

    /// Answers a [probe](Self::probe): this process has no such endpoint, and takes so much of the
    /// stream that the prober has opened, if there is one. False as for [`reply`](Self::reply).
    pub fn answer_probe(
        &mut self,
        probe: RequestId,
        error: &Error,
        window: Option<Window>,
    ) -> bool {
        let Role::Server(requests, _) = &mut self.role else { return false };
        let Some(window) = window else { return self.reply(probe, Err(error)) };
        let Some(header) = requests.remove(probe.0) else { return false };
        let mut said = Header::clone(&header);
        said.insert(MICRO_REQUEST_WINDOW, window.to_string());
        let (packet, text) = gomicro::encode_error(&said, error);
        self.queue.push(packet, About::Error(Box::new((header, text))));
        true
    }

    /// Queues a request for an endpoint that nobody has: whoever is there answers that it has
    /// none, and the answer is dropped. So a peer that is silent shows whether it lives, and one
    /// that forgets silent callers does not forget this one. Does nothing on a session that was
    /// accepted, and while the last probe has not been taken.
    pub fn probe(&mut self) {
        if matches!(self.role, Role::Server(..)) || self.queue.has_probe() {
            return;
        }
        self.push_probe(&Header::new());
    }

    /// [Probes](Self::probe) the service of the stream of this session, and says how much it may
    /// send on it from the beginning: whoever reads says more before that is reached. False, and
    /// nothing is said, if it is not known that the service keeps to it, or the stream is over.
    pub fn grant(&mut self, window: Window) -> bool {
        let keeps = matches!(&self.role, Role::Streaming(outbound) if outbound.is_granted());
        if keeps {
            self.push_probe(&Header::from_iter([(MICRO_WINDOW, window.to_string())]));
        }
        keeps
    }

    fn push_probe(&mut self, metadata: &Header) {
        let id = self.next;
        self.next += 1;
        self.probes.push(id);
        let probe = Outgoing { metadata, ..nobodys_endpoint() };
        self.queue.push(gomicro::encode_request(id, &probe), About::Probe(id));
    }
}

/// The question whether somebody is there.
pub(super) fn nobodys_endpoint() -> Outgoing<'static> {
    const NONE: &Header = &Header::new();
    Outgoing {
        service: "",
        endpoint: PROBE_ENDPOINT,
        content_type: crate::codec::JSON,
        timeout: None,
        metadata: NONE,
        body: b"",
    }
}

pub(super) fn is_probe(header: &Header) -> bool {
    gomicro::endpoint(header) == PROBE_ENDPOINT
}
