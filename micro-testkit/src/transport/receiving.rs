//! The receiving half.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use micro_core::transport::{Arrival, Bind, Incoming, Port, recv};
use tokio::sync::mpsc;

use super::side::settle;
use super::{Fixture, Side, number, numbered, send};
use crate::Failure;
use crate::check::{Checked, LIMIT, ensure, eventually, poll_once, within};

/// How many arrivals one poll may append: "a few hundred".
const A_FEW_HUNDRED: usize = 1_000;

async fn open(fixture: &dyn Fixture) -> Checked<(Arc<dyn Port>, Box<dyn Incoming>, String)> {
    let transport = fixture.transport().await;
    let (port, mut incoming) = within("open", transport.open(Bind::Any)).await??;
    settle(&*transport, &*port, &mut *incoming).await?;
    let address = port.local().map(str::to_owned);
    let address = address.ok_or_else(|| Failure::new("a port that listens has no address"))?;
    Ok((port, incoming, address))
}

pub(super) async fn a_receiver_can_move_between_tasks(fixture: &dyn Fixture) -> Checked {
    let (_port, mut incoming, address) = open(fixture).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    let mut held = Vec::new();
    for n in 0..50 {
        // Each task looks once, most often in vain, before the next one waits for the packet.
        let (looked, has_looked) = tokio::sync::oneshot::channel();
        let receiving = tokio::spawn(async move {
            let mut out = Vec::new();
            let first = poll_once(recv(&mut *incoming, &mut out));
            if looked.send(()).is_err() {
                return (incoming, out, Ok(()));
            }
            let outcome = match first {
                Poll::Ready(outcome) => outcome,
                Poll::Pending => recv(&mut *incoming, &mut out).await,
            };
            (incoming, out, outcome)
        });
        within("the first look", has_looked).await?.map_err(|_| Failure::new("it ended"))?;
        send(&peer, numbered(n)).await?;
        let (back, out, outcome) = within("the packet, in another task", receiving).await??;
        outcome?;
        incoming = back;
        match &out[..] {
            [Arrival::Packet { packet, peer }] if *packet == numbered(n) => {
                held.push(peer.clone());
            }
            other => return Err(Failure::new(format!("{other:?} came, not packet {n}"))),
        }
    }
    Ok(())
}

pub(super) async fn a_receive_that_is_given_up_loses_nothing(fixture: &dyn Fixture) -> Checked {
    const COUNT: u64 = 2_000;
    let (_port, mut incoming, address) = open(fixture).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    let (tick, mut ticks) = mpsc::channel(1);
    let sending = tokio::spawn(async move {
        for n in 0..COUNT {
            send(&peer, numbered(n)).await?;
            // Makes the other side give up its wait at all kinds of moments.
            let _ = tick.try_send(());
        }
        Ok::<_, Failure>(peer)
    });
    let mut next = 0;
    let mut out = Vec::new();
    let mut held = Vec::new();
    while next < COUNT {
        let receiving = async {
            tokio::select! {
                biased;
                Some(()) = ticks.recv() => Ok(()),
                outcome = recv(&mut *incoming, &mut out) => outcome,
            }
        };
        within("the next packets", receiving).await??;
        for arrival in out.drain(..) {
            let Arrival::Packet { packet, peer } = arrival else {
                return Err(Failure::new(format!("{arrival:?} came")));
            };
            held.push(peer);
            let came = number(&packet)?;
            ensure!(came == next, "number {came} came, not {next}");
            next += 1;
        }
    }
    within("the end of sending", sending).await???;
    Ok(())
}

pub(super) async fn a_receive_is_pending_only_with_nothing(fixture: &dyn Fixture) -> Checked {
    const COUNT: usize = 3_000;
    let (_port, mut incoming, address) = open(fixture).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    let mut out = Vec::new();
    let mut received = 0;
    for n in 0..COUNT {
        send(&peer, numbered(n as u64)).await?;
    }
    while received < COUNT {
        let polling = poll_fn(|cx| {
            let before = out.len();
            let polled = incoming.poll_recv(cx, &mut out);
            let appended = out.len() - before;
            match polled {
                Poll::Pending if appended == 0 => Poll::Pending,
                other => Poll::Ready((other, appended)),
            }
        });
        let (polled, appended) = within("the next packets", polling).await?;
        match polled {
            Poll::Ready(outcome) => outcome?,
            Poll::Pending => return Err(Failure::new(format!("pending, with {appended}"))),
        }
        ensure!(appended > 0, "it was ready with nothing");
        ensure!(appended <= A_FEW_HUNDRED, "{appended} arrivals came at once");
        // It appends: what was there before stays.
        received += appended;
        ensure!(out.len() == received, "{} are there, not {received}", out.len());
    }
    for (n, arrival) in (0..).zip(&out) {
        let Arrival::Packet { packet, .. } = arrival else {
            return Err(Failure::new(format!("{arrival:?} came")));
        };
        ensure!(number(packet)? == n, "number {} came, not {n}", number(packet)?);
    }
    Ok(())
}

/// Remembers that it was woken.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(super) async fn a_packet_wakes_whoever_polled_last(fixture: &dyn Fixture) -> Checked {
    let (_port, mut incoming, address) = open(fixture).await?;
    let client = Side::open(fixture, Bind::ClientOnly).await?;
    let peer = client.port.dial(&address)?;
    let last = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(last.clone());
    let mut out = Vec::new();
    // Polls until the network has nothing to say about itself any more.
    let _ = poll_once(recv(&mut *incoming, &mut out));
    let _ = incoming.poll_recv(&mut Context::from_waker(&waker), &mut out);
    ensure!(out.is_empty(), "something came that nobody sent: {out:?}");
    send(&peer, "wake up").await?;
    let (incoming, out, last) = (&mut incoming, &mut out, &last);
    let woken = eventually(LIMIT, "a wake", || {
        let woken = last.0.swap(false, Ordering::SeqCst);
        if woken {
            // It may be woken for something of its own; then it has to be polled again.
            let _ = incoming.poll_recv(&mut Context::from_waker(&waker), out);
        }
        let arrived = !out.is_empty();
        async move { Ok(if arrived { Ok(()) } else { Err("not woken with a packet".to_owned()) }) }
    });
    woken.await
}
