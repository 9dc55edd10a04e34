//! Without a network; where there is none, everything works.

use micro_core::ErrorKind;
use micro_core::transport::{Arrival, Bind, Peer};

use super::{Fixture, Side, numbered, send};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, eventually, within};

pub(super) async fn opening_and_dialling_need_no_network(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.transport().await, fixture.transport().await);
    if let Some(network) = fixture.network() {
        within("the network's end", network.down()).await?;
    }
    let mut server = Side::unsettled(&*here, Bind::Any).await?;
    let mut client = Side::unsettled(&*there, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    if fixture.network().is_some() {
        // Taken for later or handed back, but not told to be over: nobody knows.
        if let Err(refused) = peer.try_send(numbered(0)) {
            let full = matches!(refused, micro_core::transport::Refused::Full(_));
            ensure!(full, "while away: {refused:?}");
        }
    }
    if let Some(network) = fixture.network() {
        within("the network's return", network.up()).await?;
    }
    works(&mut server, &mut client).await
}

pub(super) async fn health_tells_of_an_outage(fixture: &dyn Fixture) -> Checked {
    let transport = fixture.transport().await;
    let (mut server, mut client) =
        (Side::on(&*transport, Bind::Any).await?, Side::on(&*transport, Bind::Any).await?);
    works(&mut server, &mut client).await?;
    transport.health()?;
    let Some(network) = fixture.network() else {
        return Ok(());
    };
    let transport = &transport;
    within("the network's end", network.down()).await?;
    let told = eventually(LIMIT, "bad health", || async move {
        Ok(match transport.health() {
            Err(error) if error.kind() == ErrorKind::Unavailable => Ok(()),
            other => Err(format!("{other:?}")),
        })
    })
    .await;
    within("the network's return", network.up()).await?;
    told?;
    eventually(LIMIT * 2, "good health", || async move {
        Ok(transport.health().map_err(|error| error.to_string()))
    })
    .await
}

pub(super) async fn a_port_outlives_an_outage(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    works(&mut server, &mut client).await?;
    if let Some(network) = fixture.network() {
        within("the network's end", network.down()).await?;
        within("the network's return", network.up()).await?;
    }
    works(&mut server, &mut client).await
}

pub(super) async fn an_outage_is_an_interruption_and_nothing_else_is(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    works(&mut server, &mut client).await?;
    let told =
        |server: &Side, client: &Side| [server.port.interruptions(), client.port.interruptions()];
    let before = told(&server, &client);
    works(&mut server, &mut client).await?;
    let calm = told(&server, &client);
    ensure!(calm == before, "without an outage it grew from {before:?} to {calm:?}");
    if let Some(network) = fixture.network() {
        within("the network's end", network.down()).await?;
        within("the network's return", network.up()).await?;
        // By then something has come that was sent after it.
        works(&mut server, &mut client).await?;
        let after = told(&server, &client);
        ensure!(
            after.iter().zip(before).all(|(after, before)| *after > before),
            "after an outage it is {after:?}, before it was {before:?}"
        );
    }
    Ok(())
}

/// A new peer goes there and back, within two limits.
async fn works(server: &mut Side, client: &mut Side) -> Checked {
    let address = server.address()?;
    let deadline = tokio::time::Instant::now() + LIMIT * 2;
    loop {
        let peer = client.port.dial(&address)?;
        let tried = tokio::time::timeout(LIMIT / 20, there_and_back(server, client, &peer)).await;
        match tried {
            Ok(Ok(())) => return Ok(()),
            outcome if tokio::time::Instant::now() > deadline => {
                return Err(Failure::new(format!("nothing goes through: {outcome:?}")));
            }
            _ => {}
        }
    }
}

async fn there_and_back(server: &mut Side, client: &mut Side, peer: &Peer) -> Checked {
    let question = crate::check::unique("question");
    send(peer, question.clone()).await?;
    loop {
        // What was sent before the outage may come late.
        match server.next("the question").await? {
            Arrival::Packet { peer, packet } if packet == question => {
                send(&peer, question.clone()).await?;
                break;
            }
            _ => {}
        }
    }
    loop {
        match client.next("the answer").await? {
            Arrival::Packet { packet, .. } if packet == question => return Ok(()),
            told if told.peer().id() == peer.id() => {
                return Err(Failure::new(format!("{told:?} came")));
            }
            _ => {}
        }
    }
}
