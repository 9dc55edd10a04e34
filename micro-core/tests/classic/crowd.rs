//! Many sockets on many threads.

use micro_core::transport::SocketOptions;
use micro_memory::MemoryTransport;

use super::{End, open, open_with, receive, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sockets_at_once_leave_nothing_behind() {
    let transport = MemoryTransport::default();
    let (a, b) = (open(&transport).await, open(&transport).await);
    let address = b.address().to_owned();
    let End { mut listener, dialer: b_dialer, pump: b_pump } = b;
    let server = tokio::spawn(async move {
        for _ in 0..100 {
            let mut socket = within(listener.accept()).await.unwrap();
            tokio::spawn(async move {
                while let Some(packet) = within(socket.recv()).await.unwrap() {
                    socket.send(packet).await.unwrap();
                }
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..100 {
        let mut socket = a.dialer.dial(&address).unwrap();
        clients.spawn(async move {
            for n in 0..20 {
                socket.send(format!("{client}/{n}").into()).await.unwrap();
                assert_eq!(receive(&mut socket).await, format!("{client}/{n}"));
            }
            socket.close().await.unwrap();
        });
    }
    within(async {
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        server.await.unwrap();
    })
    .await;
    assert_eq!(a.dialer.sockets(), 0);
    within(async {
        while b_dialer.sockets() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let End { dialer, listener, pump } = a;
    drop((dialer, listener, b_dialer));
    within(pump).await.unwrap().unwrap();
    within(b_pump).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sockets_that_are_dropped_at_any_moment_leave_nothing_behind() {
    let transport = MemoryTransport::default();
    let options = SocketOptions::default().with_accept_capacity(4).with_receive_capacity(4);
    let (a, b) = (open(&transport).await, open_with(&transport, options).await);
    let address = b.address().to_owned();
    let End { mut listener, dialer: b_dialer, pump: b_pump } = b;
    let server = tokio::spawn(async move {
        while let Ok(mut socket) = listener.accept().await {
            tokio::spawn(async move {
                for _ in 0..3 {
                    let Ok(Some(packet)) = within(socket.recv()).await else { break };
                    if socket.send(packet).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        let (dialer, address) = (a.dialer.clone(), address.clone());
        clients.spawn(async move {
            for n in 0..200 {
                let mut socket = dialer.dial(&address).unwrap();
                for _ in 0..(client + n) % 8 {
                    if socket.send("x".into()).await.is_err() {
                        break;
                    }
                }
                if n % 3 == 0 && (client + n) % 8 > 0 {
                    // A packet, the end, or why it came: something always does.
                    let _ = within(socket.recv()).await;
                }
            }
        });
    }
    within(async {
        while let Some(done) = clients.join_next().await {
            done.unwrap();
        }
        while a.dialer.sockets() + b_dialer.sockets() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    server.abort();
    let End { dialer, listener, pump } = a;
    drop((dialer, listener, b_dialer));
    within(pump).await.unwrap().unwrap();
    within(b_pump).await.unwrap().unwrap();
}
