//! What a peer does not take, it hands back.

use bytes::Bytes;
use micro_core::transport::{Bind, Refused};

use super::packets::noise;
use super::side::settle;
use super::{Fixture, Side, number, numbered, send};
use crate::Failure;
use crate::check::{Checked, ensure, poll_once, within};

/// Where a transport has no limit, or a very large one, this much is asked of it.
const LARGE: usize = 4 << 20;

pub(super) async fn the_largest_packet_arrives(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    // Until the first packet has gone through, a network's own limit may be unknown.
    send(&peer, "first").await?;
    server.packet("the first packet").await?;
    let packet = noise(peer.max_packet().min(LARGE));
    send(&peer, packet.clone()).await?;
    let (accepted, came) = server.packet("the largest packet").await?;
    ensure!(came == packet, "{} bytes were sent, {} others came", packet.len(), came.len());
    let answer = packet.slice(..accepted.max_packet().min(packet.len()));
    send(&accepted, answer.clone()).await?;
    let (_, came) = client.packet("the largest answer").await?;
    ensure!(came == answer, "{} bytes were answered, {} others came", answer.len(), came.len());
    Ok(())
}

pub(super) async fn a_packet_too_large_is_handed_back(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "first").await?;
    let (accepted, _) = server.packet("the first packet").await?;
    if let Some(sure) = fixture.transport().await.capabilities().max_packet {
        let limit = peer.max_packet();
        ensure!(limit >= sure, "{sure} bytes surely go through, but this peer takes {limit}");
    }
    for end in [&peer, &accepted] {
        // A limit beyond what a test can hold is as good as none.
        let Some(size) = end.max_packet().checked_add(1).filter(|size| *size <= 2 << 30) else {
            continue;
        };
        // Never touched, so that a large one costs no memory.
        let packet = Bytes::from(vec![0; size]);
        match end.try_send(packet.clone()) {
            Err(Refused::TooLarge(back)) => {
                let same = back.as_ptr() == packet.as_ptr() && back.len() == packet.len();
                ensure!(same || back == packet, "what was handed back is not what was sent");
            }
            other => return Err(Failure::new(format!("{size} bytes, one too many: {other:?}"))),
        }
    }
    // It harmed nothing.
    send(&peer, "next").await?;
    server.packet_of(accepted.id(), "next").await
}

pub(super) async fn a_full_peer_hands_back_and_is_ready_again(fixture: &dyn Fixture) -> Checked {
    let transport = fixture.transport().await;
    // Nobody receives at first, so what can fill up does.
    let (port, mut incoming) = within("open", transport.open(Bind::Any)).await??;
    settle(&*transport, &*port, &mut *incoming).await?;
    let address = port.local().unwrap_or_default().to_owned();
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    let mut taken = 0;
    let mut full = false;
    while taken < 20_000 && !full {
        match peer.try_send(numbered(taken)) {
            Ok(()) => taken += 1,
            Err(Refused::Full(back)) => {
                ensure!(back == numbered(taken), "what was handed back is not what was sent");
                full = true;
            }
            Err(refused) => return Err(Failure::new(format!("refused: {refused:?}"))),
        }
    }
    let waiting = tokio::spawn({
        let peer = peer.clone();
        async move { peer.ready().await }
    });
    let mut server = Side::pumped(port, incoming);
    within("ready, of a peer that is received from", waiting).await???;
    let last = b"the last";
    send(&peer, &last[..]).await?;

    let reliable = transport.capabilities().reliable;
    let mut next = 0;
    loop {
        let (_, packet) = server.packet("what was taken").await?;
        // Eight bytes too, but no number that was sent.
        if packet == last[..] {
            break;
        }
        let number = number(&packet)?;
        ensure!(number < taken, "number {number} came, which was handed back");
        let follows = number == next || (number > next && !reliable);
        ensure!(follows, "number {number} came, not {next}");
        next = number + 1;
    }
    ensure!(next == taken || !reliable, "{taken} were taken, {next} came");
    Ok(())
}

pub(super) async fn waiting_for_room_can_be_given_up(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    for n in 0..100 {
        // It reserves nothing: whoever asked and went away takes no room from others.
        for _ in 0..100 {
            let _ = poll_once(peer.ready());
        }
        send(&peer, numbered(n)).await?;
    }
    for n in 0..100 {
        let came = number(&server.packet("the packet").await?.1)?;
        ensure!(came == n, "number {came} came, not {n}");
    }
    Ok(())
}
