//! What a registry leaves behind: alone in its process, so that sockets can be counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::Instant;

use micro_core::Registry;
use support::{LIMIT, Loopback, forever, greeter, name};

#[tokio::test]
async fn neither_a_dropped_registry_nor_a_closed_one_leaves_a_socket() {
    let network = Loopback::new();
    let before = sockets();
    for close in [true, false] {
        let registries: Vec<_> = (0..5).map(|_| network.registry()).collect();
        for (index, registry) in registries.iter().enumerate() {
            registry.register(&greeter(&format!("{index}"), "x"), forever()).await.unwrap();
            registry.get(&name("greeter")).await.unwrap();
        }
        assert!(sockets() >= before + 5);
        if close {
            for registry in &registries {
                registry.close().await.unwrap();
            }
        } else {
            drop(registries);
        }
        let begin = Instant::now();
        while sockets() != before {
            assert!(begin.elapsed() < LIMIT, "{} sockets are left", sockets() - before);
            tokio::task::yield_now().await;
        }
    }
}

fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let target = |file: std::fs::DirEntry| std::fs::read_link(file.path()).ok();
    files.filter_map(target).filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}
