use std::task::Poll;
use std::time::Duration;

use micro_core::registry::{Node, RegisterOptions, Service};
use micro_core::transport::recv;
use micro_core::wire::Outgoing;
use micro_core::{Header, Registry};
use micro_memory::{Memory, MemoryOptions};
use tokio::time::timeout;

use super::*;
use crate::client::Client;
use crate::hub::Limit;
use crate::stream;

const CALLS: usize = 10_000;
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn ten_thousand_calls_that_are_dropped_while_they_wait_leave_nothing_behind() {
    // A node that reads nothing: it takes half of the calls, the others wait on this side.
    let options = MemoryOptions::default().with_port_packets(CALLS / 2);
    let memory = Memory::with_options(options);
    let (port, mut incoming) = memory.transport().open(Bind::Any).await.unwrap();
    let mut service = Service::new("s", "1");
    service.nodes.push(Node::new("s-1", port.local().unwrap()));
    let registry = memory.registry();
    registry.register(&service, RegisterOptions::default()).await.unwrap();
    let client = Client::new(
        Arc::new(memory.registry()),
        Arc::new(memory.transport()),
        Arc::new(memory.broker()),
    );

    let mut calls: Vec<_> = (0..CALLS)
        .map(|_| client.call::<_, ()>("s", "S.Never", &()).timeout(LIMIT * 10).into_future())
        .collect();
    let (hub, conn) = timeout(LIMIT, async {
        loop {
            for call in &mut calls {
                assert!(matches!(futures_util::poll!(call), Poll::Pending));
            }
            tokio::task::yield_now().await;
            let open = client.inner.pool.open.load_full();
            let Some(open) = open.filter(|open| open.hub.in_flight() == CALLS) else { continue };
            let conns = lock(&open.shared.conns);
            let conn = conns.by_address.values().next().unwrap().clone();
            // Until the node is full.
            if conn.waiting.load(Ordering::Acquire) {
                return (open.hub.clone(), conn);
            }
        }
    })
    .await
    .expect("they are not all on their way");
    let nodes = client.inner.cache.known("s").unwrap();
    let node = &nodes.all()[0].state;
    assert_eq!((conn.calls(), node.in_flight()), (CALLS, CALLS));
    assert!(Arc::strong_count(&hub) > CALLS && Arc::strong_count(&conn) > CALLS);

    // In an order that is not theirs.
    let (mut even, mut odd) = (Vec::new(), Vec::new());
    for (at, call) in calls.into_iter().enumerate() {
        if at % 2 == 0 { &mut even } else { &mut odd }.push(call);
    }
    drop(odd);
    assert_eq!(
        (conn.calls(), node.in_flight(), hub.in_flight()),
        (CALLS / 2, CALLS / 2, CALLS / 2)
    );
    drop(even);
    assert_eq!((conn.calls(), node.in_flight(), hub.in_flight()), (0, 0, 0));
    assert!(conn.state().session.is_idle());
    // What is left is held by the pool, by the node, and by this test.
    assert!(Arc::strong_count(&hub) < 10, "{} hold the port", Arc::strong_count(&hub));
    assert!(Arc::strong_count(&conn) < 10, "{} hold the session", Arc::strong_count(&conn));

    // What had not been sent is not sent, now that there is room.
    let mut arrivals = Vec::new();
    while arrivals.len() < CALLS / 2 {
        timeout(LIMIT, recv(&mut *incoming, &mut arrivals)).await.unwrap().unwrap();
    }
    timeout(LIMIT, hub.drained()).await.expect("something still waits to be sent");
    let more = futures_util::poll!(std::pin::pin!(recv(&mut *incoming, &mut arrivals)));
    assert!(more.is_pending() && arrivals.len() == CALLS / 2, "{} arrived", arrivals.len());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_reads_any_more_takes_no_call() {
    let memory = Memory::new();
    let pool = Pool::new(Arc::new(memory.transport()), Limits::default());
    let call = Outgoing {
        service: "s",
        endpoint: "S.Do",
        content_type: codec::JSON,
        timeout: None,
        metadata: &Header::new(),
        body: b"null",
    };
    let now = Instant::now();
    let limit = Limit { answer: now + LIMIT, taken: now + LIMIT };
    // Whoever calls looked at the clock just before the session was idle for too long, and the
    // one who forgets it just after.
    let lease = pool.lease("a", codec::JSON).await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    let other = pool.lease("b", codec::JSON).await.unwrap();
    assert!(lease.conn.call(&lease.hub, &call, now, limit).is_none(), "it would wait for ever");

    // The port is over just after somebody has found it open.
    let open = pool.open().await.unwrap();
    drop(Pump { shared: open.shared.clone(), ticks: Arc::default(), hub: Weak::new() });
    assert!(other.conn.call(&other.hub, &call, now, limit).is_none());
    assert!(open.lease("a", codec::JSON, Limits::default()).is_err());
    assert!(pool.lease("a", codec::JSON).await.is_ok(), "another port is opened");
}

#[tokio::test]
async fn streams_leave_nothing_behind_however_they_end() {
    let memory = Memory::new();
    let silent = Duration::from_millis(1);
    let (mute, _mute_incoming) = memory.transport().open(Bind::Any).await.unwrap();
    let service = crate::Service::builder("s")
        .registry(memory.registry())
        .transport(memory.transport())
        .broker(memory.broker())
        .limit("S.Full", 0)
        .stream_handler("S.Full", stream::bidirectional(echo))
        .stream_handler("S.Echo", stream::bidirectional(echo));
    let running = service.build().unwrap().start().await.unwrap();
    let client = Client::new(
        Arc::new(memory.registry()),
        Arc::new(memory.transport()),
        Arc::new(memory.broker()),
    );
    let open = |endpoint: &str| client.stream("s", endpoint).bidirectional::<u32, u32>();
    for at in 0..100 {
        // To its end, and given up at each moment.
        let mut whole = open("S.Echo").await.unwrap();
        whole.send(&at).await.unwrap();
        whole.finish().unwrap();
        assert_eq!(whole.recv().await.unwrap(), Some(at));
        assert_eq!(whole.recv().await.unwrap(), None);
        let half = open("S.Echo").await.unwrap();
        half.send(&at).await.unwrap();
        drop(half);
        let mut finished = open("S.Echo").await.unwrap();
        finished.finish().unwrap();
        drop(finished);
        let mut opening = std::pin::pin!(open("S.Echo"));
        assert!(futures_util::poll!(&mut opening).is_pending());
        // Refused, unknown, and unanswered.
        assert!(open("S.Full").await.unwrap().recv().await.is_err());
        assert!(open("S.None").await.unwrap().recv().await.is_err());
        let unanswered = client.stream("s", "S.Echo").address(mute.local().unwrap());
        assert!(unanswered.timeout(silent).bidirectional::<u32, u32>().await.is_err());
    }
    let opened = client.inner.pool.open.load_full().unwrap();
    timeout(LIMIT, opened.hub.drained()).await.expect("something still waits to be sent");
    assert_eq!(opened.shared.streams.load(Ordering::Acquire), 0);
    assert!(lock(&opened.shared.conns).by_peer.is_empty());
    let holders = Arc::strong_count(&opened.hub);
    assert!(holders < 5, "{holders} hold the port");
    for node in client.inner.cache.known("s").unwrap().all() {
        assert_eq!(node.state.in_flight(), 0);
    }
    // No handler is left, or this would take its time to stop.
    timeout(LIMIT, running.stop()).await.unwrap().unwrap();
}

async fn echo(
    _: crate::Context,
    mut numbers: stream::Receiver<u32>,
    sender: stream::Sender<u32>,
) -> Result<()> {
    while let Some(number) = numbers.recv().await? {
        sender.send(&number).await?;
    }
    Ok(())
}
