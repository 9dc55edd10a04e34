//! The end of a peer.

use micro_core::transport::{Arrival, Bind, recv};

use super::{Fixture, Side, numbered, send, send_until_refused, takes_nothing};
use crate::Failure;
use crate::check::{Checked, ensure, within};

pub(super) async fn a_closed_peer_takes_nothing(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let unused = client.port.dial(&server.address()?)?;
    unused.close();
    takes_nothing(&unused).await?;
    let peer = client.port.dial(&server.address()?)?;
    let other = peer.clone();
    send(&peer, "hello").await?;
    let (accepted, _) = server.packet("hello").await?;
    peer.close();
    takes_nothing(&peer).await?;
    takes_nothing(&other).await?;
    accepted.close();
    takes_nothing(&accepted).await
}

pub(super) async fn a_closed_peer_yields_nothing(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let transport = fixture.transport().await;
    let (port, mut incoming) = within("open", transport.open(Bind::ClientOnly)).await??;
    let address = server.address()?;
    let (closes, stays) = (port.dial(&address)?, port.dial(&address)?);
    let mut ends = Vec::new();
    for peer in [&closes, &stays] {
        send(peer, "hello").await?;
        let mut nothing = Vec::new();
        // Received from meanwhile, since on some backends nothing leaves otherwise.
        tokio::select! {
            came = server.packet("hello") => ends.push(came?.0),
            _ = recv(&mut *incoming, &mut nothing) => {
                return Err(Failure::new(format!("{nothing:?} came, which nobody sent")));
            }
        }
    }
    for n in 0..10 {
        send(&ends[0], numbered(n)).await?;
    }
    closes.close();
    send(&ends[1], "still here").await?;
    let mut arrivals = Vec::new();
    while arrivals.is_empty() {
        within("the other peer's packet", recv(&mut *incoming, &mut arrivals)).await??;
    }
    for arrival in arrivals {
        let own = arrival.peer().id() == stays.id();
        ensure!(own, "{arrival:?} came of a peer that had been closed");
    }
    Ok(())
}

pub(super) async fn a_close_by_the_dialler_is_seen_after_its_packets(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    for n in 0..10 {
        send(&peer, numbered(n)).await?;
    }
    peer.close();
    let mut accepted = None;
    for n in 0..10 {
        let (from, packet) = server.packet("what was sent before").await?;
        ensure!(packet == numbered(n), "{packet:?} came, not number {n}");
        accepted = Some(from);
    }
    let Some(accepted) = accepted else {
        return Err(Failure::new("nothing came"));
    };
    end(fixture, &mut server, &accepted).await?;
    // The port itself goes on.
    let next = client.port.dial(&server.address()?)?;
    send(&next, "next").await?;
    let (from, packet) = server.packet("the next peer").await?;
    ensure!(packet == "next" && from.id() != accepted.id(), "{packet:?} came of {from:?}");
    Ok(())
}

pub(super) async fn a_close_by_the_acceptor_is_seen_after_its_packets(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "hello").await?;
    let (accepted, _) = server.packet("hello").await?;
    for n in 0..10 {
        send(&accepted, numbered(n)).await?;
    }
    accepted.close();
    for n in 0..10 {
        client.packet_of(peer.id(), numbered(n)).await?;
    }
    end(fixture, &mut client, &peer).await
}

/// The close is told, where it can be, and nothing of it where it cannot.
async fn end(
    fixture: &dyn Fixture,
    side: &mut Side,
    peer: &micro_core::transport::Peer,
) -> Checked {
    if !fixture.transport().await.capabilities().closed {
        // Something else that arrives proves that nothing came before it.
        let mut other = Side::open(fixture, Bind::Any).await?;
        let marker = side.port.dial(&other.address()?)?;
        send(&marker, "marker").await?;
        let (back, _) = other.packet("the marker").await?;
        send(&back, "marker").await?;
        return side.packet_of(marker.id(), "marker").await;
    }
    match side.next("the close").await? {
        Arrival::Closed { peer: told, packets } => {
            ensure!(told.id() == peer.id(), "the close of {told:?} came, not of {peer:?}");
            ensure!(packets == 0, "everything was received, but {packets} reached nobody");
        }
        other => return Err(Failure::new(format!("{other:?} came, not the close"))),
    }
    takes_nothing(peer).await
}

pub(super) async fn closing_one_peer_leaves_the_others(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let (closes, stays) = (client.port.dial(&address)?, client.port.dial(&address)?);
    send(&closes, "closes").await?;
    let (closes_end, _) = server.packet("of the one that closes").await?;
    send(&stays, "stays").await?;
    let (stays_end, _) = server.packet("of the one that stays").await?;
    closes.close();
    if fixture.transport().await.capabilities().closed {
        server.end_of(closes_end.id()).await?;
    }
    send(&stays, "still here").await?;
    server.packet_of(stays_end.id(), "still here").await?;
    send(&stays_end, "so am I").await?;
    client.packet_of(stays.id(), "so am I").await
}

pub(super) async fn closing_twice_is_fine(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "hello").await?;
    let (accepted, _) = server.packet("hello").await?;
    for _ in 0..3 {
        peer.close();
        accepted.close();
    }
    drop(peer);
    let next = client.port.dial(&server.address()?)?;
    send(&next, "next").await?;
    loop {
        match server.next("the next peer").await? {
            Arrival::Packet { packet, .. } if packet == "next" => return Ok(()),
            // Who closed at the same time may be told of the other's close.
            Arrival::Closed { peer, .. } if peer.id() == accepted.id() => {}
            other => return Err(Failure::new(format!("{other:?} came"))),
        }
    }
}

pub(super) async fn a_dropped_port_is_noticed(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let peer = client.port.dial(&address)?;
    send(&peer, "hello").await?;
    server.packet("hello").await?;
    server.gone().await?;
    let capabilities = fixture.transport().await.capabilities();
    if capabilities.closed || capabilities.undelivered {
        // By sending, if not by itself.
        send_until_refused(&peer).await?;
        client.end_of(peer.id()).await?;
        takes_nothing(&peer).await?;
    }
    if capabilities.undelivered {
        let late = client.port.dial(&address)?;
        send_until_refused(&late).await?;
        client.end_of(late.id()).await?;
    }
    Ok(())
}

pub(super) async fn nothing_comes_after_a_close(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut other = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "question").await?;
    let (accepted, _) = server.packet("the question").await?;
    send(&accepted, "answer").await?;
    client.packet_of(peer.id(), "answer").await?;
    drop(accepted);
    server.gone().await?;
    let capabilities = fixture.transport().await.capabilities();
    if capabilities.closed || capabilities.undelivered {
        send_until_refused(&peer).await?;
        client.end_of(peer.id()).await?;
    }
    // Whatever else came of it would be among these.
    let lives = client.port.dial(&other.address()?)?;
    send(&lives, "begin").await?;
    let (back, _) = other.packet("the other peer").await?;
    for n in 0..10 {
        send(&back, numbered(n)).await?;
        client.packet_of(lives.id(), numbered(n)).await?;
    }
    Ok(())
}
