//! What anybody sends costs no more memory than was allowed: alone in its process, so that its
//! memory can be measured.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_core::registry::{Endpoint, Node, Service};
use micro_registry_mdns::MdnsRegistry;
use micro_registry_mdns::fuzzing::{announcements, packet};
use support::{LIMIT, Loopback, Observer, forever, greeter, name};

const MAX_BYTES: usize = 4 << 20;
/// What else grows a little: buffers, and what the allocator keeps.
const BESIDE: usize = 24 << 20;
/// How long each of the floods is.
const FLOOD: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_comes_and_however_much_memory_is_bounded_and_nobody_is_lost() {
    let network = Arc::new(Loopback::new());
    let options = network.options().with_max_bytes(MAX_BYTES);
    let flooded = MdnsRegistry::with_options(options).unwrap();
    flooded.register(&greeter("own", "x"), forever()).await.unwrap();
    let other = network.registry();
    other.register(&greeter("other", "x"), forever()).await.unwrap();
    let mut watched = Observer::synced(&flooded).await;
    let both = ["greeter 1 other x", "greeter 1 own x"];
    watched.until(&both).await;

    for (kind, make) in FLOODS {
        let before = memory();
        let flood = Flood::start(&network, make);
        let (begin, mut most) = (Instant::now(), 0);
        while begin.elapsed() < FLOOD {
            // Those who were known before are, and callers are answered.
            let found = tokio::time::timeout(LIMIT, flooded.get(&name("greeter"))).await;
            assert_eq!(found.unwrap().unwrap()[0].nodes.len(), 2, "{kind}");
            most = most.max(memory().saturating_sub(before));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sent = flood.stop();
        println!("{kind}: {sent} packets, {} KiB of memory", most / 1024);
        assert!(sent > 1000, "{kind}: {sent} packets are no flood");
        assert!(most < MAX_BYTES + BESIDE, "{kind}: {sent} packets took {most} bytes");
    }

    // Afterwards all is as before, but for strangers.
    let late = Service::new("late", "1").with_node(Node::new("late", "x"));
    flooded.register(&late, forever()).await.unwrap();
    let anew = network.registry();
    let begin = Instant::now();
    while anew.get(&name("late")).await.is_err() {
        assert!(begin.elapsed() < LIMIT, "it says nothing any more");
    }
    let found = flooded.get(&name("greeter")).await.unwrap();
    assert_eq!(found[0].nodes.len(), 2);
}

type Make = fn(u64) -> Vec<u8>;

const FLOODS: [(&str, Make); 5] = [
    ("large records of nobody's", |number| {
        let txt = [&[250], &[b'x'; 250][..]].concat().repeat(33);
        packet(&format!("x{number}"), &txt)
    }),
    ("large records without the type that they are of", |number| {
        let txt = [&[250], &[b'x'; 250][..]].concat().repeat(33);
        let label = format!("x{number:010}");
        let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 11];
        packet.extend(label.as_bytes());
        packet.extend(b"\x05_http\x04_tcp\x05local\0\0\x10\0\x01\0\0\x10\0");
        packet.extend(u16::try_from(txt.len()).unwrap().to_be_bytes());
        packet.extend(txt);
        packet
    }),
    ("nodes that nobody needs", |number| {
        let mut service = Service::new(format!("s{number}"), "1");
        service.nodes.push(Node::new("a", "x"));
        service.endpoints = (0..20).map(|n| Endpoint::new(format!("{number}.{n}"))).collect();
        let (_, txt) = announcements(&service).remove(0);
        packet(&format!("s{number}"), &txt)
    }),
    ("questions of everybody", |_| {
        b"\0\0\0\0\0\x01\0\0\0\0\0\0\x06_micro\x04_tcp\x05local\0\0\x0c\0\x01".to_vec()
    }),
    ("what announces more than it has", |_| {
        b"\0\0\x84\0\xff\xff\xff\xff\xff\xff\xff\xff\x06_micro\x04_tcp\x05local\0\0\x0c\0\x01"
            .to_vec()
    }),
];

/// A thread that sends as fast as it can.
struct Flood {
    ends: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<()>,
}

impl Flood {
    fn start(network: &Arc<Loopback>, make: Make) -> Self {
        let (ends, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (network, stop, count) = (network.clone(), ends.clone(), sent.clone());
        let thread = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                network.send(&make(count.fetch_add(1, Ordering::Relaxed)));
            }
        });
        Self { ends, sent, thread }
    }

    fn stop(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

/// How many bytes of memory this process has.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
