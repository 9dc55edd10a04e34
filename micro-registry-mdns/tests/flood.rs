//! What the library remembers is bounded: alone in its process, so that its threads can be told
//! apart.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;
use std::time::Instant;

use micro_core::Registry;
use micro_registry_mdns::MdnsRegistry;
use micro_registry_mdns::fuzzing::WEIGHED;
use support::{LIMIT, Loopback, Observer, forever, greeter, name};

#[tokio::test]
async fn a_library_that_remembers_too_much_is_started_again_and_nobody_is_lost() {
    let network = Loopback::new();
    let options = network.options().with_max_bytes(300_000);
    let flooded = MdnsRegistry::with_options(options).unwrap();
    flooded.register(&greeter("own", "x"), forever()).await.unwrap();
    let before = responders();
    assert_eq!(before.len(), 1);
    let other = network.registry();
    other.register(&greeter("other", "x"), forever()).await.unwrap();
    let mut watched = Observer::synced(&flooded).await;
    let both = ["greeter 1 other x", "greeter 1 own x"];
    watched.until(&both).await;
    let changes = watched.changes;

    // Records of nobody's that nobody asked for.
    let mut sent = 0_u32;
    let begin = Instant::now();
    while before.is_subset(&responders()) {
        assert!(begin.elapsed() < WEIGHED + LIMIT, "it was not started again");
        let label = format!("x{sent:07}");
        let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0, 8];
        packet.extend(label.as_bytes());
        packet.extend(b"\x05_http\x04_tcp\x05local\0\0\x10\0\x01\0\0\x10\0\0\x02\x01x");
        network.send(&packet);
        sent += 1;
        tokio::task::yield_now().await;
    }
    let anew = network.registry();
    let mut found = anew.get(&name("greeter")).await.unwrap();
    while found[0].nodes.len() < 2 {
        found = anew.get(&name("greeter")).await.unwrap();
    }
    assert_eq!(flooded.list().await.unwrap()[0].nodes.len(), 2);
    other.register(&greeter("late", "x"), forever()).await.unwrap();
    watched.until(&["greeter 1 late x", both[0], both[1]]).await;
    assert_eq!(watched.changes, changes + 1, "nobody went and came again");
}

/// The threads of multicast DNS.
fn responders() -> BTreeSet<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let is_one = |task: &std::fs::DirEntry| {
        std::fs::read_to_string(task.path().join("comm")).is_ok_and(|c| c.trim() == "mDNS_daemon")
    };
    tasks.filter(is_one).map(|task| task.file_name().into_string().unwrap()).collect()
}
