//! Callers that speak by hand, as go-micro's do or as nobody should.

use std::sync::Arc;
use std::time::Duration;

use micro::memory::Memory;
use micro::transport::{Arrival, Bind, Incoming, Peer, Port, Transport, recv};
use micro::{Bytes, Header, ServerOptions};
use micro_core::wire::envelope;
use tokio::time::{Instant, sleep, timeout};

use crate::net::Net;
use crate::{LIMIT, Tell, hears, sums, waits};

/// A socket of its own, as go-micro's client has for each stream.
struct Socket {
    peer: Peer,
    incoming: Box<dyn Incoming>,
    _port: Arc<dyn Port>,
}

impl Socket {
    async fn dial(memory: &Memory, address: &str) -> Self {
        let (port, incoming) = memory.transport().open(Bind::ClientOnly).await.unwrap();
        Self { peer: port.dial(address).unwrap(), incoming, _port: port }
    }

    /// Sends what belongs to this stream.
    fn say(&self, stream: &str, endpoint: &str, more: &[(&str, &str)], body: &str) {
        let mut header: Header = [
            ("Micro-ID", stream),
            ("Micro-Stream", stream),
            ("Micro-Service", "s"),
            ("Micro-Method", endpoint),
            ("Micro-Endpoint", endpoint),
            ("Content-Type", "application/json"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into_iter()
        .collect();
        header.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        self.peer.try_send(envelope::encode(&header, body.as_bytes())).unwrap();
    }

    /// The next message.
    async fn hear(&mut self) -> (Header, Bytes) {
        timeout(LIMIT, self.hear_later()).await.expect("nothing was heard in time")
    }

    async fn hear_later(&mut self) -> (Header, Bytes) {
        loop {
            let mut arrivals = Vec::new();
            recv(&mut *self.incoming, &mut arrivals).await.unwrap();
            for arrival in arrivals {
                if let Arrival::Packet { packet, .. } = arrival {
                    return envelope::decode(&packet).unwrap();
                }
            }
        }
    }
}

#[tokio::test]
async fn what_follows_a_refused_opening_opens_nothing_when_there_is_room_again() {
    let memory = Memory::new();
    let services = Net::new(&memory);
    let (tell, mut said) = Tell::new();
    let service =
        services.service("s").server_options(ServerOptions::default().with_max_streams(1));
    let running = sums(service, &tell).build().unwrap().start().await.unwrap();
    let address = &*running.node().address;
    let mut first = Socket::dial(&memory, address).await;
    first.say("0", "S.Sum", &[], "{}");
    hears(&mut said, "begun").await;

    let mut second = Socket::dial(&memory, address).await;
    second.say("0", "S.Sum", &[], "{}");
    second.say("0", "S.Sum", &[], "1");
    let (refused, _) = second.hear().await;
    assert!(refused.get("Micro-Error").is_some_and(|error| error.contains("429")), "{refused:?}");
    first.say("0", "S.Sum", &[("Micro-Error", "EOS")], "");
    for heard in ["sum 0", "gone"] {
        hears(&mut said, heard).await;
    }
    assert_eq!(first.hear().await.1, "0");

    // All of this was sent before its caller knew, in go-micro's way.
    second.say("0", "S.Sum", &[], "2");
    second.say("0", "S.Sum", &[], "3");
    second.say("0", "S.Sum", &[("Micro-Error", "EOS")], "");
    // What comes next is the answer to the next stream: nothing was begun, and nothing answered.
    second.say("1", "S.Sum", &[], "{}");
    second.say("1", "S.Sum", &[], "40");
    second.say("1", "S.Sum", &[("Micro-Error", "EOS")], "");
    for heard in ["begun", "40", "sum 40", "gone"] {
        hears(&mut said, heard).await;
    }
    let (header, body) = second.hear().await;
    assert_eq!((header.get("Micro-ID"), &*body), (Some("1"), &b"40"[..]), "{header:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_stream_of_a_caller_that_closes_afterwards_gets_its_messages() {
    let memory = Memory::new();
    let services = Net::new(&memory);
    let (tell, mut said) = Tell::new();
    let running = sums(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let mut socket = Socket::dial(&memory, &running.node().address).await;
    let closes = ("Connection", "close");
    socket.say("0", "S.Sum", &[closes], "{}");
    socket.say("0", "S.Sum", &[closes], "1");
    socket.say("0", "S.Sum", &[closes], "2");
    socket.say("0", "S.Sum", &[closes, ("Micro-Error", "EOS")], "");
    for heard in ["begun", "1", "2", "sum 3"] {
        hears(&mut said, heard).await;
    }
    assert_eq!(socket.hear().await.1, "3");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_go_micro_that_is_silent_for_long_is_none_of_a_caller_that_is_gone() {
    let memory = Memory::new();
    let services = Net::new(&memory);
    let (tell, mut said) = Tell::new();
    let running = waits(services.service("s"), &tell).build().unwrap().start().await.unwrap();
    let mut socket = Socket::dial(&memory, &running.node().address).await;
    socket.say("0", "S.Wait", &[], "{}");
    hears(&mut said, "begun").await;
    let begun = Instant::now();
    sleep(Duration::from_secs(59 * 60)).await;
    assert!(said.try_recv().is_err(), "it was ended");
    // After an hour without a word it is: go-micro's clients never say that they are gone.
    let (header, _) = timeout(Duration::from_secs(120), socket.hear_later()).await.unwrap();
    assert!(header.get("Micro-Error").is_some_and(|error| error.contains("408")), "{header:?}");
    assert!(begun.elapsed() >= Duration::from_secs(60 * 60), "{:?}", begun.elapsed());
    hears(&mut said, "gone").await;
    running.stop().await.unwrap();
}
