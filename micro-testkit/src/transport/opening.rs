//! Where ports listen.

use std::collections::BTreeSet;

use micro_core::ErrorKind;
use micro_core::transport::Bind;

use super::side::settle;
use super::{Fixture, Side, send};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, eventually, within};

pub(super) async fn every_port_gets_an_address_of_its_own(fixture: &dyn Fixture) -> Checked {
    let (one, two) = (fixture.transport().await, fixture.transport().await);
    let mut ports = Vec::new();
    let mut addresses = BTreeSet::new();
    for _ in 0..20 {
        for (transport, bind) in [(&one, Bind::Any), (&two, ":0".into()), (&one, "".into())] {
            let (port, incoming) = within("open", transport.open(bind)).await??;
            let address = port.local().map(str::to_owned);
            let address = address.ok_or_else(|| Failure::new("a port without an address"))?;
            ensure!(addresses.insert(address.clone()), "two ports have the address {address}");
            ports.push((port, incoming));
        }
    }
    Ok(())
}

pub(super) async fn a_port_listens_where_it_was_asked_to(fixture: &dyn Fixture) -> Checked {
    let address = fixture.address();
    let mut server = Side::open(fixture, Bind::Address(address.clone())).await?;
    // What follows may say which of all ports that ever listened there it is.
    let local = server.address()?;
    let more = local.strip_prefix(&address);
    let there = more.is_some_and(|more| more.is_empty() || more.starts_with('/'));
    ensure!(there, "asked for {address}, got {local}");
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let mut held = Vec::new();
    for dialled in [address, local] {
        let peer = client.port.dial(&dialled)?;
        send(&peer, "there").await?;
        held.push(peer);
        let (_, packet) = server.packet("a packet at the address").await?;
        ensure!(packet == "there", "{packet:?} came to {dialled}");
    }
    Ok(())
}

pub(super) async fn a_port_is_reached_where_it_says_that_it_is_now(
    fixture: &dyn Fixture,
) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let local = server.address()?;
    let mut held = Vec::new();
    // Asked as often as a server does that renews its registration.
    for _ in 0..3 {
        let now = server.port.advertise(&local)?;
        let peer = client.port.dial(&now)?;
        send(&peer, "there").await?;
        held.push(peer);
        let (_, packet) = server.packet("a packet at the address of now").await?;
        ensure!(packet == "there", "{packet:?} came to {now}");
    }
    Ok(())
}

pub(super) async fn a_port_that_listens_nowhere_can_dial(fixture: &dyn Fixture) -> Checked {
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    ensure!(client.port.local().is_none(), "it has the address {:?}", client.port.local());
    let mut server = Side::open(fixture, Bind::Any).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "question").await?;
    let (accepted, _) = server.packet("the question").await?;
    send(&accepted, "answer").await?;
    client.packet_of(peer.id(), "answer").await
}

pub(super) async fn what_is_no_address_is_refused(fixture: &dyn Fixture) -> Checked {
    let transport = fixture.transport().await;
    let side = Side::on(&*transport, Bind::ClientOnly).await?;
    for address in fixture.bad_addresses() {
        let opened = within("open", transport.open(Bind::Address(address.clone()))).await?;
        let opened = opened.map(drop).map_err(|error| error.kind());
        let dialled = side.port.dial(&address).map(drop).map_err(|error| error.kind());
        for (call, outcome) in [("open", opened), ("dial", dialled)] {
            let refused = outcome == Err(ErrorKind::InvalidInput);
            ensure!(refused, "{call} of {address:?}: {outcome:?}, not InvalidInput");
        }
    }
    Ok(())
}

pub(super) async fn a_taken_address_is_a_conflict_if_it_is_seen(fixture: &dyn Fixture) -> Checked {
    let address = fixture.address();
    let mut first = Side::open(fixture, Bind::Address(address.clone())).await?;
    let second = fixture.transport().await;
    match within("open", second.open(Bind::Address(address.clone()))).await? {
        Err(error) if error.kind() == ErrorKind::Conflict => {
            let named = error.detail().contains(&address);
            ensure!(named, "the conflict does not name {address}: {error}");
        }
        Err(error) => return Err(error.into()),
        // Not seen; the one that is dropped now must not take the first one's place with it.
        Ok(other) => drop(other),
    }
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    send(&peer, "to the first").await?;
    let (accepted, _) = first.packet("a packet at the first port").await?;
    send(&accepted, "from the first").await?;
    client.packet_of(peer.id(), "from the first").await
}

pub(super) async fn an_address_is_free_again_when_its_port_is_gone(
    fixture: &dyn Fixture,
) -> Checked {
    let address = fixture.address();
    let transport = fixture.transport().await;
    for round in 0..3 {
        let transport = &*transport;
        let address = &address;
        let mut server = eventually(LIMIT, "the address", || async move {
            match within("open", transport.open(Bind::Address(address.clone()))).await? {
                Ok((port, mut incoming)) => {
                    settle(transport, &*port, &mut *incoming).await?;
                    Ok(Ok(Side::pumped(port, incoming)))
                }
                Err(error) if error.kind() == ErrorKind::Conflict => Ok(Err(error.to_string())),
                Err(error) => Err(error.into()),
            }
        })
        .await?;
        let client = Side::open(fixture, Bind::ClientOnly).await?;
        let peer = client.port.dial(address)?;
        send(&peer, format!("round {round}")).await?;
        let (_, packet) = server.packet("a packet of this round").await?;
        ensure!(packet == format!("round {round}"), "round {round}: {packet:?} came");
        server.gone().await?;
    }
    Ok(())
}

pub(super) async fn every_handle_tells_the_same_and_is_healthy(fixture: &dyn Fixture) -> Checked {
    let (here, there) = (fixture.transport().await, fixture.transport().await);
    ensure!(!here.name().is_empty(), "it has no name");
    ensure!(here.name() == there.name(), "two names: {} and {}", here.name(), there.name());
    let mut server = Side::on(&*here, Bind::Any).await?;
    let client = Side::on(&*there, Bind::ClientOnly).await?;
    send(&client.port.dial(&server.address()?)?, "anything").await?;
    server.packet("anything").await?;
    let (one, two) = (here.capabilities(), there.capabilities());
    ensure!(one == two, "two handles can do different things: {one:?}, {two:?}");
    here.health()?;
    Ok(there.health()?)
}
