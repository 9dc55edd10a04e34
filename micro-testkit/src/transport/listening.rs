//! No longer listening, while what was begun goes on.

use micro_core::transport::{Arrival, Bind};

use super::{Fixture, Side, send, send_until_refused};
use crate::Failure;
use crate::check::{Checked, ensure, within};

pub(super) async fn nobody_new_is_heard_after_stop_listening(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let address = server.address()?;
    let early = client.port.dial(&address)?;
    send(&early, "early").await?;
    let (accepted, _) = server.packet("the early one").await?;
    within("stop_listening", server.port.stop_listening()).await??;

    let late = client.port.dial(&address)?;
    if fixture.transport().await.capabilities().undelivered {
        send_until_refused(&late).await?;
        let (came, packets) = client.end_of(late.id()).await?;
        ensure!(came.is_empty() && packets > 0, "{packets} reached nobody, answered: {came:?}");
    } else {
        send(&late, "late").await?;
    }
    // What is heard next is what the server itself asked for: the late one would come before it.
    let mut other = Side::open(fixture, Bind::Any).await?;
    let own = server.port.dial(&other.address()?)?;
    send(&own, "marker").await?;
    let (back, _) = other.packet("the marker").await?;
    send(&back, "marker").await?;
    server.packet_of(own.id(), "marker").await?;
    drop(accepted);
    Ok(())
}

pub(super) async fn answers_still_leave_after_stop_listening(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "question").await?;
    let (accepted, _) = server.packet("the question").await?;
    within("stop_listening", server.port.stop_listening()).await??;
    for answer in ["answer", "another answer"] {
        send(&accepted, answer).await?;
        client.packet_of(peer.id(), answer).await?;
    }
    Ok(())
}

pub(super) async fn answers_still_arrive_after_stop_listening(fixture: &dyn Fixture) -> Checked {
    let mut stops = Side::open(fixture, Bind::Any).await?;
    let mut other = Side::open(fixture, Bind::Any).await?;
    let peer = stops.port.dial(&other.address()?)?;
    send(&peer, "question").await?;
    let (accepted, _) = other.packet("the question").await?;
    within("stop_listening", stops.port.stop_listening()).await??;
    send(&accepted, "answer").await?;
    stops.packet_of(peer.id(), "answer").await?;
    send(&peer, "another question").await?;
    other.packet_of(accepted.id(), "another question").await?;
    // Also of those that it dials from now on.
    let next = stops.port.dial(&other.address()?)?;
    send(&next, "next question").await?;
    let (accepted, _) = other.packet("the next question").await?;
    send(&accepted, "next answer").await?;
    stops.packet_of(next.id(), "next answer").await
}

pub(super) async fn nobody_is_left_waiting_after_stop_listening(fixture: &dyn Fixture) -> Checked {
    let mut server = Side::open(fixture, Bind::Any).await?;
    let mut client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&server.address()?)?;
    send(&peer, "first").await?;
    let (accepted, _) = server.packet("the first packet").await?;
    within("stop_listening", server.port.stop_listening()).await??;
    if !fixture.transport().await.capabilities().undelivered {
        send(&accepted, "answer").await?;
        return client.packet_of(peer.id(), "answer").await;
    }
    // A peer from before is heard on, or is told that it is not.
    send(&peer, "second").await?;
    tokio::select! {
        heard = server.packet_of(accepted.id(), "second") => heard,
        told = client.next("that nobody listens") => match told? {
            Arrival::Undelivered { peer: told, packets: 1 } if told.id() == peer.id() => Ok(()),
            other => Err(Failure::new(format!("{other:?} came"))),
        },
    }
}

pub(super) async fn stopping_twice_is_fine(fixture: &dyn Fixture) -> Checked {
    let server = Side::open(fixture, Bind::Any).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    for side in [&server, &server, &client, &client] {
        within("stop_listening", side.port.stop_listening()).await??;
    }
    // Its address stays what it was.
    server.address()?;
    Ok(())
}
