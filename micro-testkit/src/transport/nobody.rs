//! Nobody listens, or nobody any more: who is told, and the truth of the count.

use micro_core::transport::{Arrival, Bind};
use tokio::time::{Instant, timeout};

use super::{Fixture, Side, numbered, send, send_until_refused, takes_nothing};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, within};

/// Whether the backend says that nobody is there, once somebody was.
async fn tells(fixture: &dyn Fixture) -> bool {
    let capabilities = fixture.transport().await.capabilities();
    capabilities.undelivered || capabilities.closed
}

pub(super) async fn nobody_there_is_told_to_the_peer_that_it_belongs_to(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let lost = [client.port.dial(&fixture.address())?, client.port.dial(&fixture.address())?];
    let good = client.port.dial(&server.address()?)?;
    send(&good, "first").await?;
    let (accepted, _) = server.packet("the first packet").await?;
    let tells = fixture.transport().await.capabilities().undelivered;
    // One after the other, so that it is plain whose packet it was.
    for peer in &lost {
        send(peer, "lost").await?;
        send(&good, "heard").await?;
        server.packet_of(accepted.id(), "heard").await?;
        if !tells {
            continue;
        }
        match client.next("that nobody is there").await? {
            Arrival::Undelivered { peer: told, packets } => {
                ensure!(told.id() == peer.id(), "{told:?} was told, not {peer:?}");
                ensure!(packets == 1, "of one packet {packets} reached nobody");
            }
            other => return Err(Failure::new(format!("{other:?} came"))),
        }
    }
    // And the peer whom somebody hears was told nothing.
    send(&accepted, "answer").await?;
    client.packet_of(good.id(), "answer").await
}

pub(super) async fn no_more_packets_are_undelivered_than_were_taken(
    fixture: &dyn Fixture,
) -> Checked {
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    for burst in [1, 2, 7] {
        let peer = client.port.dial(&fixture.address())?;
        // The first one waits for the network, if there is one to wait for.
        send(&peer, numbered(0)).await?;
        let mut taken = 1;
        for n in 1..burst {
            taken += u64::from(peer.try_send(numbered(n)).is_ok());
        }
        if !fixture.transport().await.capabilities().undelivered {
            continue;
        }
        match client.next("that nobody is there").await? {
            Arrival::Undelivered { peer: told, packets } => {
                ensure!(told.id() == peer.id(), "{told:?} was told, not {peer:?}");
                let truth = (1..=taken).contains(&packets);
                ensure!(truth, "{taken} packets were taken, {packets} reached nobody");
            }
            other => return Err(Failure::new(format!("{other:?} came"))),
        }
    }
    let rest = client.rest()?;
    ensure!(rest.is_empty(), "it was told more than once: {rest:?}");
    Ok(())
}

pub(super) async fn no_packet_that_arrived_is_undelivered(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    let mut arrived = 0;
    for n in 0..50 {
        send(&peer, numbered(n)).await?;
        server.packet("a packet").await?;
        arrived += 1;
    }
    server.gone().await?;
    if !tells(fixture).await {
        // It cannot be told; sending on does no harm.
        let _ = peer.try_send(numbered(50));
        return Ok(());
    }
    let taken = arrived + send_until_refused(&peer).await?;
    let (_, undelivered) = client.end_of(peer.id()).await?;
    ensure!(
        arrived + undelivered <= taken,
        "{taken} packets were taken and {arrived} arrived, but {undelivered} reached nobody"
    );
    Ok(())
}

pub(super) async fn a_peer_with_nobody_there_takes_nothing(fixture: &dyn Fixture) -> Checked {
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&fixture.address())?;
    send(&peer, "lost").await?;
    if fixture.transport().await.capabilities().undelivered {
        client.end_of(peer.id()).await?;
        takes_nothing(&peer).await?;
        takes_nothing(&peer.clone()).await?;
        return Ok(());
    }
    // Who is not told goes on.
    send(&peer, "lost too").await
}

pub(super) async fn a_port_that_dies_under_a_flood_is_counted_truly(
    fixture: &dyn Fixture,
) -> Checked {
    if !tells(fixture).await {
        return no_packet_that_arrived_is_undelivered(fixture).await;
    }
    for _ in 0..5 {
        let mut server = Side::open(fixture, Bind::Any).await?;
        let mut client = Side::open(fixture, Bind::ClientOnly).await?;
        let peer = client.port.dial(&server.address()?)?;
        let floods = [0; 3].map(|_| {
            let peer = peer.clone();
            tokio::spawn(async move { send_until_refused(&peer).await })
        });
        let mut arrived = 0_u64;
        while arrived < 100 {
            server.packet("packets of the flood").await?;
            arrived += 1;
        }
        server.gone().await?;
        let mut taken = 0;
        for flood in floods {
            taken += within("the end of the flood", flood).await???;
        }
        let (_, undelivered) = client.end_of(peer.id()).await?;
        ensure!(
            arrived + undelivered <= taken,
            "{taken} packets were taken and {arrived} arrived, but {undelivered} reached nobody"
        );
        takes_nothing(&peer).await?;
    }
    Ok(())
}

pub(super) async fn whoever_comes_later_can_be_dialled(fixture: &dyn Fixture) -> Checked {
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = fixture.address();
    let early = client.port.dial(&address)?;
    send(&early, "lost").await?;
    if fixture.transport().await.capabilities().undelivered {
        client.end_of(early.id()).await?;
    }
    let mut server = Side::open(fixture, Bind::Address(address.clone())).await?;
    let deadline = Instant::now() + LIMIT;
    loop {
        // Opening does not wait for the network, so the first dials may still find nobody.
        let peer = client.port.dial(&address)?;
        send(&peer, "heard").await?;
        tokio::select! {
            came = server.packet("a packet") => {
                let (_, packet) = came?;
                ensure!(packet == "heard", "{packet:?} came");
                return Ok(());
            }
            told = timeout(LIMIT / 20, client.end_of(peer.id())) => {
                told.unwrap_or(Ok(Default::default()))?;
            }
        }
        ensure!(Instant::now() < deadline, "nobody is there, though somebody listens");
    }
}
