//! What a registry leaves behind: alone in its process, so that sockets can be counted.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use micro_core::Registry;
use support::{LIMIT, Loopback, forever, greeter, name};

/// How many registries are closed while somebody registers.
const CLOSED: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
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
    // Whoever is late with a registration does not bring a closed one back.
    let mut closed = Vec::new();
    for _ in 0..CLOSED {
        let registry = network.registry();
        registry.register(&greeter("first", "x"), forever()).await.unwrap();
        let busy = |name: &'static str| {
            let registry = registry.clone();
            tokio::spawn(async move {
                for number in 0_usize.. {
                    let service = greeter(&format!("{name}{number}"), "x");
                    if registry.register(&service, forever()).await.is_err() {
                        break;
                    }
                    registry.deregister(&service).await.unwrap();
                }
            })
        };
        let tasks = ["a", "b", "c", "d"].map(busy);
        tokio::time::sleep(Duration::from_millis(1)).await;
        registry.close().await.unwrap();
        for task in tasks {
            task.await.unwrap();
        }
        closed.push(registry);
    }
    let begin = Instant::now();
    while sockets() != before {
        assert!(begin.elapsed() < LIMIT, "{} sockets are left", sockets() - before);
        tokio::task::yield_now().await;
    }
}

fn sockets() -> usize {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let target = |file: std::fs::DirEntry| std::fs::read_link(file.path()).ok();
    files.filter_map(target).filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}
