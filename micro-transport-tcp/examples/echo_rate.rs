//! How many packets of 16 bytes go there and back in a second, over TCP and over the Unix socket
//! beside it: `cargo run --release -p micro-transport-tcp --example echo_rate`.

use std::time::{Duration, Instant};

use micro_core::transport::{Arrival, Bind, Incoming, Transport as _, recv};
use micro_core::{Error, Result};
use micro_transport_tcp::{Options, TcpTransport};

const FOR: Duration = Duration::from_secs(3);

fn main() -> Result<()> {
    for (name, unix_socket) in [("TCP", false), ("Unix socket", true)] {
        let options = Options::default().with_unix_socket(unix_socket);
        for in_flight in [1, 64, 256] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .map_err(|error| Error::internal(error.to_string()))?;
            let rate = runtime.block_on(measure(options.clone(), in_flight))?;
            println!("{name}, {in_flight} in flight: {rate:.0} round trips a second");
        }
    }
    Ok(())
}

async fn measure(options: Options, in_flight: usize) -> Result<f64> {
    let transport = TcpTransport::with_options([""; 0], options)?;
    let (server, requests) = transport.open(Bind::Any).await?;
    let echo = tokio::spawn(echo(requests));
    let (client, mut answers) = transport.open(Bind::ClientOnly).await?;
    let peer = client.dial(server.local().unwrap_or_default())?;
    let packet = bytes::Bytes::from_static(&[7; 16]);
    let send = || peer.try_send(packet.clone()).map_err(|refused| lost(&refused));
    for _ in 0..in_flight {
        send()?;
    }
    let asking = tokio::spawn({
        let (peer, packet) = (peer.clone(), packet.clone());
        async move {
            let (start, mut answered) = (Instant::now(), 0_u32);
            let mut arrivals = Vec::new();
            while start.elapsed() < FOR {
                recv(&mut *answers, &mut arrivals).await?;
                for arrival in arrivals.drain(..) {
                    let Arrival::Packet { .. } = arrival else { return Err(lost(&arrival)) };
                    answered += 1;
                    peer.try_send(packet.clone()).map_err(|refused| lost(&refused))?;
                }
            }
            Ok(f64::from(answered) / start.elapsed().as_secs_f64())
        }
    });
    let rate = asking.await.map_err(|error| Error::internal(error.to_string()))?;
    echo.abort();
    rate
}

async fn echo(mut requests: Box<dyn Incoming>) -> Result<()> {
    let mut arrivals = Vec::new();
    let mut held = None;
    loop {
        recv(&mut *requests, &mut arrivals).await?;
        for arrival in arrivals.drain(..) {
            let Arrival::Packet { peer, packet } = arrival else { return Err(lost(&arrival)) };
            peer.try_send(packet).map_err(|refused| lost(&refused))?;
            held = Some(peer);
        }
        let _ = &held;
    }
}

fn lost(why: &dyn std::fmt::Debug) -> Error {
    Error::internal(format!("{why:?}"))
}
