//! A transport that does one thing wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use micro_core::transport::{
    Arrival, Bind, Capabilities, Incoming, Link, Peer, PeerId, Port, Refused, Transport,
};
use micro_core::{Result, async_trait};

super::faults! { TransportFault of "transport":
    /// Every port says the same address.
    SaysOneAddress => every_port_gets_an_address_of_its_own,
    /// A port listens somewhere else than it was asked to.
    ListensElsewhere => a_port_listens_where_it_was_asked_to,
    /// A port says that it is reached where it is not.
    AdvertisesElsewhere => a_port_is_reached_where_it_says_that_it_is_now,
    /// Anything is an address.
    TakesAnyAddress => what_is_no_address_is_refused,
    /// Empty packets are lost.
    LosesEmptyPackets => an_empty_packet_arrives,
    /// Bytes that are no text are changed.
    SendsText => any_bytes_arrive_unchanged,
    /// Now and then a packet is lost.
    LosesPackets => ten_thousand_packets_keep_their_order,
    /// Now and then a packet arrives twice.
    DeliversTwice => ten_thousand_packets_keep_their_order,
    /// Packets that arrive together come in another order.
    Disorders => ten_thousand_packets_keep_their_order,
    /// Answers come in another order.
    DisordersAnswers => ten_thousand_answers_keep_their_order,
    /// A dial is told to the other side.
    DialsLoudly => dialling_is_local,
    /// What arrives is always of the first peer.
    MixesPeersUp => two_dials_are_two_peers,
    /// After a few, the ids of peers come again.
    UsesIdsAgain => a_peer_id_is_never_used_again,
    /// Nobody knows who dialled.
    ForgetsWhoDialled => both_ends_know_who_dialled,
    /// Large packets are cut.
    CutsLargePackets => the_largest_packet_arrives,
    /// A packet that is too large comes back changed.
    HandsBackLess => a_packet_too_large_is_handed_back,
    /// A packet that found no room is lost.
    LosesWhenFull => a_full_peer_hands_back_and_is_ready_again,
    /// Nobody is told that there is room again.
    IsNeverReady => a_full_peer_hands_back_and_is_ready_again,
    /// More packets are told as undelivered than were taken.
    CountsTooMany => no_more_packets_are_undelivered_than_were_taken,
    /// Another peer is told that nobody listens.
    TellsTheWrongPeer => nobody_there_is_told_to_the_peer_that_it_belongs_to,
    /// Nobody is told that nobody listens.
    HidesThatNobodyListens => nobody_there_is_told_to_the_peer_that_it_belongs_to,
    /// It is told twice that nobody listens.
    TellsTwice => no_more_packets_are_undelivered_than_were_taken,
    /// Every packet that was ever sent is told as undelivered.
    CountsWhatArrived => no_packet_that_arrived_is_undelivered,
    /// A peer takes packets after it was told that nobody listens.
    TakesAfterTheEnd => a_peer_with_nobody_there_takes_nothing,
    /// A closed peer takes packets.
    TakesAfterClose => a_closed_peer_takes_nothing,
    /// What was sent to a closed peer still comes.
    HearsAfterClose => a_closed_peer_yields_nothing,
    /// A close is not told.
    HidesTheClose => a_close_by_the_dialler_is_seen_after_its_packets,
    /// A close comes before what was sent.
    ClosesTooEarly => a_close_by_the_acceptor_is_seen_after_its_packets,
    /// A packet comes of a peer that is said to be closed.
    HearsTheGone => nothing_comes_after_a_close,
    /// Whoever stops listening listens on.
    ListensOn => nobody_new_is_heard_after_stop_listening,
    /// Whoever stops listening no longer answers.
    FallsSilent => answers_still_leave_after_stop_listening,
    /// Whoever stops listening hears no answers.
    GoesDeaf => answers_still_arrive_after_stop_listening,
    /// Only the first task that polled is ever woken.
    WakesTheFirst => a_receiver_can_move_between_tasks,
    /// A poll that is given up takes an arrival with it.
    ForgetsOnGivingUp => a_receive_is_pending_only_with_nothing,
    /// Packets may always have been lost.
    IsAlwaysInterrupted => an_outage_is_an_interruption_and_nothing_else_is,
}

/// A transport with one fault, or none.
pub struct FaultyTransport {
    inner: Arc<dyn Transport>,
    fault: Option<TransportFault>,
}

impl FaultyTransport {
    /// Breaks a transport.
    pub fn new(inner: Arc<dyn Transport>, fault: impl Into<Option<TransportFault>>) -> Self {
        Self { inner, fault: fault.into() }
    }
}

#[async_trait]
impl Transport for FaultyTransport {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    async fn open(&self, bind: Bind) -> Result<(Arc<dyn Port>, Box<dyn Incoming>)> {
        use TransportFault as F;
        let mut bind = bind;
        if let Bind::Address(address) = &mut bind {
            match self.fault {
                Some(F::ListensElsewhere) => address.push_str("-elsewhere"),
                Some(F::TakesAnyAddress) => *address = crate::unique("any"),
                _ => {}
            }
        }
        let (port, incoming) = self.inner.open(bind).await?;
        let state = Arc::new(State { fault: self.fault, ..State::default() });
        let port = FaultyPort { inner: port, state: state.clone() };
        let incoming = FaultyIncoming { inner: incoming, state, first: None, kept: Vec::new() };
        Ok((Arc::new(port), Box::new(incoming)))
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn health(&self) -> Result<()> {
        self.inner.health()
    }
}

impl fmt::Debug for FaultyTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyTransport").field("fault", &self.fault).finish_non_exhaustive()
    }
}

/// What the parts of a port share.
#[derive(Default)]
struct State {
    fault: Option<TransportFault>,
    sent: AtomicU64,
    arrived: AtomicU64,
    stopped: AtomicBool,
    /// The peers that are held by somebody, for those who tell the wrong one.
    peers: Mutex<BTreeMap<PeerId, Peer>>,
}

impl State {
    fn has(&self, fault: TransportFault) -> bool {
        self.fault == Some(fault)
    }

    fn peers(&self) -> MutexGuard<'_, BTreeMap<PeerId, Peer>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer as it is shown. The faults that need to find it again keep it alive.
    fn wrap(self: &Arc<Self>, inner: Peer) -> Peer {
        use TransportFault as F;
        let keeps = [F::MixesPeersUp, F::TellsTheWrongPeer];
        let kept = keeps.into_iter().any(|fault| self.has(fault));
        let link = FaultyLink { inner: inner.clone(), state: self.clone() };
        let peer = Peer::new(Arc::new(link));
        if kept {
            self.peers().entry(inner.id()).or_insert_with(|| peer.clone());
        }
        peer
    }
}

struct FaultyPort {
    inner: Arc<dyn Port>,
    state: Arc<State>,
}

#[async_trait]
impl Port for FaultyPort {
    fn local(&self) -> Option<&str> {
        let local = self.inner.local()?;
        Some(if self.state.has(TransportFault::SaysOneAddress) { "here" } else { local })
    }

    fn advertise(&self, address: &str) -> Result<String> {
        let advertised = self.inner.advertise(address)?;
        let elsewhere = self.state.has(TransportFault::AdvertisesElsewhere);
        Ok(if elsewhere { format!("{advertised}-elsewhere") } else { advertised })
    }

    fn dial(&self, address: &str) -> Result<Peer> {
        let peer = match self.inner.dial(address) {
            Err(_) if self.state.has(TransportFault::TakesAnyAddress) => {
                self.inner.dial("anywhere")?
            }
            other => other?,
        };
        if self.state.has(TransportFault::DialsLoudly) {
            let _ = peer.try_send(Bytes::from_static(b"hello"));
        }
        Ok(self.state.wrap(peer))
    }

    async fn stop_listening(&self) -> Result<()> {
        self.state.stopped.store(true, Ordering::SeqCst);
        if self.state.has(TransportFault::ListensOn) {
            return Ok(());
        }
        self.inner.stop_listening().await
    }

    async fn flush(&self) -> Result<()> {
        self.inner.flush().await
    }

    fn interruptions(&self) -> u64 {
        match self.state.has(TransportFault::IsAlwaysInterrupted) {
            true => self.state.sent.fetch_add(1, Ordering::SeqCst),
            false => self.inner.interruptions(),
        }
    }
}

struct FaultyIncoming {
    inner: Box<dyn Incoming>,
    state: Arc<State>,
    first: Option<Waker>,
    /// Packets that wait for a close to overtake them.
    kept: Vec<Arrival>,
}

impl Incoming for FaultyIncoming {
    fn poll_recv(&mut self, cx: &mut Context<'_>, out: &mut Vec<Arrival>) -> Poll<Result<()>> {
        use TransportFault as F;
        let first = self.first.get_or_insert_with(|| cx.waker().clone()).clone();
        let waker = if self.state.has(F::WakesTheFirst) { &first } else { cx.waker() };
        let cx = &mut Context::from_waker(waker);
        loop {
            let mut arrivals = Vec::new();
            match self.inner.poll_recv(cx, &mut arrivals) {
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
            let before = out.len();
            if self.state.has(F::Disorders) && arrivals.len() > 1 {
                arrivals.reverse();
            }
            for arrival in arrivals {
                self.arrive(arrival, out);
            }
            if self.state.has(F::ForgetsOnGivingUp) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if out.len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl FaultyIncoming {
    fn arrive(&mut self, arrival: Arrival, out: &mut Vec<Arrival>) {
        use TransportFault as F;
        let count = self.state.arrived.fetch_add(1, Ordering::SeqCst) + 1;
        match arrival {
            Arrival::Packet { peer, mut packet } => {
                let dialled = !peer.accepted();
                let mut peer = self.state.wrap(peer);
                let deaf = dialled && self.state.stopped.load(Ordering::SeqCst);
                match self.state.fault {
                    Some(F::GoesDeaf) if deaf => return,
                    Some(F::LosesPackets) if count.is_multiple_of(50) => return,
                    Some(F::DeliversTwice) if count.is_multiple_of(50) => {
                        out.push(Arrival::Packet { peer: peer.clone(), packet: packet.clone() });
                    }
                    Some(F::DisordersAnswers) if dialled => {
                        self.kept.push(Arrival::Packet { peer, packet });
                        // In pairs, the second one first; what has no other comes alone.
                        if count.is_multiple_of(2) || count < 10 {
                            out.extend(self.kept.drain(..).rev());
                        }
                        return;
                    }
                    Some(F::CutsLargePackets) => packet.truncate(100_000),
                    Some(F::MixesPeersUp) => {
                        let known = self.state.peers();
                        let first = known.values().find(|k| k.accepted() == peer.accepted());
                        peer = first.cloned().unwrap_or(peer);
                    }
                    Some(F::ClosesTooEarly) if dialled => {
                        self.kept.push(Arrival::Packet { peer, packet });
                        return;
                    }
                    _ => {}
                }
                out.push(Arrival::Packet { peer, packet });
            }
            Arrival::Undelivered { peer, mut packets } => {
                let mut peer = self.state.wrap(peer);
                match self.state.fault {
                    Some(F::HidesThatNobodyListens) => return,
                    Some(F::CountsTooMany) => packets += 1,
                    Some(F::TellsTwice) => {
                        out.push(Arrival::Undelivered { peer: peer.clone(), packets });
                    }
                    Some(F::TellsTheWrongPeer) => {
                        let others = self.state.peers();
                        let other = others.values().find(|other| other.id() != peer.id());
                        peer = other.cloned().unwrap_or(peer);
                    }
                    _ => {}
                }
                out.push(Arrival::Undelivered { peer, packets });
            }
            Arrival::Closed { peer, mut packets } => {
                let peer = self.state.wrap(peer);
                match self.state.fault {
                    Some(F::HidesTheClose) => return,
                    Some(F::CountsWhatArrived) => {
                        packets = self.state.sent.load(Ordering::SeqCst);
                    }
                    _ => {}
                }
                out.push(Arrival::Closed { peer: peer.clone(), packets });
                if self.state.has(F::HearsTheGone) {
                    out.push(Arrival::Packet { peer, packet: Bytes::new() });
                }
                out.append(&mut self.kept);
            }
            other => out.push(other),
        }
    }
}

struct FaultyLink {
    inner: Peer,
    state: Arc<State>,
}

#[async_trait]
impl Link for FaultyLink {
    fn id(&self) -> PeerId {
        let id = self.inner.id();
        if self.state.has(TransportFault::UsesIdsAgain) { PeerId(id.0 % 8) } else { id }
    }

    fn accepted(&self) -> bool {
        self.inner.accepted() && !self.state.has(TransportFault::ForgetsWhoDialled)
    }

    fn remote(&self) -> &str {
        self.inner.remote()
    }

    fn max_packet(&self) -> usize {
        self.inner.max_packet()
    }

    fn try_send(&self, packet: Bytes) -> Result<(), Refused> {
        use TransportFault as F;
        self.state.sent.fetch_add(1, Ordering::SeqCst);
        let mut packet = packet;
        let stopped = self.state.stopped.load(Ordering::SeqCst);
        match self.state.fault {
            Some(F::LosesEmptyPackets) if packet.is_empty() => return Ok(()),
            Some(F::FallsSilent) if stopped && self.inner.accepted() => return Ok(()),
            Some(F::SendsText) => packet = String::from_utf8_lossy(&packet).into_owned().into(),
            _ => {}
        }
        match (self.inner.try_send(packet), self.state.fault) {
            (Err(Refused::TooLarge(packet)), Some(F::HandsBackLess)) => {
                Err(Refused::TooLarge(packet.slice(1..)))
            }
            (Err(Refused::Full(_)), Some(F::LosesWhenFull)) => Ok(()),
            (Err(Refused::Closed(_)), Some(F::TakesAfterTheEnd | F::TakesAfterClose)) => Ok(()),
            (outcome, _) => outcome,
        }
    }

    async fn ready(&self) -> Result<()> {
        if self.state.has(TransportFault::IsNeverReady) {
            return std::future::pending().await;
        }
        self.inner.ready().await
    }

    fn close(&self) {
        // To hear on, it must not be told that it is closed.
        if !self.state.has(TransportFault::HearsAfterClose) {
            self.inner.close();
        }
    }
}
