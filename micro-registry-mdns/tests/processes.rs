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

#[tokio::test]
async fn by_ipv6_alone_who_comes_and_who_dies_is_seen() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("mDNS by IPv6 alone between two network namespaces", &why),
    };
    let [run_here, run_there] = machines.run_on();
    let mut server = Program::start(&run_here, &["register", "ipv6", "5353"]);
    server.says("registered").await;
    let mut watcher = Program::start(&run_there, &["watch", "ipv6", "5353"]);
    watcher.says("there").await;
    Program::start(&run_there, &["find", "ipv6", "5353"]).says("found greeter 1 a x").await;
    server.child.kill().await.unwrap();
    watcher.says("gone").await;
}

#[tokio::test]
async fn a_machine_with_more_networks_than_a_socket_has_places_for_listens_on_all_of_them() {
    let machines = match TwoMachines::joined() {
        Ok(machines) => machines,
        Err(why) => return not_done("mDNS on many networks", &why),
    };
    let [run_here, _] = machines.run_on();
    let networks = "for i in $(seq 1 25); do
        ip link add d$i type veth peer name e$i && ip link set d$i up && ip link set e$i up &&
        ip address add 10.214.$i.1/24 dev d$i || exit 1
    done";
    let mut make = tokio::process::Command::new(run_here[0]);
    make.args(&run_here[1..]).args(["sh", "-c", networks]);
    assert!(make.status().await.unwrap().success());
    // With its cable and loopback.
    Program::start(&run_here, &["listen", "", "5353"]).says("on 27 of 27").await;
}

const LEASE: Duration = Duration::from_secs(2);

/// What the programs do; as a test of its own it does nothing.
#[tokio::test]
async fn role() {
    let Some(role) = role_of_this() else { return };
    let role: Vec<&str> = role.split(' ').collect();
    let [role, interface, port] = role[..] else { panic!("{role:?} is no role") };
    let interfaces: Vec<Interface> = if interface == "ipv6" {
        let there = if_addrs::get_if_addrs().unwrap().into_iter();
        let is_it = |i: &if_addrs::Interface| i.name == "veth0" && i.ip().is_ipv6();
        there.filter(is_it).map(|i| Interface::Address(i.ip())).collect()
    } else {
        interface.split(',').filter(|i| !i.is_empty()).map(|i| i.parse().unwrap()).collect()
    };
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
        "listen" => {
            let _watched = Observer::of(&registry).await;
            let there = if_addrs::get_if_addrs().unwrap();
            let there = there.iter().filter(|there| there.ip().is_ipv4()).count();
            // 224.0.0.251, as the system writes it.
            let joined = std::fs::read_to_string("/proc/self/net/igmp").unwrap();
            say(&format!("on {} of {there}", joined.matches("FB0000E0").count()));
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
