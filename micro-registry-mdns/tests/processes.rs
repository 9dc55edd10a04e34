//! What other processes see: of one that is killed, and of one in another network namespace.
//!
//! The programs are this test binary itself, started again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use micro_core::Registry;
use micro_registry_mdns::{Interface, MdnsRegistry, Options};
use micro_testkit::{TwoMachines, not_done};
use support::program::{Program, role_of_this, say};
use support::{Loopback, Observer, forever, greeter, name};

#[tokio::test]
async fn a_killed_process_leaves_every_view_at_the_end_of_its_lease() {
    let network = Loopback::new();
    let registry = network.registry();
    let mut watched = Observer::synced(&registry).await;
    let port = network.port().to_string();
    let mut server = Program::start(&[], &["register", "loopback", &port]);
    server.says("registered").await;
    watched.until(&["greeter 1 a x"]).await;
    let killed = Instant::now();
    server.child.kill().await.unwrap();
    watched.until(&[]).await;
    let took = killed.elapsed();
    assert!(took > LEASE / 2, "a lease that was renewed three times in it ended after {took:?}");
    assert!(took < LEASE * 3, "gone after {took:?}, with a lease of {LEASE:?}");
    let error = registry.get(&name("greeter")).await.unwrap_err();
    assert_eq!(error.kind(), micro_core::ErrorKind::NotFound);
}

#[tokio::test]
async fn two_network_namespaces_that_are_joined_find_each_other() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("mDNS between two network namespaces", &why),
    };
    let [run_here, run_there] = machines.run_on();
    let port = "5353";
    // By the name of the interface on one side, by address on the other.
    let mut server = Program::start(&run_here, &["register", "veth0", port]);
    server.says("registered").await;
    let mut client = Program::start(&run_there, &["find", "10.213.0.2", port]);
    client.says("found greeter 1 a x").await;
    let mut watcher = Program::start(&run_there, &["watch", "veth0", port]);
    watcher.says("there").await;
    // On all interfaces it finds others too; on loopback it does not.
    Program::start(&run_there, &["find", "", port]).says("found greeter 1 a x").await;
    Program::start(&run_there, &["find", "loopback", port]).says("not found").await;
    // Without its cable it is gone, and found again when it is back.
    machines.set_cable(false).unwrap();
    watcher.says("gone").await;
    machines.set_cable(true).unwrap();
    watcher.says("there").await;
    server.child.kill().await.unwrap();
    watcher.says("gone").await;

    // What only this machine can dial is told on this machine alone.
    let mut server = Program::start(&run_here, &["register-both", "", port]);
    server.says("registered").await;
    let both = "10.213.0.1:4000 127.0.0.1:4000/AbCd";
    Program::start(&run_here, &["list", "", port]).says(both).await;
    Program::start(&run_there, &["list", "", port]).says("10.213.0.1:4000").await;
}

const LEASE: Duration = Duration::from_secs(2);

/// What the programs do; as a test of its own it does nothing.
#[tokio::test]
async fn role() {
    let Some(role) = role_of_this() else { return };
    let role: Vec<&str> = role.split(' ').collect();
    let [role, interface, port] = role[..] else { panic!("{role:?} is no role") };
    let interfaces: Vec<Interface> =
        interface.split(',').filter(|i| !i.is_empty()).map(|i| i.parse().unwrap()).collect();
    let options = Options::default()
        .with_interfaces(interfaces)
        .with_port(port.parse().unwrap())
        .with_lease(LEASE);
    let registry = MdnsRegistry::with_options(options).unwrap();
    match role {
        "register" => {
            registry.register(&greeter("a", "x"), forever()).await.unwrap();
            say("registered");
            std::future::pending().await
        }
        "register-both" => {
            let mut both = greeter("a", "10.213.0.1:4000");
            both.nodes.extend(greeter("b", "127.0.0.1:4000/AbCd").nodes);
            registry.register(&both, forever()).await.unwrap();
            say("registered");
            std::future::pending().await
        }
        "list" => {
            let services = registry.list().await.unwrap();
            let nodes = services.iter().flat_map(|service| &service.nodes);
            say(&nodes.map(|node| node.address.as_str()).collect::<Vec<_>>().join(" "));
        }
        "find" => match registry.get(&name("greeter")).await {
            Ok(found) => {
                assert_eq!(found, [greeter("a", "x")]);
                say("found greeter 1 a x");
            }
            Err(error) if error.kind() == micro_core::ErrorKind::NotFound => say("not found"),
            Err(error) => panic!("{error}"),
        },
        "watch" => {
            let mut watched = Observer::synced(&registry).await;
            loop {
                watched.until(&["greeter 1 a x"]).await;
                say("there");
                watched.until(&[]).await;
                say("gone");
            }
        }
        _ => panic!("{role} is no role"),
    }
}
