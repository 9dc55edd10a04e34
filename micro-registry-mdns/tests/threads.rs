//! What a registry leaves behind: alone in its process, so that threads can be counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Instant;

use micro_core::Registry;
use support::{LIMIT, Loopback, forever, greeter, name};

#[tokio::test]
async fn neither_a_dropped_registry_nor_a_closed_one_leaves_a_thread() {
    let network = Loopback::new();
    for close in [true, false] {
        let registries: Vec<_> = (0..5).map(|_| network.registry()).collect();
        for (index, registry) in registries.iter().enumerate() {
            registry.register(&greeter(&format!("{index}"), "x"), forever()).await.unwrap();
            registry.get(&name("greeter")).await.unwrap();
        }
        assert_eq!(responders(), Some(5));
        if close {
            for registry in &registries {
                registry.close().await.unwrap();
            }
        } else {
            drop(registries);
        }
        let begin = Instant::now();
        while responders() != Some(0) {
            assert!(begin.elapsed() < LIMIT, "{:?} threads are left", responders());
            tokio::task::yield_now().await;
        }
    }
}

/// How many threads of multicast DNS there are.
fn responders() -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
    let names = tasks.filter_map(|task| name(task.ok()?));
    Some(names.filter(|name| name.trim() == "mDNS_daemon").count())
}
