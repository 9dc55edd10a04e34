//! Peers, dialled and accepted.

use std::collections::{BTreeMap, BTreeSet};

use micro_core::transport::{Arrival, Bind, Refused};

use super::{Fixture, Side, number, numbered, send};
use crate::Failure;
use crate::check::{Checked, ensure};

pub(super) async fn dialling_is_local(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let nowhere = fixture.address();
    let mut unused = Vec::new();
    for _ in 0..500 {
        unused.push(client.port.dial(&nowhere)?);
        unused.push(client.port.dial(&server.address()?)?);
    }
    // Neither end is told anything before a packet is sent.
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "first").await?;
    let (accepted, packet) = server.packet("the first packet").await?;
    ensure!(packet == "first", "{packet:?} came");
    send(&accepted, "answer").await?;
    client.packet_of(peer.id(), "answer").await
}

pub(super) async fn two_dials_are_two_peers(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let (one, two) = (client.port.dial(&address)?, client.port.dial(&address)?);
    ensure!(one.id() != two.id(), "two dials are one peer: {:?}", one.id());
    send(&one, "one").await?;
    let (first, _) = server.packet("of the one").await?;
    send(&two, "two").await?;
    let (second, _) = server.packet("of the other").await?;
    ensure!(first.id() != second.id(), "two dials were accepted as one: {:?}", first.id());
    send(&second, "to two").await?;
    client.packet_of(two.id(), "to two").await?;
    send(&first, "to one").await?;
    client.packet_of(one.id(), "to one").await?;
    send(&one, "one again").await?;
    server.packet_of(first.id(), "one again").await
}

pub(super) async fn many_peers_are_kept_apart(fixture: &dyn Fixture) -> Checked {
    const PEERS: u64 = 100;
    const ROUNDS: u64 = 3;
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut clients =
        [Side::open(fixture, Bind::ClientOnly).await?, Side::open(fixture, Bind::Any).await?];
    let address = server.address()?;
    let mut peers = Vec::new();
    for n in 0..PEERS {
        peers.push(clients[(n % 2) as usize].port.dial(&address)?);
    }
    // By what each says, the acceptor knows it again.
    let mut known = BTreeMap::new();
    for round in 0..ROUNDS {
        for (n, peer) in (0..).zip(&peers) {
            send(peer, numbered(n)).await?;
        }
        for _ in 0..PEERS {
            let (accepted, packet) = server.packet("a packet of each").await?;
            let n = number(&packet)?;
            let same = *known.entry(n).or_insert(accepted.id()) == accepted.id();
            ensure!(same, "round {round}: dialler {n} came as another peer");
            send(&accepted, packet).await?;
        }
        let ids: BTreeSet<_> = known.values().collect();
        ensure!(ids.len() as u64 == PEERS, "{PEERS} dials were accepted as {}", ids.len());
        for n in 0..PEERS {
            // In what order the peers are answered is not said; to whom is.
            let client = &mut clients[(n % 2) as usize];
            let (peer, packet) = client.packet("an answer to each").await?;
            let said = number(&packet)?;
            let own = peers.get(said as usize).is_some_and(|own| own.id() == peer.id());
            ensure!(own, "the answer to dialler {said} came to {:?}", peer.id());
        }
    }
    Ok(())
}

pub(super) async fn a_peer_id_is_never_used_again(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let (mut dialled, mut accepted) = (BTreeSet::new(), BTreeSet::new());
    for n in 0..50 {
        let peer = client.port.dial(&address)?;
        ensure!(dialled.insert(peer.id()), "{:?} was dialled again", peer.id());
        send(&peer, numbered(n)).await?;
        let end = loop {
            match server.next("the packet").await? {
                Arrival::Packet { peer, .. } => break peer,
                Arrival::Closed { .. } => {}
                other => return Err(Failure::new(format!("{other:?} came"))),
            }
        };
        ensure!(accepted.insert(end.id()), "{:?} was accepted again", end.id());
        if n % 2 == 0 {
            peer.close();
        }
    }
    // A dial of the listening port is one of its peers too.
    let own = server.port.dial(&address)?;
    ensure!(!accepted.contains(&own.id()), "{:?} is dialled and accepted", own.id());
    Ok(())
}

pub(super) async fn both_ends_know_who_dialled(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::Any).await?;
    let address = server.address()?;
    let peer = client.port.dial(&address)?;
    ensure!(!peer.accepted(), "who was dialled says that it dialled");
    ensure!(peer.remote() == address, "dialled {address}, it says {}", peer.remote());
    send(&peer, "hello").await?;
    let (accepted, _) = server.packet("hello").await?;
    ensure!(accepted.accepted(), "who dialled us says that it did not");
    let (sends, answers) = (peer.max_packet(), accepted.max_packet());
    ensure!(sends > 0 && answers > 0, "no packet is small enough: {sends}, {answers}");
    Ok(())
}

pub(super) async fn a_forgotten_peer_hears_nothing(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let forgotten = client.port.dial(&server.address()?)?;
    send(&forgotten, "hello").await?;
    let (end, _) = server.packet("hello").await?;
    let id = forgotten.id();
    drop(forgotten);
    // Taken or not: it must not arrive.
    let _ = end.try_send(numbered(1));

    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "and now").await?;
    let accepted = loop {
        match server.next("the next peer").await? {
            Arrival::Packet { peer, packet } if packet == "and now" => break peer,
            Arrival::Packet { packet, .. } => {
                return Err(Failure::new(format!("{packet:?} came, which nobody sent")));
            }
            _ => {}
        }
    };
    send(&accepted, "answer").await?;
    let (from, packet) = client.packet("the answer").await?;
    ensure!(from.id() != id, "{packet:?} came to a peer that was dropped");
    ensure!(from.id() == peer.id() && packet == "answer", "{packet:?} came");
    Ok(())
}

pub(super) async fn an_accepted_peer_that_was_forgotten_is_no_dead_end(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "first").await?;
    let (accepted, _) = server.packet("the first packet").await?;
    let id = accepted.id();
    drop(accepted);
    server.forget(id);
    // Either the dialler is told that this one is over, or it is accepted again as a new one.
    match peer.try_send("second".into()) {
        Ok(()) => {}
        Err(Refused::Closed(_)) => return Ok(()),
        Err(refused) => return Err(Failure::new(format!("refused: {refused:?}"))),
    }
    tokio::select! {
        came = server.packet("the second packet") => {
            let (again, packet) = came?;
            ensure!(packet == "second", "{packet:?} came");
            ensure!(again.id() != id, "{id:?} was forgotten, and is there again");
        }
        told = client.next("that the peer is over") => {
            let told = told?;
            ensure!(told.peer().id() == peer.id(), "{told:?} came");
            ensure!(!matches!(told, Arrival::Packet { .. }), "{told:?} came");
        }
    }
    Ok(())
}
