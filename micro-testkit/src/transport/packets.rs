//! Packets: content and order.

use std::collections::BTreeMap;

use bytes::Bytes;
use micro_core::transport::{Bind, Peer, Refused};
use tokio::task::JoinSet;

use super::{Fixture, Side, number, numbered, send};
use crate::Failure;
use crate::check::{Checked, ensure, within};

/// Says that everything has been sent; longer than any packet with a number.
const END: &[u8] = b"the end of it";

pub(super) async fn a_packet_arrives_and_its_answer_too(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::Any).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "question").await?;
    let (accepted, packet) = server.packet("the question").await?;
    ensure!(packet == "question", "{packet:?} came");
    for answer in ["first answer", "second answer"] {
        send(&accepted, answer).await?;
        client.packet_of(peer.id(), answer).await?;
    }
    send(&peer, "another question").await?;
    server.packet_of(accepted.id(), "another question").await
}

pub(super) async fn an_empty_packet_arrives(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, Bytes::new()).await?;
    let (accepted, packet) = server.packet("the empty packet").await?;
    ensure!(packet.is_empty(), "{packet:?} came");
    send(&accepted, Bytes::new()).await?;
    client.packet_of(peer.id(), Bytes::new()).await
}

pub(super) async fn any_bytes_arrive_unchanged(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    let sizes = [1, 2, 3, 4, 100, 255, 256, 257, 4096, 65_535, 65_536, 65_537, 500_000];
    let mut packets: Vec<Bytes> = sizes.into_iter().map(noise).collect();
    packets.extend((0..=u8::MAX).map(|byte| Bytes::from(vec![byte; 3])));
    packets.extend(["{}", "null", "PING\r\n", "{\"Header\":null}", "\r\n", "\0"].map(Bytes::from));
    packets.retain(|packet| packet.len() <= peer.max_packet());
    for packet in packets {
        send(&peer, packet.clone()).await?;
        let (accepted, came) = server.packet("the packet").await?;
        ensure!(came == packet, "{} bytes came as {} others", packet.len(), came.len());
        send(&accepted, came).await?;
        client.packet_of(peer.id(), packet).await?;
    }
    Ok(())
}

/// Bytes in no order, always the same.
pub(super) fn noise(size: usize) -> Bytes {
    let mut state = size as u64;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..size).map(|_| next()).collect()
}

pub(super) async fn ten_thousand_packets_keep_their_order(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    let sending = tokio::spawn(async move { send_numbers(&peer, 10_000).await.map(|()| peer) });
    let reliable = fixture.transport().await.capabilities().reliable;
    let peer = within("sending", sending).await???;
    in_order(&mut server, &peer, 10_000, reliable).await
}

pub(super) async fn ten_thousand_answers_keep_their_order(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "ask").await?;
    let (accepted, _) = server.packet("the question").await?;
    let sending =
        tokio::spawn(async move { send_numbers(&accepted, 10_000).await.map(|()| accepted) });
    let reliable = fixture.transport().await.capabilities().reliable;
    let accepted = within("sending", sending).await???;
    in_order(&mut client, &accepted, 10_000, reliable).await
}

async fn send_numbers(peer: &Peer, count: u64) -> Checked {
    for n in 0..count {
        send(peer, numbered(n)).await?;
    }
    Ok(())
}

/// Receives numbers in their order; all of them, if the transport is reliable.
async fn in_order(to: &mut Side, from: &Peer, count: u64, reliable: bool) -> Checked {
    let (mut next, mut came) = (0, 0_u64);
    send(from, END).await?;
    loop {
        let (_, packet) = to.packet("numbered packets, and their end").await?;
        if packet == END {
            break;
        }
        let number = number(&packet)?;
        ensure!(number >= next, "number {number} came when {next} was next");
        ensure!(number == next || !reliable, "number {number} came, not {next}");
        next = number + 1;
        came += 1;
    }
    ensure!(came == count || !reliable, "of {count} packets {came} came");
    ensure!(came > 0, "of {count} packets none came");
    Ok(())
}

pub(super) async fn threads_that_share_a_peer_keep_their_order(fixture: &dyn Fixture) -> Checked {
    const THREADS: u64 = 4;
    const EACH: u64 = 1_000;
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    let mut threads = JoinSet::new();
    for thread in 0..THREADS {
        let peer = peer.clone();
        let handle = tokio::runtime::Handle::current();
        threads.spawn_blocking(move || {
            for n in 0..EACH {
                let mut packet = numbered(thread << 32 | n);
                while let Err(refused) = peer.try_send(packet) {
                    let Refused::Full(back) = refused else {
                        return Err(Failure::new(format!("refused: {refused:?}")));
                    };
                    packet = back;
                    handle.block_on(within("room", peer.ready()))??;
                }
            }
            Ok(())
        });
    }
    while let Some(outcome) = within("the threads", threads.join_next()).await? {
        outcome??;
    }
    send(&peer, END).await?;
    let reliable = fixture.transport().await.capabilities().reliable;
    let mut next = BTreeMap::new();
    loop {
        let packet = server.packet("a packet of some thread").await?.1;
        if packet == END {
            break;
        }
        let number = number(&packet)?;
        let (thread, number) = (number >> 32, number & 0xffff_ffff);
        let next = next.entry(thread).or_insert(0);
        let follows = number == *next || (!reliable && number > *next);
        ensure!(follows, "of thread {thread} number {number} came, not {next}");
        *next = number + 1;
    }
    let all = next.len() as u64 == THREADS && next.values().all(|next| *next == EACH);
    ensure!(all || !reliable, "not everything came: {next:?}");
    Ok(())
}

pub(super) async fn garbage_harms_no_port(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let peer = client.port.dial(&address)?;
    for round in 0..3 {
        within("sending garbage", fixture.garbage(&address)).await?;
        let question = format!("question {round}");
        send(&peer, question.clone()).await?;
        let accepted = loop {
            // What looks like a packet may come as one; nothing else may.
            let (from, packet) = server.packet("the question, after garbage").await?;
            if packet == question {
                break from;
            }
        };
        send(&accepted, "answer").await?;
        client.packet_of(peer.id(), "answer").await?;
    }
    Ok(())
}

pub(super) async fn flushing_ends_in_time(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    within("flush, of nothing", client.port.flush()).await??;
    let peer = client.port.dial(&server.address()?)?;
    for n in 0..100 {
        send(&peer, numbered(n)).await?;
    }
    within("flush", client.port.flush()).await??;
    for n in 0..100 {
        let came = number(&server.packet("a flushed packet").await?.1)?;
        ensure!(came == n, "number {came} came, not {n}");
    }
    Ok(())
}
